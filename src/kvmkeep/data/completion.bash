# bash completion for kvmkeep. To use it:
#   kvmkeep completion bash > /usr/share/bash-completion/completions/kvmkeep

_kvmkeep_guests() {
    # The names are compared, never expanded: a domain may be called anything.
    local name
    while IFS= read -r name; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
    done < <(command kvmkeep list --names "${where[@]}" 2>/dev/null </dev/null)
}

_kvmkeep() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local verb="" options="" word i
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
            *) [[ -z $verb ]] && verb=$word ;;
        esac
    done
    case $prev in
        --spec) compopt -o dirnames 2>/dev/null; return ;;
        --facts) compopt -o default 2>/dev/null; return ;;
        --connect) mapfile -t COMPREPLY < <(compgen -W "qemu:///system test:///default" -- "$cur"); return ;;
        --label | --state | --limit | --lines) return ;;
    esac
    local global="--spec --connect --json --verbose --debug --help"
    case $verb in
        "") options="$global --version" ;;
@BASH_CASES@
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case $verb in
        "") mapfile -t COMPREPLY < <(compgen -W "@VERBS@" -- "$cur") ;;
        completion) mapfile -t COMPREPLY < <(compgen -W "bash zsh" -- "$cur") ;;
        @GUEST_VERBS@) _kvmkeep_guests ;;
    esac
}

complete -F _kvmkeep kvmkeep
