"""`casemate run --image`: jobs whose root is an image, a directory, or the host with layers over it."""

import json
import os
import pathlib
import signal
import subprocess

import pytest
from py_test_runner import CASEMATE
from registry import Layout, layout, needs_images, needs_registry, registry, small_root, tool  # noqa: F401  (fixtures)

pytestmark = needs_images


@pytest.fixture
def small(layout):  # noqa: F811
    return f"oci:{layout.directory}:small"


def explain(run, *arguments):
    return subprocess.run(
        [CASEMATE, "explain", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=run.environment, timeout=60, check=False
    )


def quiet(run, *arguments, **options):
    """Standard output of a run that succeeds; -q keeps the progress of unpacking away."""
    return run.out("-q", *arguments, **options)


def test_the_root_is_the_image(run, small):
    assert quiet(run, "--image", small, "--", "cat", "/etc/os-release") == "ID=small\n"
    assert "ID=small" not in pathlib.Path("/etc/os-release").read_text()
    assert quiet(run, "--image", small, "--", "sh", "-c", "test -e /usr || echo none") == "none\n"


def test_without_a_command_the_image_says_which(run, small):
    assert quiet(run, "--image", small) == "hello from the image\n"
    assert quiet(run, "--image", small, "--") == "hello from the image\n"


def test_environment_is_ours_then_the_images_then_the_callers(run, small):
    lines = quiet(run, "--image", small, "-e", "FROM=caller", "-e", "MORE=1", "--", "env").splitlines()
    assert {"PATH=/bin", "FROM=caller", "MORE=1", "HOME=/root"} <= set(lines)
    assert "FROM=image" in quiet(run, "--image", small, "--", "env").splitlines()


@pytest.mark.parametrize(
    "use, working, variable",
    [("all", "/app", "image"), ("none", "/", "no"), ("env", "/", "image"), ("workdir,user", "/app", "no")],
)
def test_of_the_config_only_what_is_asked_for_counts(run, small, use, working, variable):
    done = quiet(run, "--image", small, "--image-config", use, "--", "/bin/sh", "-c", 'pwd; echo "${FROM:-no}"')
    assert done == f"{working}\n{variable}\n"


def test_the_callers_directory_wins(run, small):
    assert quiet(run, "--image", small, "-w", "/tmp", "--", "pwd") == "/tmp\n"


def test_entrypoint_and_command_as_docker_joins_them(run, layout, tmp_path):  # noqa: F811
    image = layout.add("entry", small_root(tmp_path / "other"), "--config.env=PATH=/bin", "--config.entrypoint=echo", "--config.entrypoint=from", "--config.cmd=cmd")
    assert quiet(run, "--image", image) == "from cmd\n"
    assert quiet(run, "--image", image, "--", "me") == "from me\n"
    assert quiet(run, "--image", image, "--entrypoint", "cat", "--", "/etc/os-release") == "ID=small\n"
    assert quiet(run, "--image", image, "--entrypoint", "", "--", "echo", "bare") == "bare\n"
    done = run("--image", image, "--entrypoint", "")
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)
    assert b"no command" in done.stderr
    assert quiet(run, "--image", image, "--image-config", "none", "--", "/bin/echo", "x") == "x\n"


def test_users_by_the_names_of_the_image(run, layout, small, tmp_path):  # noqa: F811
    probe = run("-q", "--image", small, "-u", "1000", "--", "true")
    if probe.returncode != 0:
        assert b"does not exist in the cell" in probe.stderr
        pytest.skip("this user has no range of ids in /etc/subuid")
    for user, said in [("worker", "1000:1001 /home/worker"), ("worker:crew", "1000:1002 /home/worker"), ("1000", "1000:1001 /home/worker"), ("7:8", "7:8 /")]:
        assert quiet(run, "--image", small, "-u", user, "--", "sh", "-c", 'echo "$(id -u):$(id -g) $HOME"') == f"{said}\n"
    image = layout.add("user", small_root(tmp_path / "other"), "--config.env=PATH=/bin", "--config.user=worker")
    assert quiet(run, "--image", image, "--", "id", "-u") == "1000\n"
    assert quiet(run, "--image", image, "-u", "root", "--", "id", "-u") == "0\n"
    done = run("-q", "--image", small, "-u", "nobody-here", "--", "true")
    assert done.returncode == 125
    assert b"nobody-here" in done.stderr


def test_changes_stay_in_the_cell(run, small):
    text = "rm /app/greeting && echo new > /etc/os-release && cat /etc/os-release && ls /app"
    assert quiet(run, "--image", small, "--", "sh", "-c", text) == "new\n"
    assert quiet(run, "--image", small) == "hello from the image\n"


def test_files_in_and_out(run, small):
    (run.directory / "data").write_text("3\n1\n2\n")
    done = run("-q", "--image", small, "--inputs", "data", "--outputs", "out", "--", "sh", "-c", "sort data > sorted; cat greeting > copy")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (run.directory / "out" / "sorted").read_text() == "1\n2\n3\n"
    assert (run.directory / "out" / "copy").read_text() == "hello from the image\n", "the directory has what the image has there"
    assert sorted(p.name for p in (run.directory / "out").iterdir()) == ["copy", "sorted"]


def test_the_images_user_can_write_its_inputs(run, layout, tmp_path):  # noqa: F811
    image = layout.add("writes", small_root(tmp_path / "other"), "--config.env=PATH=/bin", "--config.user=worker", "--config.workingdir=/app")
    if run("-q", "--image", image, "--", "true").returncode != 0:
        pytest.skip("this user has no range of ids in /etc/subuid")
    (run.directory / "dir").mkdir(mode=0o755)
    for path in ("dir/inner", "data"):
        (run.directory / path).write_text("1\n")
        (run.directory / path).chmod(0o640)
    # As a user the copies stay the cell's root's, and the sticky bit of the working directory keeps them from being removed there.
    text = "id -u; echo 2 >> data; echo 2 >> dir/inner; echo n > dir/new; rm dir/inner; mv dir/new dir/inner" + ("; rm data" if os.geteuid() == 0 else "")
    done = run("-q", "--image", image, "--inputs", "data", "dir", "--outputs", "out", "--", "sh", "-c", text)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1000\n", b"")
    assert (run.directory / "out" / "dir" / "inner").read_text() == "n\n"
    assert (run.directory / "data").read_text() == "1\n"
    assert (run.directory / "data").stat().st_mode & 0o777 == 0o640


def test_wrong_words_are_told_with_what_was_meant(run, small):
    done = run("docker://python:3.11", "python3")
    assert (done.returncode, done.stdout) == (127, b"")
    assert b"did you mean --image docker://python:3.11?\n" in done.stderr
    done = run("-q", "--image", small, "--", "frobnicate")
    assert done.returncode == 127
    done = run("--image", small, "--", "frobnicate")
    assert b"what the image does not have comes along with --inputs, --layer or -v\n" in done.stderr
    (run.directory / "c.toml").write_text('environment = { A = "b" }\n')
    done = run("--container", "c.toml")
    assert (done.returncode, done.stderr) == (125, b"casemate run: no command, and c.toml has no image that could say which; write: casemate run [flags] -- COMMAND [ARGUMENT...]\n")


def test_explain_gets_no_image_and_says_what_does(run, layout):  # noqa: F811
    image = f"oci-archive:{run.directory}/nowhere.tar"
    told = explain(run, "--image", image, "--", "true")
    assert (told.returncode, told.stdout) == (125, "")
    assert told.stderr.endswith(f"explain gets none by itself: 'casemate image pull {image}' first, or --pull missing\n"), told.stderr


def test_files_in_and_out_of_an_image_without_a_directory(run, layout, tmp_path):  # noqa: F811
    image = layout.add("bare", small_root(tmp_path / "other"), "--config.env=PATH=/bin")
    (run.directory / "data").write_text("x")
    assert quiet(run, "--image", image, "--inputs", "data", "--", "sh", "-c", "pwd; cat data") == "/app\nx"
    assert quiet(run, "--image", image, "--", "pwd") == "/\n"


def test_a_directory_as_root(run, tmp_path):
    root = small_root(tmp_path / "tree")
    assert quiet(run, "--image", f"dir:{root}", "-e", "PATH=/bin", "--", "cat", "/etc/os-release") == "ID=small\n"
    assert (run.object("--image", f"dir:{root}", "--", "/bin/true")[0]["image"]) == {"name": f"dir:{root}", "digest": None}
    done = run("-q", "--image", f"dir:{root}")
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)
    assert b"no" in done.stderr and b"command" in done.stderr


def test_json_names_image_and_digest(run, layout, small):  # noqa: F811
    told, status = run.object("--image", small)
    assert status == 0
    assert told["image"] == {"name": small, "digest": layout.digest("small")}
    assert told["command"] == ["cat", "greeting"]
    assert told["stdout"] == "hello from the image\n"
    assert "image" not in run.object("--", "true")[0]


def test_progress_is_told_once_and_in_plain_lines(run, small, tmp_path):
    run.environment = run.environment | {"CASEMATE_CACHE_DIR": str(tmp_path / "cache")}
    first = run("--image", small, "--", "true")
    assert first.returncode == 0
    assert first.stderr.decode() == f"{small}: unpacking 1 layer\n"
    second = run("--image", small, "--", "true")
    assert (second.returncode, second.stderr) == (0, b"")


def test_what_is_not_there_is_told_in_one_line(run, small, tmp_path):
    for arguments, word in [
        (["--image", "oci:/no/such/layout"], "/no/such/layout"),
        (["--image", small + "x"], "smallx"),
        (["--image", small, "--pull", "never"], "store"),
        (["--image", small, "--pull", "sometimes"], "missing, always or never"),
        (["--image", small, "--image-config", "all,env"], "--image-config"),
        (["--image", small, "--platform", "linux"], "OS/ARCHITECTURE"),
        (["--image", small, "--platform", "linux/s390x"], "s390x"),
        (["--image", f"dir:{tmp_path}/nothing", "--", "true"], "nothing"),
        (["--image", "dir:/", "--", "true"], "'/'"),
        (["--image", "debian:12"], "did you mean docker://debian:12?"),
        (["--image", "host"], "no command"),
        (["--layer", "{ glob = ", "--", "true"], "--layer"),
        (["--container", "/no/such/file.toml"], "/no/such/file.toml"),
    ]:
        done = run(*arguments)
        assert done.returncode == 125, arguments
        assert done.stdout == b""
        assert done.stderr.count(b"\n") == 1, done.stderr
        assert word in done.stderr.decode(), (arguments, done.stderr)
        told, status = run.object(*arguments)
        assert (told["status"], status) == ("error", 125)


def test_explain_shows_the_layers_and_fetches_nothing(run, small, tmp_path):
    run.environment = run.environment | {"CASEMATE_CACHE_DIR": str(tmp_path / "cache")}
    before = explain(run, "--image", small, "--", "true")
    assert before.returncode == 125
    assert before.stderr.count("\n") == 1
    run.out("-q", "--image", small)
    after = explain(run, "--json", "--image", small)
    assert after.returncode == 0, after.stderr
    told = json.loads(after.stdout)
    assert told["image"] == small
    assert told["command"] == ["cat", "greeting"]
    assert any("overlay" in step["op"] for step in told["cell"])


@needs_registry
def test_an_image_of_a_registry(run, small, registry):  # noqa: F811
    name = registry.push(small, "tool:1")
    done = run("--image", name)
    assert done.returncode == 125, "plain http is refused unless asked for"
    assert done.stderr.count(b"\n") == 1
    assert quiet(run, "--image", name, "--tls-verify=false") == "hello from the image\n"
    registry.stop()
    assert quiet(run, "--image", name) == "hello from the image\n", "what is there needs no registry"
    assert run("--image", name, "--pull", "always", "--tls-verify=false").returncode == 125


@pytest.mark.parametrize("kind, target", [("proc", "/proc"), ("mqueue", "/dev/mqueue"), ("devpts", "/dev/pts"), ("sysfs", "/sys")])
def test_more_kinds_of_mounts(run, small, kind, target):
    assert quiet(run, "--image", small, "--mount", f"type={kind}", "--", "sh", "-c", f"test -d {target} && echo there") == "there\n"


def test_devices_by_name(run, small):
    assert quiet(run, "--image", small, "--mount", "type=device,source=null,target=/dev/other", "--", "sh", "-c", "echo x > /dev/other && echo ok") == "ok\n"
    done = run("-q", "--image", small, "--mount", "type=device,source=sda", "--", "true")
    assert done.returncode == 125
    assert b"sda" in done.stderr


def test_layers_over_the_image(run, small):
    (run.directory / "pkg").mkdir()
    (run.directory / "pkg" / "one.py").write_text("one\n")
    (run.directory / "top.py").write_text("top\n")
    (run.directory / "other.txt").write_text("no\n")
    layers = ["--layer", '{ glob = "**.py" }', "--layer", '{ stubs = ["/made/", "/made/empty"] }', "--layer", '{ symlinks = [{ link = "/link", target = "/top.py" }] }']
    text = "cat /link /pkg/one.py; test -e /other.txt || echo left out; ls /made"
    assert quiet(run, "--image", small, *layers, "--", "sh", "-c", text) == "top\none\nleft out\nempty\n"


def test_a_layer_that_a_command_makes(run, small):
    layers = ["--layer", '{ command = ["sh", "-c", "echo built > /built"] }']
    for _ in range(2):
        assert quiet(run, "--image", small, *layers, "--", "cat", "/built") == "built\n"


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_signal_while_a_layer_is_made_ends_it(run, small, json_flag):
    layer = '{ command = ["sh", "-c", "echo begun; exec sleep 1000"] }'
    quiet(run, "--image", small, "--", "true")
    job = subprocess.Popen(
        [CASEMATE, "run", *json_flag, "--image", small, "--layer", layer, "--", "true"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=run.environment,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(3)
    job.send_signal(signal.SIGINT)
    out, _ = job.communicate(timeout=30)
    assert job.returncode == 130
    assert not json_flag or json.loads(out)["exit_status"] == 130


def test_layers_over_the_host(run):
    (run.directory / "lib.py").write_text("print('mine')\n")
    assert run.out("-q", "--layer", '{ paths = ["lib.py"], prepend_prefix = "/opt/mine/" }', "--", "python3", "/opt/mine/lib.py") == "mine\n"


def test_a_container_from_a_file(run, layout, small):  # noqa: F811
    (run.directory / "box").mkdir()
    (run.directory / "box" / "code.sh").write_text('echo "$GREETING $(pwd)"\n')
    (run.directory / "box" / "box.toml").write_text(
        f"""
        image = {{ name = "{small}", use = ["layers", "environment"] }}
        layers = [{{ paths = ["code.sh"] }}]
        environment = {{ GREETING = "hi $env{{WHO:-you}} $prev{{FROM}}" }}
        working_directory = "/tmp"
        """
    )
    box = ["--container", "box/box.toml"]
    assert quiet(run, *box, "--", "sh", "/code.sh") == "hi you image /tmp\n"
    assert quiet(run, *box, "-e", "GREETING=ho", "-w", "/", "--", "sh", "/code.sh") == "ho /\n"
    done = run(*box)
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)
    assert run("-q", *box, "--", "touch", "/x").returncode != 0, "nothing says that the root can be written"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other owners")
def test_owners_of_the_image_are_kept_for_root(run, layout, tmp_path):  # noqa: F811
    root = small_root(tmp_path / "owned")
    (root / "owned").write_text("x")
    os.chown(root / "owned", 1000, 1001)
    image = layout.add("owned", root, "--config.env=PATH=/bin")
    assert quiet(run, "--image", image, "--", "stat", "-c", "%u:%g", "/owned") == "1000:1001\n"
