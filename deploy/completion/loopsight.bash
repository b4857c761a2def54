# bash completion for loopsight(8)

_loopsight() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command= word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == -- ]]; then
      # Behind it stands another command, with its own completion.
      if declare -F _command_offset >/dev/null; then _command_offset $((i + 1)); fi
      return
    fi
    case $word in trace | run | check | record | replay) command=${command:-$word} ;; esac
  done
  case $previous in
    --config | --output | -o | --web.config.file)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --format)
      local formats="text json"
      mapfile -t COMPREPLY < <(compgen -W "$formats" -- "$current")
      return
      ;;
    --pid)
      mapfile -t COMPREPLY < <(compgen -W "$(pgrep python 2>/dev/null)" -- "$current")
      return
      ;;
    --threshold | --duration | --web.listen-address) return ;;
  esac
  local words
  case $command in
    trace) words="--pid --all --threshold --duration --format --output --quiet --help --" ;;
    record) words="--pid --all --threshold --duration --output --help --" ;;
    run)
      words="--config --config.check --threshold --web.listen-address --no-bpf-stats --help"
      ;;
    check) words="--format --help" ;;
    replay)
      words="--format --quiet --help"
      if [[ $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
      fi
      ;;
    *) words="trace run check record replay --help --version" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _loopsight loopsight
