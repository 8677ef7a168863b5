# fish completion for casemate, py_test_runner, maelstrom-pytest and ostest-runner. The options are read from --help, so they are those of the casemate that is installed.

function __casemate_options
    set -l words (commandline -opc)
    contains -- -- $words; and return
    set -l asked $words[1]
    if not string match -qr '(py_test_runner|maelstrom-pytest|ostest-runner)$' -- $words[1]; and set -q words[2]
        set -a asked $words[2]
        string match -qr '^(image|cache|history)$' -- $words[2]; and set -q words[3]; and not string match -q -- '-*' $words[3]; and set -a asked $words[3]
    end
    # Only what begins a line of the list of options: descriptions and examples name others.
    begin
        $asked --help
        test (count $asked) = 3; and $asked[1..2] --help
    end 2>/dev/null | string match -r -- '^  -[^ ]+(?: -[^ ]+)?' | string match -ra -- '--?[a-zA-Z][a-z-]*' | sort -u
end

complete -c casemate -f -n __fish_use_subcommand -a run -d 'run one command in a fresh cell'
complete -c casemate -f -n __fish_use_subcommand -a script -d 'run a Python script with its requirements and files'
complete -c casemate -f -n __fish_use_subcommand -a pytest -d 'run every test of a project in a cell of its own'
complete -c casemate -n 'string match -q -- --isolation (commandline -opc)[-1]; and not __fish_seen_subcommand_from agent' -x -a 'test class module file cold'
complete -c casemate -n 'string match -q -- --isolation (commandline -opc)[-1]; and __fish_seen_subcommand_from agent' -x -a 'run test class module file'
complete -c casemate -n 'string match -q -- --ui (commandline -opc)[-1]' -x -a 'auto fancy simple quiet'
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
    complete -c $program -n 'string match -q -- --clone-network (commandline -opc)[-1]' -x -a 'outbound host'
    complete -c $program -n 'string match -q -- --wire (commandline -opc)[-1]' -x -a 'a b'
end
complete -c ostest-runner -n 'string match -q -- "-*" (commandline -ct)' -a '(__casemate_options)'
