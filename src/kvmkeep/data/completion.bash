# bash completion for kvmkeep. To use it:
#   kvmkeep completion bash > /usr/share/bash-completion/completions/kvmkeep

_kvmkeep_names() {
    # The names that a verb lists: compared, never expanded. A domain may be called anything.
    local name
    while IFS= read -r name; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
    done < <(command kvmkeep "$@" --names "${where[@]}" 2>/dev/null </dev/null)
}

_kvmkeep() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local verb="" sub="" options="" words="" word i
    local -a where=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --spec | --connect)
                if ((i + 1 < COMP_CWORD)); then
                    where+=("$word" "${COMP_WORDS[i+1]}")
                fi
                ((i++))
                ;;
            -*) ;;
            *) if [[ -z $verb ]]; then verb=$word; elif [[ -z $sub ]]; then sub=$word; fi ;;
        esac
    done
    case $prev in
        --spec) compopt -o dirnames 2>/dev/null; return ;;
        --facts) compopt -o default 2>/dev/null; return ;;
        --connect) mapfile -t COMPREPLY < <(compgen -W "qemu:///system test:///default" -- "$cur"); return ;;
        --label | --state | --limit | --lines | --size | --expires | --disk | --older | --really) return ;;
    esac
    local global="--spec --connect --json --verbose --debug --help"
    case "$verb $sub" in
        " ") options="$global --version" ;;
@BASH_CASES@
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case "$verb $sub" in
        " ") words="@VERBS@" ;;
@BASH_SUBVERBS@
        "completion "*) words="bash zsh" ;;
        @GUEST_VERBS@) _kvmkeep_names list; return ;;
        "trash restore" | "trash empty") _kvmkeep_names trash list; return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _kvmkeep kvmkeep
