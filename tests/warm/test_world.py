"""What a test can see of the process that it runs in is what it would see under a plain pytest."""
import json
import re

import pytest

WORLD = """
    import gc, json, os, signal, sys, threading, warnings

    def look(request):
        '''Before anything else is imported.'''
        world = {"modules": sorted(sys.modules)}
        world["filters"] = [repr(f) for f in warnings.filters]
        world["fds"] = {n: os.readlink("/proc/self/fd/" + n).split("(")[0] for n in sorted(os.listdir("/proc/self/fd")) if int(n) < 50 and os.path.exists("/proc/self/fd/" + n)}
        world["gc"] = [gc.isenabled(), gc.get_threshold(), gc.callbacks]
        world["path"] = sys.path
        world["argv"] = sys.argv
        world["orig_argv"] = getattr(sys, "orig_argv", None)
        main = sys.modules["__main__"]
        world["main"] = {k: repr(v).split(" at 0x")[0] for k, v in vars(main).items() if k not in ("__builtins__", "__loader__")}
        world["cwd"] = os.getcwd()
        world["signals"] = [repr(signal.getsignal(n)) for n in range(1, 32)]
        world["mask"] = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        world["threads"] = threading.active_count()
        world["environ"] = sorted(os.environ)
        world["streams"] = [type(f).__name__ for f in (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)]
        world["hooks"] = [repr(f).split(" at ")[0] for f in (sys.excepthook, sys.displayhook, sys.breakpointhook, sys.unraisablehook)]
        world["meta_path"] = [type(f).__name__ if not isinstance(f, type) else f.__name__ for f in sys.meta_path]
        world["trace"] = [repr(sys.gettrace()), repr(sys.getprofile())]
        world["recursion"] = sys.getrecursionlimit()
        manager = request.config.pluginmanager
        world["plugins"] = sorted(name for name, _ in manager.list_name_plugin() if not name.isdigit())
        world["option"] = {k: repr(v) for k, v in sorted(vars(request.config.option).items())}
        world["args"] = [request.config.args, repr(request.config.invocation_params)]
        world["flags"] = repr(sys.flags)
        logging = sys.modules.get("logging")
        world["handlers"] = [type(h).__name__ for h in logging.getLogger().handlers] if logging else None
        with open(os.environ["WORLD"], "w") as file:
            json.dump(world, file)

    def test_look(request):
        look(request)
"""


@pytest.mark.parametrize("options", [(), ("-s",), ("--capture=sys",), ("-v", "--tb=short"), ("-p", "no:logging"), ("-W", "error")], ids=" ".join)
def test_a_test_sees_the_world_of_a_plain_pytest(project, tmp_path, options):
    project.write("test_it.py", WORLD)
    plain, ours = tmp_path / "plain.json", tmp_path / "ours.json"
    result = project.plain(*options, "test_it.py", WORLD=str(plain))
    assert result.returncode == 0, result.stdout.decode()
    forked = project.module("test_it.py", *options, "test_it.py", WORLD=str(ours)).run("test_it.py::test_look")
    assert forked.outcomes() == {"setup": "passed", "call": "passed", "teardown": "passed"}, forked.lines
    plain, ours = json.loads(plain.read_text()), json.loads(ours.read_text())
    for world in (plain, ours):
        # Pipes and nameless files differ by number alone; where stdout leads is the engine's choice.
        world["fds"] = {fd: re.sub(r"^/tmp/#.*|^/memfd:.*", "nameless", target).split(":")[0] for fd, target in world["fds"].items()}
        if "pytest_rerunfailures" in world["modules"] and "xdist" in world["modules"]:
            # It waits in a thread for workers of xdist, which a fork has not got; when a descriptor of its is collected is a matter of garbage.
            del world["threads"]
            world["fds"] = sorted(world["fds"].values())
    lines = difference(plain, ours)
    assert not lines, "\n".join(lines)


def difference(plain, ours):
    """What differs, a line each, down to the single entry."""
    lines = []
    for key in plain:
        one, other = plain[key], ours[key]
        if isinstance(one, dict):
            lines += [f"{key}[{k}]: {one.get(k)} -> {other.get(k)}" for k in {**one, **other} if one.get(k) != other.get(k)]
        elif isinstance(one, list) and one != other:
            lines += [f"{key}: only plain: {x}" for x in one if x not in other] + [f"{key}: only ours: {x}" for x in other if x not in one]
            lines += [f"{key}: another order"] if sorted(map(str, one)) == sorted(map(str, other)) else []
        elif one != other:
            lines.append(f"{key}: {one} -> {other}")
    return lines
