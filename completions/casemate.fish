# fish completion for casemate, cursus, py_test_runner, maelstrom-pytest and ostest-runner. The options are read from --help, so they are those of the casemate that is installed.

function __casemate_options
    set -l words (commandline -opc)
    contains -- -- $words; and return
    set -l asked $words[1]
    if not string match -qr '(py_test_runner|maelstrom-pytest|ostest-runner)$' -- $words[1]; and set -q words[2]
        set -a asked $words[2]
        string match -qr '^(image|cache|history|runtime|plan)$' -- $words[2]; and set -q words[3]; and not string match -q -- '-*' $words[3]; and set -a asked $words[3]
    end
    # Only what begins a line of the list of options: descriptions and examples name others.
    begin
        $asked --help
        test (count $asked) = 3; and $asked[1..2] --help
    end 2>/dev/null | string match -r -- '^  -[^ ]+(?: -[^ ]+)?' | string match -ra -- '--?[a-zA-Z][a-z-]*' | sort -u
end

# The pipeline's scripts, by the names that `runtime` takes: *.py where it looks for them, --scripts-dir first.
function __casemate_scripts
    set -l words (commandline -opc)
    set -l places
    for i in (seq 4 (count $words))
        test "$words[$i]" = --scripts-dir; and set -q words[(math $i + 1)]; and set -a places (string replace -r '^~/' "$HOME/" -- $words[(math $i + 1)])
        string match -q -- '--scripts-dir=*' $words[$i]; and set -a places (string replace -- --scripts-dir= '' $words[$i])
    end
    for place in $places src/cursus/steps/scripts scripts dockers/xgboost_atoz/scripts
        for file in $place/*.py
            string replace -r '.*/(.*)\.py$' '$1' -- $file
        end
    end | string match -v -- '__*' | sort -u
end

# Words of the runtime tester's, before which none of its scripts is wanted.
function __casemate_wants_script
    set -l words (commandline -opc)
    contains -- "$words[3]" test-script test-compatibility; and not string match -qr -- '^--(spec|sample|python|requirements|image|junit-xml|html|scripts-dir|workspace-dir)$' $words[-1]
end

complete -c casemate -f -n __fish_use_subcommand -a run -d 'run one command in a fresh cell'
complete -c casemate -f -n __fish_use_subcommand -a script -d 'run a Python script with its requirements and files'
complete -c casemate -f -n __fish_use_subcommand -a pytest -d 'run every test of a project in a cell of its own'
complete -c casemate -n 'string match -q -- --executor (commandline -opc)[-1]' -x -a 'native docker remote'
complete -c casemate -n 'string match -q -- --remote-image (commandline -opc)[-1]' -x -a 'root property'
complete -c casemate -n 'string match -q -- --isolation (commandline -opc)[-1]; and not __fish_seen_subcommand_from agent' -x -a 'test class module file cold'
complete -c casemate -n 'string match -q -- --isolation (commandline -opc)[-1]; and __fish_seen_subcommand_from agent' -x -a 'run test class module file'
complete -c casemate -n 'string match -q -- --ui (commandline -opc)[-1]' -x -a 'auto fancy simple quiet'
complete -c casemate -f -n __fish_use_subcommand -a runtime -d 'run the scripts of a pipeline, and say whether they work'
complete -c casemate -f -n '__fish_seen_subcommand_from runtime; and not __fish_seen_subcommand_from test-script test-compatibility test-pipeline' -a 'test-script test-compatibility test-pipeline'
complete -c cursus -f -n __fish_use_subcommand -a runtime -d 'run the scripts of a pipeline, and say whether they work'
complete -c cursus -f -n '__fish_seen_subcommand_from runtime; and not __fish_seen_subcommand_from test-script test-compatibility test-pipeline' -a 'test-script test-compatibility test-pipeline'
complete -c cursus -n 'string match -q -- "-*" (commandline -ct)' -a '(__casemate_options)'
for program in casemate cursus
    complete -c $program -f -n __casemate_wants_script -a '(__casemate_scripts)'
end
complete -c casemate -n 'string match -q -- --output-format (commandline -opc)[-1]' -x -a 'text json'
complete -c casemate -n 'string match -q -- --log-level (commandline -opc)[-1]' -x -a 'DEBUG INFO WARNING ERROR CRITICAL'
complete -c casemate -f -n __fish_use_subcommand -a plan -d 'run test plans of command-line tools, record them, compare'
complete -c casemate -f -n '__fish_seen_subcommand_from plan; and not __fish_seen_subcommand_from run record verify show list export init' -a 'run record verify show list export init'
complete -c casemate -n 'string match -q -- --isolate (commandline -opc)[-1]' -x -a 'plan case'
complete -c casemate -n 'string match -q -- --compare (commandline -opc)[-1]' -x -a 'exact contains json'
complete -c casemate -n 'string match -q -- --install (commandline -opc)[-1]' -x -a 'apt: pip: npm: cargo: go: gem: archive: script: none'
complete -c casemate -f -n __fish_use_subcommand -a agent -d 'grade submissions for a backend, each in a cell'
complete -c casemate -f -n __fish_use_subcommand -a explain -d 'show what would be done for a job'
complete -c casemate -f -n __fish_use_subcommand -a image -d 'images as roots of jobs: pull, list, inspect, remove, prune, import, export'
complete -c casemate -f -n '__fish_seen_subcommand_from image; and not __fish_seen_subcommand_from pull list inspect remove prune import export' -a 'pull list inspect remove prune import export'
complete -c casemate -n 'string match -q -- --image (commandline -opc)[-1]' -x -a 'host docker:// oci: oci-archive: docker-archive: docker-daemon: dir: (casemate image list -q 2>/dev/null)'
complete -c casemate -f -n '__fish_seen_subcommand_from image; and __fish_seen_subcommand_from pull inspect remove export' -a '(casemate image list -q 2>/dev/null)'
complete -c casemate -n 'string match -q -- --image-config (commandline -opc)[-1]' -x -a 'all none env workdir entrypoint user'
complete -c casemate -f -n __fish_use_subcommand -a doctor -d 'show what this host offers and how to fix what is missing'
complete -c casemate -f -n __fish_use_subcommand -a cache -d 'show and prune the cache'
complete -c casemate -f -n __fish_use_subcommand -a history -d 'show what was run'
complete -c casemate -f -n '__fish_seen_subcommand_from history; and not __fish_seen_subcommand_from show prune tests runs' -a 'show prune tests runs'
complete -c casemate -f -n __fish_use_subcommand -a show -d 'the last run of tests in a project again'
complete -c casemate -n 'string match -q -- "-*" (commandline -ct)' -a '(__casemate_options)'
complete -c py_test_runner -n 'string match -q -- "-*" (commandline -ct)' -a '(__casemate_options)'
complete -c maelstrom-pytest -n 'string match -q -- "-*" (commandline -ct)' -a '(__casemate_options)'
complete -c maelstrom-pytest -n 'string match -q -- --ui (commandline -opc)[-1]' -x -a 'auto fancy simple quiet'
for program in casemate ostest-runner
    complete -c $program -n 'string match -q -- --logger-level (commandline -opc)[-1]' -x -a 'debug info warning error critical'
    complete -c $program -n 'string match -q -- --clone-network (commandline -opc)[-1]' -x -a 'outbound host none'
    complete -c $program -n 'string match -q -- --wire (commandline -opc)[-1]' -x -a 'a b'
end
complete -c ostest-runner -n 'string match -q -- "-*" (commandline -ct)' -a '(__casemate_options)'
