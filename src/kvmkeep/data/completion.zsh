#compdef kvmkeep
# zsh completion for kvmkeep. To use it, from a directory of $fpath:
#   kvmkeep completion zsh > /usr/local/share/zsh/site-functions/_kvmkeep

_kvmkeep() {
    local verb="" sub="" word
    local -a where verbs options names
    integer i
    for ((i = 2; i < CURRENT; i++)); do
        word=$words[i]
        case $word in
            (--spec|--connect)
                (( i + 1 < CURRENT )) && where+=("$word" "${(Q)words[i+1]}")
                (( i++ ))
                ;;
            (-*) ;;
            (*) if [[ -z $verb ]]; then verb=$word; elif [[ -z $sub ]]; then sub=$word; fi ;;
        esac
    done
    case $words[CURRENT-1] in
        (--spec) _files -/; return ;;
        (--facts) _files; return ;;
        (--connect) compadd -- qemu:///system test:///default; return ;;
        (--label|--state|--limit|--lines|--size|--expires|--disk|--older|--really) return ;;
    esac
    options=(--spec --connect --json --verbose --debug --help)
    case "$verb $sub" in
        (" ") options+=(--version) ;;
@ZSH_CASES@
    esac
    if [[ $PREFIX == -* ]]; then
        compadd -a options
        return
    fi
    case "$verb $sub" in
        (" ")
            verbs=(
@ZSH_VERBS@
            )
            _describe verb verbs
            ;;
@ZSH_SUBVERBS@
        ("completion "*) compadd -- bash zsh ;;
        (@GUEST_VERBS@)
            # compadd -a takes the names as they are: nothing of them is expanded.
            names=("${(@f)$(command kvmkeep list --names "${where[@]}" 2>/dev/null </dev/null)}")
            compadd -a names
            ;;
        ("trash restore"|"trash empty")
            names=("${(@f)$(command kvmkeep trash list --names "${where[@]}" 2>/dev/null </dev/null)}")
            compadd -a names
            ;;
    esac
}

_kvmkeep "$@"
