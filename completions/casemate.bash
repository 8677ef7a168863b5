# bash completion for casemate and py_test_runner. The options are read from --help, so they are those of the casemate that is installed.

_casemate_options() {
  "$@" --help 2>/dev/null | grep -oE -- '(^|[ ,[])--?[a-zA-Z][a-z-]*' | grep -oE -- '--?[a-zA-Z][a-z-]*' | sort -u
}

_casemate() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} command='' i
  local asked=("$program")
  COMPREPLY=()
  if [[ ${program##*/} == py_test_runner ]]; then
    command=script
  else
    command=${COMP_WORDS[1]}
    if ((COMP_CWORD == 1)); then
      mapfile -t COMPREPLY < <(compgen -W 'run script explain image doctor cache history --help --version' -- "$cur")
      return
    fi
    asked+=("$command")
  fi
  # What follows -- is somebody else's command line.
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${COMP_WORDS[i]} == -- ]]; then
      if ((i + 1 == COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
      else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      fi
      compopt -o filenames 2>/dev/null
      return
    fi
  done
  case $prev in
    --network) mapfile -t COMPREPLY < <(compgen -W 'none outbound host' -- "$cur") && return ;;
    --profile) mapfile -t COMPREPLY < <(compgen -W 'default strict' -- "$cur") && return ;;
    --executor) mapfile -t COMPREPLY < <(compgen -W 'native docker' -- "$cur") && return ;;
    --color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur") && return ;;
    --image)
      mapfile -t COMPREPLY < <(compgen -W "host docker:// oci: oci-archive: docker-archive: docker-daemon: dir: $("$program" image list -q 2>/dev/null)" -- "$cur")
      # Names have colons, at which bash breaks words.
      declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
      return
      ;;
    --pull | --policy) mapfile -t COMPREPLY < <(compgen -W 'missing always never' -- "$cur") && return ;;
    --outputs | --results | --cert-dir)
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      compopt -o filenames 2>/dev/null
      return
      ;;
  esac
  [[ $command == image && $COMP_CWORD -gt 2 && ${COMP_WORDS[2]} != -* ]] && asked+=("${COMP_WORDS[2]}")
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_casemate_options "${asked[@]}")" -- "$cur")
    return
  fi
  if [[ $command == cache && $COMP_CWORD == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'info list prune verify' -- "$cur")
    return
  fi
  if [[ $command == image && $COMP_CWORD == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'pull list inspect remove prune import export' -- "$cur")
    return
  fi
  if [[ $command == history && $COMP_CWORD == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'show prune' -- "$cur")
    return
  fi
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
  compopt -o filenames 2>/dev/null
}

complete -F _casemate casemate py_test_runner
