# bash completion for casemate, cursus, py_test_runner, maelstrom-pytest and ostest-runner. The options are read from --help, so they are those of the casemate that is installed.

# Only what begins a line of the list of options: descriptions and examples name others.
_casemate_options() {
  "$@" --help 2>/dev/null | sed -nE 's/^  (-[^ ]+( -[^ ]+)?).*/\1/p' | grep -oE -- '--?[a-zA-Z][a-z-]*' | sort -u
}

# The words up to the cursor, as they were typed: bash breaks them at colons, which names of images have, and at '='.
_casemate_words() {
  local i word glue=''
  words=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == = && ${words[-1]} == --* ]]; then
      ((i == COMP_CWORD)) && words+=('')
    elif [[ -n $glue || ($word =~ ^:+$ && ${#words[@]} -gt 0) ]]; then
      words[-1]+=$word
      if [[ $word =~ ^:+$ ]]; then glue=1; else glue=''; fi
    else
      words+=("$word")
    fi
  done
}

# _casemate_offer WORDS: those that begin with the current word, without the part before its last colon, which bash leaves alone.
_casemate_offer() {
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
  [[ " ${COMPREPLY[*]} " == *[:/]' '* ]] && compopt -o nospace 2>/dev/null
  [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]] || return 0
  local before=${cur%"${cur##*:}"}
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

# The pipeline's scripts, by the names that `runtime` takes: *.py where it looks for them, --scripts-dir first.
_casemate_scripts() {
  local i directory file name directories=()
  for ((i = 3; i < last; i++)); do
    [[ ${words[i]} == --scripts-dir ]] && directories+=("${words[i + 1]/#\~\//$HOME/}")
  done
  for directory in "${directories[@]}" src/cursus/steps/scripts scripts dockers/xgboost_atoz/scripts; do
    for file in "$directory"/*.py; do
      name=${file##*/} name=${name%.py}
      # What the shell would have to quote is left to whoever types it.
      [[ $name =~ ^[[:alnum:]_.-]+$ && $name != __* && $name == "$cur"* && -f $file ]] && COMPREPLY+=("$name")
    done
  done
}

_casemate() {
  local words cur prev program command='' i
  _casemate_words
  local last=$((${#words[@]} - 1))
  cur=${words[last]} prev=${words[last - 1]} program=${words[0]}
  local asked=("$program") transports='docker:// oci: oci-archive: docker-archive: docker-daemon:'
  COMPREPLY=()
  if [[ ${program##*/} == py_test_runner ]]; then
    command=script
  elif [[ ${program##*/} == maelstrom-pytest ]]; then
    command=pytest
  elif [[ ${program##*/} == ostest-runner ]]; then
    command=agent
  elif [[ ${program##*/} == cursus && $last == 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'runtime --help --version' -- "$cur")
    return
  else
    command=${words[1]}
    if ((last == 1)); then
      mapfile -t COMPREPLY < <(compgen -W 'run script pytest runtime plan agent explain image doctor cache history show --help --version' -- "$cur")
      return
    fi
    asked+=("$command")
  fi
  # What follows -- is somebody else's command line.
  for ((i = 1; i < last; i++)); do
    if [[ ${words[i]} == -- ]]; then
      if ((i + 1 == last)) && [[ $command != pytest ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
      else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      fi
      compopt -o filenames 2>/dev/null
      return
    fi
  done
  case $prev in
    --isolation)
      if [[ $command == agent ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'run test class module file' -- "$cur")
      else
        mapfile -t COMPREPLY < <(compgen -W 'test class module file cold' -- "$cur")
      fi
      return
      ;;
    --ui) mapfile -t COMPREPLY < <(compgen -W 'auto fancy simple quiet' -- "$cur") && return ;;
    --logger-level) mapfile -t COMPREPLY < <(compgen -W 'debug info warning error critical' -- "$cur") && return ;;
    --clone-network) mapfile -t COMPREPLY < <(compgen -W 'outbound host none' -- "$cur") && return ;;
    --wire) mapfile -t COMPREPLY < <(compgen -W 'a b' -- "$cur") && return ;;
    --network) mapfile -t COMPREPLY < <(compgen -W 'none outbound host' -- "$cur") && return ;;
    --profile) mapfile -t COMPREPLY < <(compgen -W 'default strict' -- "$cur") && return ;;
    --executor) mapfile -t COMPREPLY < <(compgen -W 'native docker remote' -- "$cur") && return ;;
    --remote-image) mapfile -t COMPREPLY < <(compgen -W 'root property' -- "$cur") && return ;;
    --output-format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$cur") && return ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W 'DEBUG INFO WARNING ERROR CRITICAL' -- "$cur") && return ;;
    --isolate) mapfile -t COMPREPLY < <(compgen -W 'plan case' -- "$cur") && return ;;
    --compare) mapfile -t COMPREPLY < <(compgen -W 'exact contains json' -- "$cur") && return ;;
    --install) mapfile -t COMPREPLY < <(compgen -W 'apt: pip: npm: cargo: go: gem: archive: script: none' -- "$cur") && return ;;
    --color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur") && return ;;
    --image) _casemate_offer "host dir: $transports $("$program" image list -q 2>/dev/null)" && return ;;
    --image-config) mapfile -t COMPREPLY < <(compgen -W 'all none env workdir entrypoint user' -- "$cur") && return ;;
    --pull | --policy) mapfile -t COMPREPLY < <(compgen -W 'missing always never' -- "$cur") && return ;;
    --outputs | --results | --cert-dir | --project | --workspace-dir | --scripts-dir | --specs-dir)
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      compopt -o filenames 2>/dev/null
      return
      ;;
  esac
  if [[ $cur == -* ]]; then
    local options
    options=$(_casemate_options "${asked[@]}")
    # A command's own options, and those that all of them have.
    [[ $command =~ ^(image|cache|history|runtime|plan)$ && $last -gt 2 && ${words[2]} != -* ]] &&
      options+=" $(_casemate_options "${asked[@]}" "${words[2]}")"
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    return
  fi
  if [[ $command == image && $last -gt 2 ]]; then
    case ${words[2]} in
      inspect | remove) _casemate_offer "$("$program" image list -q 2>/dev/null)" && return ;;
      export)
        if ((last == 3)); then
          _casemate_offer "$("$program" image list -q 2>/dev/null)"
        else
          _casemate_offer 'oci: oci-archive: docker-archive:'
        fi
        return
        ;;
      pull | import) _casemate_offer "$transports $("$program" image list -q 2>/dev/null)" && return ;;
      list | prune) return ;;
    esac
  fi
  if [[ $command == cache && $last == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'info list prune verify' -- "$cur")
    return
  fi
  if [[ $command == image && $last == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'pull list inspect remove prune import export' -- "$cur")
    return
  fi
  if [[ $command == runtime && $last == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'test-script test-compatibility test-pipeline' -- "$cur")
    return
  fi
  if [[ $command == plan && $last == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'run record verify show list export init' -- "$cur")
    return
  fi
  if [[ $command == runtime && $last -gt 2 && ${words[2]} =~ ^test-(script|compatibility)$ &&
    ! $prev =~ ^--(spec|sample|python|requirements|image|junit-xml|html)$ ]]; then
    _casemate_scripts
    return
  fi
  if [[ $command == history && $last == 2 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'show prune tests runs' -- "$cur")
    return
  fi
  if [[ $command == show && $prev != --html && $prev != --junit-xml ]]; then
    mapfile -t COMPREPLY < <(compgen -d -- "$cur")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
  fi
  compopt -o filenames 2>/dev/null
}

complete -F _casemate casemate cursus py_test_runner maelstrom-pytest ostest-runner
