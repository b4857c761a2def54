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
    case $word in trace | run | check | dump | record | replay | report | top) command=${command:-$word} ;; esac
  done
  case $previous in
    --config | --output | -o | --web.config.file | --export.json-lines | --ca-file)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --format)
      local formats="text json"
      case $command in
        trace | replay) formats="text json folded speedscope pprof" ;;
        report) formats="markdown json" ;;
      esac
      mapfile -t COMPREPLY < <(compgen -W "$formats" -- "$current")
      return
      ;;
    --pid)
      mapfile -t COMPREPLY < <(compgen -W "$(pgrep python 2>/dev/null)" -- "$current")
      return
      ;;
    --threshold | --duration | --loop | --own | --web.listen-address | --web.allowed-host) return ;;
    --web.socket-group)
      mapfile -t COMPREPLY < <(compgen -g -- "$current")
      return
      ;;
  esac
  local words
  case $command in
    trace)
      words="--pid --all --threshold --duration --format --output --quiet --audit --loop --functions --as-root"
      words+=" --own --frames --exact-delays --help --"
      ;;
    record)
      words="--pid --all --threshold --duration --output --audit --loop --functions --as-root --exact-delays --help --"
      ;;
    run)
      words="--config --config.check --threshold --web.listen-address --web.config.file --audit"
      words+=" --web.socket-group --web.allowed-host --web.open-health"
      words+=" --exact-delays --export.journal --export.json-lines --export.json-lines.max-bytes"
      words+=" --export.json-lines.files --no-bpf-stats --help"
      ;;
    check) words="--format --help" ;;
    dump) words="--pid --loop --format --help" ;;
    replay)
      words="--format --output --quiet --frames --help"
      if [[ $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
      fi
      ;;
    report)
      words="--format --merge --help"
      if [[ $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
      fi
      ;;
    top) words="--url --ca-file --help" ;;
    *) words="trace run check record replay report top --help --version" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _loopsight loopsight
