"""casemate run as a black box: each option, each exit status, what --json says, and bad input told in one line."""

import ctypes
import json
import os
import pathlib
import re
import subprocess
import time

import pytest
from py_test_runner import CASEMATE, TREE, gone

DEFAULT_KEYS = ["status", "exit_status", "command", "outcome", "resources", "stdout", "stderr", "output_truncated", "captured", "deleted", "skipped",
                "leftovers", "outcome_word", "notes"]  # fmt: skip


def need_ids(run):
    if run("--user", "1000", "--", "true").returncode == 125:
        pytest.skip("this account has a single id: no range in /etc/subuid")


def need_controller(run, option):
    done = run(*option, "--", "true")
    if done.returncode == 125:
        pytest.skip(done.stderr.decode().strip())


# --- what the command gets


def test_environment_is_only_what_was_asked_for(run):
    run.environment["SECRET"] = "s"
    run.environment["PASSED"] = "p"
    (run.directory / "file.env").write_text("# comment\nFROM_FILE=a b\nPASSED\n\nABSENT_HERE\n")
    lines = run.out("-e", "A=1", "--env", "B=x=y", "--env-file", "file.env", "-e", "EMPTY=", "--", "env").splitlines()
    assert sorted(line for line in lines if not line.startswith("PATH=")) == ["A=1", "B=x=y", "EMPTY=", "FROM_FILE=a b", "HOME=/root", "PASSED=p"]


def test_under_no_new_privs_the_cell_has_one_id(run):
    """Where newuidmap can't help an account that has a range: as systemd's NoNewPrivileges= leaves it."""
    done = run("--", "id", "-u", preexec_fn=lambda: ctypes.CDLL(None).prctl(38, 1, 0, 0, 0))
    assert (done.returncode, done.stdout) == (0, b"0\n"), done.stderr


def test_workdir(run):
    assert run.out("--", "pwd") == "/app\n"
    assert run.out("-w", "/deep/er", "--", "pwd") == "/deep/er\n"
    assert run.out("--workdir", "/usr", "--", "pwd") == "/usr\n"


LIST_OPTIONS = [
    ("-e", "A=1"),
    ("--env", "A=1"),
    ("--env-file", "some.env"),
    ("-v", "/etc:/x:ro"),
    ("--volume", "/etc:/x:ro"),
    ("--mount", "type=bind,source=/etc,target=/x,readonly"),
    ("--tmpfs", "/x"),
    ("--cap-add", "NET_RAW"),
    ("--cap-drop", "ALL"),
    ("--host-path", "/usr"),
]


@pytest.mark.parametrize("option", LIST_OPTIONS, ids=lambda option: option[0])
def test_a_list_option_takes_one_word_and_leaves_the_command(run, option):
    (run.directory / "some.env").write_text("A=1\n")
    assert run.out(*option, "echo", "hi") == "hi\n"
    assert run.out("-e", "B=2", *option, "-q", "-e", "C=3", "echo", "hi") == "hi\n"
    assert run.out(*option, "--", "echo", "hi") == "hi\n"
    assert run.out(*option, "echo", "--", *option) == " ".join(("--", *option)) + "\n"


def test_the_command_is_the_first_word_that_is_no_option(run):
    assert run.out("echo", "--", "hi") == "-- hi\n"
    done = run("-e", "A=1", "rm", "--", "echo", "pwned")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"echo" in done.stderr  # it is rm that has seen the name
    assert run.out("-v", "/etc/passwd:/x/y:ro", "ls", "/x") == "y\n"
    (run.directory / "in.txt").write_text("in")
    assert run.out("--inputs", "in.txt", "-q", "cat", "in.txt") == "in"  # a list of many words ends at the next option


def test_options_after_the_command_are_its_own(run):
    assert run.out("echo", "--json", "--", "-e", "") == "--json -- -e \n"
    assert run.out("--", "echo", "-h") == "-h\n"


def test_volume(run):
    (run.directory / "dir").mkdir()
    (run.directory / "dir" / "file").write_text("host\n")
    assert run.shell("cat /in/file; touch /in/x 2>/dev/null || echo refused", "-v", "./dir:/in:ro") == "host\nrefused\n"
    run.shell("id -u; echo cell > /in/made; mkdir /in/sub", "-v", f"{run.directory}/dir:/in")
    assert (run.directory / "dir" / "made").read_text() == "cell\n"
    assert (run.directory / "dir" / "made").stat().st_uid == os.getuid()
    assert run.shell("cat /one", "-v", "./dir/file:/one:ro") == "host\n"


def test_mount(run):
    (run.directory / "dir").mkdir()
    (run.directory / "dir" / "file").write_text("host\n")
    source = run.directory / "dir"
    text = "(echo cell > /m/file) 2>/dev/null || echo refused; cat /m/file"
    assert run.shell(text, "--mount", f"type=bind,source={source},target=/m,readonly") == "refused\nhost\n"
    assert run.shell(text, "--mount", f"type=overlay,source={source},target=/m") == "cell\n"
    assert (source / "file").read_text() == "host\n"
    assert run.shell(text, "--mount", f"type=bind,src={source},dst=/m") == "cell\n"
    assert (source / "file").read_text() == "cell\n"
    assert run.shell("stat -c %a /m; df --output=size -B1 /m | tail -n 1", "--mount", "type=tmpfs,target=/m,tmpfs-size=1m,tmpfs-mode=0700").split() == ["700", "1048576"]


def test_tmpfs(run):
    done = run("--tmpfs", "/t:size=64k,mode=1750,noexec", "--", "sh", "-c", "stat -c %a /t; grep ' /t ' /proc/mounts; head -c 100000 /dev/zero > /t/x || echo full")
    shown = done.stdout.decode().splitlines()
    assert shown[0] == "1750"
    assert "noexec" in shown[1] and "nosuid" in shown[1] and "nodev" in shown[1]
    assert shown[2] == "full"


def test_read_only(run):
    text = "for d in /app /root /var/tmp /run /tmp /dev/shm /extra; do touch $d/x 2>/dev/null && echo $d; done; true"
    assert run.shell(text, "--read-only", "--tmpfs", "/extra").split() == ["/tmp", "/dev/shm", "/extra"]
    assert run.shell(text).split() == ["/app", "/root", "/var/tmp", "/run", "/tmp", "/dev/shm"]


def test_host_paths(run):
    assert {"usr", "etc"} <= set(run.out("--", "ls", "/").split())
    shown = run.out("--host-path", "/usr", "--host-path", "/bin", "--host-path", "/lib", "--host-path", "/lib64", "--", "ls", "/").split()
    assert "usr" in shown and "etc" not in shown and "opt" not in shown
    for usr in ("/usr", "/usr/"):  # alone it is enough for what lies in it
        assert "etc" not in run.out("--host-path", usr, "--", "ls", "/").split()
    for usr in ("//usr", "/usr/.", "/./usr//"):
        assert "usr" in run.out("--host-path", usr, "--", "ls", "/").split()


def test_hostname(run):
    assert run.out("--hostname", "chamber", "--", "uname", "-n") == "chamber\n"


def test_user(run):
    assert run.shell("id -u; id -g") == "0\n0\n"
    need_ids(run)
    assert run.shell("id -u; id -g", "--user", "1000:1001") == "1000\n1001\n"
    assert run.shell("id -u; id -g", "-u", "7") == "7\n7\n"
    assert run("-u", "7", "--outputs", "out", "--", "sh", "-c", "echo mine > made").returncode == 0
    assert (run.directory / "out/made").read_text() == "mine\n"


def test_capabilities(run):
    effective = ["--", "sh", "-c", "grep CapEff /proc/self/status | cut -f2"]
    assert int(run.out(*effective), 16) == 0
    assert int(run.out("--cap-add", "NET_ADMIN", "--cap-add", "CAP_KILL", "--cap-drop", "ALL", *effective), 16) == 1 << 12 | 1 << 5


def test_networks(run):
    interfaces = ["--", "sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort"]
    assert run.out(*interfaces) == "lo\n"
    assert run.out("--network", "none", *interfaces) == "lo\n"
    ours = sorted(line.split(":")[0].strip() for line in pathlib.Path("/proc/net/dev").read_text().splitlines()[2:])
    assert sorted(run.out("--net", "host", *interfaces).split()) == ours
    done = run("--network", "outbound", *interfaces)
    if done.returncode == 125:
        assert any(word in done.stderr for word in (b"pasta", b"gateway", b"/dev/net/tun"))
        pytest.skip(done.stderr.decode().strip())
    assert len(done.stdout.split()) == 2


def test_what_docker_also_takes(run):
    assert run.out("--rm", "--init", "--name", "some name", "--executor", "native", "--image", "host", "--profile", "strict", "-q", "--", "echo", "ok") == "ok\n"


def test_interactive(run):
    assert run.out("--", "cat") == ""
    assert run.out("-i", "--", "cat", stdin=None, input=b"line\n" * 100_000, timeout=60) == "line\n" * 100_000
    with open("/etc/passwd", "rb") as file:
        assert run.out("--interactive", "--", "head", "-c", "4", stdin=file) == "root"


def test_interactive_wants_no_directory(run):
    directory = os.open("/", os.O_RDONLY)
    try:
        done = run("-i", "--", "true", stdin=directory)
    finally:
        os.close(directory)
    assert done.returncode == 125
    assert done.stderr.count(b"\n") == 1


# --- limits and how it ended


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["sh", "-c", "exit 77"], 77, b""),
        (["sh", "-c", "kill -KILL $$"], 137, b""),
        (["sh", "-c", "kill -TERM $$"], 143, b""),
        (["sh", "-c", "kill -SEGV $$"], 139, b""),
        (["no-such-command"], 127, b"casemate run: no-such-command: command not found in the cell; "),
        (["/no/such/command"], 127, b"casemate run: /no/such/command: not found in the cell, "),
        (["/etc/passwd"], 126, b"casemate run: /etc/passwd: can't be executed: Permission denied ("),
        (["/usr"], 126, b"casemate run: /usr: can't be executed: Permission denied (a directory, "),
        (["/etc/passwd/x"], 127, b"casemate run: /etc/passwd/x: not found in the cell, "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_exit_status(run, arguments, status, said):
    done = run("--", *arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stderr.count(b"\n") == (said != b"")


@pytest.mark.parametrize(
    ("options", "text", "status", "said"),
    [
        (["--timeout", "300ms"], "sleep 60", 124, b"timed out (wall time 300 ms)"),
        (["--cpu-time", "300ms"], "while :; do :; done", 124, b"timed out (CPU time 300 ms)"),
        (["--memory", "32m"], "exec python3 -c 'x = bytearray(256 << 20)'", 137, b"out of memory (limit 32.0 MiB)"),
        (["--output-limit", "1k"], "yes", 137, b"output limit (more than 1.0 KiB)"),
        (["--disk", "1m"], "head -c 3000000 /dev/zero > x", 1, b"disk limit"),
        (["--inodes", "200"], "for i in $(seq 300); do : > $i || exit 3; done", 2, b"disk limit"),
        (["--file-size", "1k"], "exec head -c 3000 /dev/zero > x", 153, b""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_limits(run, options, text, status, said):
    done = run(*options, "--", "sh", "-c", text)
    assert done.returncode == status
    assert said in done.stderr


def test_more_limits(run):
    assert run.shell("ulimit -n; ulimit -c", "--open-files", "16") == "16\n0\n"
    assert run.shell("ulimit -n") == "1024\n"
    need_controller(run, ["--cpus", "0.5"])
    before = time.monotonic()
    told, status = run.object("--cpus", "0.25", "--timeout", "2", "--", "sh", "-c", "while :; do :; done")
    used = told["resources"]["user_cpu_ms"] + told["resources"]["system_cpu_ms"]
    assert status == 124
    assert used < 0.6 * 1000 * (time.monotonic() - before)


def test_process_limit(run):
    text = "import os, time\nmade = 0\ntry:\n  while made < 100:\n    if os.fork() == 0: time.sleep(60)\n    made += 1\nexcept OSError: pass\nprint(made)\n"
    assert int(run("--pids-limit", "20", "-q", "--", "python3", "-c", text).stdout) == 19


def test_unlimited(run):
    assert run.out("-m", "0", "--pids-limit", "-1", "--", "echo", "ok") == "ok\n"


# --- what comes back


def test_json(run):
    told, status = run.object("--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert status == 3
    assert list(told) == DEFAULT_KEYS
    assert told["status"] == "error"
    assert told["exit_status"] == 3
    assert told["command"] == ["sh", "-c", "echo out; echo err >&2; exit 3"]
    assert (told["outcome"], told["outcome_word"]) == ("exited 3", "exited")
    assert (told["stdout"], told["stderr"], told["output_truncated"]) == ("out\n", "err\n", False)
    assert told["resources"]["wall_ms"] > 0
    guide = (TREE / "docs" / "guide" / "run.md").read_text(encoding="utf-8")
    (row,) = (line for line in guide.splitlines() if line.startswith("| `resources`"))
    assert list(told["resources"]) == re.findall(r"`([a-z_]+)`", row.split(";")[0])[1:]
    unknown = {name for name, value in told["resources"].items() if value is None}
    assert unknown <= {"read_bytes", "written_bytes", "peak_pids"}
    assert told["captured"] == told["deleted"] == told["skipped"] == told["leftovers"] == []


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["--timeout", "200ms", "--", "sleep", "60"], 124, "timed out"),
        (["--", "no-such-command"], 127, "setup failed"),
        (["--", "sh", "-c", "kill -KILL $$"], 137, "signaled"),
        (["--", "true"], 0, "exited"),
    ],
)
def test_json_outcomes(run, arguments, status, word):
    told, code = run.object(*arguments)
    assert (code, told["exit_status"], told["outcome_word"]) == (status, status, word)
    assert told["status"] == ("success" if status == 0 else "error")


LONG = "/no" + "/such-directory" * 200 + "/end"


@pytest.mark.parametrize("arguments", [["-v", LONG + ":/x", "--", "true"], ["-w", "/etc" + LONG, "--", "true"], ["--tmpfs", "/etc" + LONG, "--", "true"], ["--inputs", LONG, "--", "true"], ["--", LONG], ["--memory", LONG, "--", "true"]], ids=lambda arguments: arguments[0])
def test_long_paths_are_told_short(run, arguments):
    done = run(*arguments)
    assert done.returncode in (125, 127)
    assert done.stderr.count(b"\n") == 1
    assert len(done.stderr) < 600
    assert b"..." in done.stderr and b"such-directory/end" in done.stderr
    told, _ = run.object(*arguments)
    assert LONG in (told.get("message") or told["outcome"])


@pytest.mark.parametrize("arguments", [["--nope", "--", "true"], ["--memory", "zz", "--", "true"], ["--memory"], [], ["-v", "/no/such/place:/x", "--", "true"], ["--inputs", "/no/such/file", "--", "true"]])
def test_json_of_what_never_ran(run, arguments):
    told, status = run.object(*arguments)
    assert status == told["exit_status"] == 125
    assert told["status"] == "error"
    assert told["message"]


def test_json_of_hostile_output(run):
    told, _ = run.object("--", "printf", r"\377\033[2J\000end")
    assert told["stdout"] == "\ufffd\x1b[2J\x00end"


def test_inputs_and_outputs(run):
    (run.directory / "data.csv").write_text("1,2\n")
    (run.directory / "dir").mkdir()
    (run.directory / "dir" / "inner").write_text("i")
    text = "cat data.csv dir/inner; echo more >> data.csv; rm dir/inner; mkdir new; echo made > new/file; ln -s /etc/shadow link; mkfifo fifo"
    done = run("--inputs", "data.csv", "dir", "--outputs", "out", "--", "sh", "-c", text)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"1,2\ni"
    assert (run.directory / "data.csv").read_text() == "1,2\n"
    assert (run.directory / "dir" / "inner").exists()
    out = run.directory / "out"
    assert (out / "data.csv").read_text() == "1,2\nmore\n"
    assert (out / "new" / "file").read_text() == "made\n"
    assert os.readlink(out / "link") == "/etc/shadow"
    assert not os.path.lexists(out / "fifo")
    assert b"left out: fifo (fifo)" in done.stderr


def test_inputs_and_outputs_as_json(run):
    (run.directory / "a").write_text("a")
    (run.directory / "b").write_text("b")
    told, status = run.object("--inputs", "a", "b", "--outputs", "out", "--", "sh", "-c", "rm a; echo bb > b; echo c > c; mkfifo fifo")
    assert status == 0
    assert {entry["path"]: entry["kind"] for entry in told["captured"]} == {"b": "modified", "c": "created"}
    assert [entry["path"] for entry in told["deleted"]] == ["a"]
    assert told["skipped"] == [{"path": "fifo", "reason": "fifo"}]
    assert all(entry["digest"].startswith("sha256:") and entry["size"] > 0 for entry in told["captured"])


def test_outputs_never_write_over_what_is_there(run):
    assert run("-q", "--outputs", "out", "--", "sh", "-c", "echo 1 > a; echo 1 > b").returncode == 0
    done = run("--outputs", "out", "--", "sh", "-c", "echo 2 > a; echo 2 > b; echo 2 > c")
    assert done.returncode == 125
    text = done.stderr.decode()
    assert "File exists (1 more like it); files that are there are never written over: remove them, or name another directory with --outputs\n" in text
    assert [line.split()[-1] for line in text.splitlines() if " B " in line] == ["c"], "only what came out is listed"
    assert [(run.directory / "out" / name).read_text() for name in "abc"] == ["1\n", "1\n", "2\n"]
    told, status = run.object("--outputs", "out", "--", "sh", "-c", "echo 3 > a")
    assert (status, told["exit_status"], told["status"]) == (125, 125, "error")
    assert told["message"].startswith("can't copy a to ") and "remove them" in told["message"]
    assert told["outcome"] == "exited 0"
    told, status = run.object("--outputs", "out", "--", "sh", "-c", "echo 3 > a; exit 4")
    assert (status, told["exit_status"]) == (4, 4), "the command's own failure comes first"


def test_leftovers_are_named(run):
    name = f"left_{os.getpid()}"
    told, status = run.object("--", "python3", "-c", f"import os, time\nif os.fork() == 0:\n  os.setsid(); os.execvp('sleep', ['{name}', '600'])\ntime.sleep(0.5)")
    assert status == 0
    assert [process["name"] for process in told["leftovers"]] == ["sleep"]
    assert gone(name)


# --- bad input: one line, status 125, nothing run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command"),
        (["--"], "no command"),
        (["--nope", "--", "true"], "--nope"),
        (["-v", "/etc/passwd:/bin/no-such-place", "--", "true"], "can't mount at '/bin/no-such-place': it lies in a read-only directory of the host"),
        (["-it", "--", "sh"], "-t is not supported yet: a cell has no terminal; -i is: write -i for -it"),
        (["--tty", "--", "sh"], "-t is not supported yet: a cell has no terminal; leave it out"),
        (["--memory"], "--memory"),
        (["--memory", "much", "--", "true"], "--memory: 'much' is not a size"),
        (["--memory", "1k", "--", "true"], "at least 4M"),
        (["--timeout", "soon", "--", "true"], "--timeout: 'soon' is not a duration"),
        (["--timeout", "-1", "--", "true"], "not a duration"),
        (["--cpus", "0", "--", "true"], "at least 0.01"),
        (["--cpus", "nan", "--", "true"], "at least 0.01"),
        (["--cpus", "x", "--", "true"], "not a number"),
        (["--pids-limit", "many", "--", "true"], "not a whole number"),
        (["--open-files", "1", "--", "true"], "at least 8"),
        (["--disk", "1", "--", "true"], "at least 64K"),
        (["-v", "/no/such/place:/x", "--", "true"], "/no/such/place: no such file or directory on the host"),
        (["-v", "/usr", "--", "true"], "SRC:DST"),
        (["-v", "/usr:/x:maybe", "--", "true"], "ro or rw"),
        (["-v", "/usr:x", "--", "true"], "not an absolute path"),
        (["-v", "/usr:/x/../y", "--", "true"], "'..'"),
        (["-v", "/usr:/", "--", "true"], "nothing can be mounted at '/'"),
        (["-v", "/usr:/proc", "--", "true"], "nothing can be mounted at '/proc'"),
        (["--tmpfs", "/proc/sys", "--", "true"], "nothing can be mounted at '/proc/sys'"),
        (["--tmpfs", "/x:colour=red", "--", "true"], "colour"),
        (["--mount", "type=volume,target=/x", "--", "true"], "choose bind, overlay, tmpfs"),
        (["--mount", "type=volume,source=v,target=/x", "--", "true"], "choose bind, overlay, tmpfs"),
        (["--memroy", "64m", "--", "true"], "no option '--memroy', did you mean '--memory'?"),
        (["--lock", "my.lock", "--", "true"], "the file follows after '=': --lock=my.lock"),
        (["--mount", "type=overlay,source=/etc,target=/x,upperdir=/y", "--", "true"], "--mount has no option 'upperdir'"),
        (["--mount", "type=tmpfs,target=/x,size=zz", "--", "true"], "zz"),
        (["--mount", "type=bind,target=/x", "--", "true"], "no source="),
        (["--mount", "type=tmpfs", "--", "true"], "no target="),
        (["-e", "=x", "--", "true"], "NAME=VALUE"),
        (["--env-file", "/no/such/file", "--", "true"], "/no/such/file"),
        (["--image", "", "--", "true"], "no image is named"),
        (["--image", "python:3", "--", "true"], "did you mean docker://python:3?"),
        (["--network", "bridges", "--", "true"], "none, outbound or host"),
        (["--profile", "lax", "--", "true"], "default or strict"),
        (["--user", "bob", "--", "true"], "not a numeric"),
        (["--host-path", "/", "--", "true"], "'/' can't be shown as a whole"),
        (["--host-path", "/usr", "--host-path", "/dev/.", "--", "true"], "'/dev' can't be shown"),
        (["--host-path", "/proc/", "--", "true"], "'/proc' can't be shown"),
        (["--host-path", "/sys", "--", "true"], "'/sys' can't be shown"),
        (["--host-path", "/no/such/place", "--", "true"], "/no/such/place: no such file or directory"),
        (["-e", "bad name=1", "--", "true"], "no blanks"),
        (["--user", "4000000000", "--", "true"], "does not exist in the cell"),
        (["--cap-add", "ALL", "--", "true"], "added by name"),
        (["--cap-add", "NOPE", "--", "true"], "no capability 'NOPE'"),
        (["--hostname", "a" * 65, "--", "true"], "host name"),
        (["-w", "relative", "--", "true"], "not an absolute path"),
        (["--inputs", "/no/such/file", "--", "true"], "/no/such/file"),
        (["--outputs", "/proc/x", "--", "true"], "/proc/x"),
        (["--outputs", "out", "-w", "/", "--", "true"], "other than /"),
        (["--executor", "docker", "--", "true"], "needs an image"),
        (["--executor", "cloud", "--", "true"], "native, docker or remote"),
        (["-e", "A\x1b[2J=\x1b[2J", "--image", "\x1b[2J", "--", "true"], "image"),
    ],
    ids=lambda value: " ".join(value[:2]).replace("\x1b", "ESC")[:40] if isinstance(value, list) else None,
)
def test_bad_input(run, arguments, said):
    done = run(*arguments)
    text = done.stderr.decode()
    assert done.returncode == 125, text
    assert done.stdout == b""
    assert said in text
    assert text.startswith("casemate run: ")
    assert text.count("\n") == 1 and "\x1b" not in text


def test_history_has_it(run):
    run.environment["CASEMATE_STATE_DIR"] = str(run.directory / "state")
    run("--", "sh", "-c", "exit 9")
    done = subprocess.run([CASEMATE, "history", "--json"], env=run.environment, capture_output=True, timeout=30, check=True)
    (entry,) = json.loads(done.stdout)
    assert (entry["front_end"], entry["outcome"], entry["code"]) == ("run", "exited", 9)
    assert "exit 9" in entry["name"]
