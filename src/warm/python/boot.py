"""How a warm parent becomes `python -m pytest ARGS`."""


def become_pytest(args):
    """Makes this process look like `python -m pytest ARGS`, as runpy does it. Gives pytest and the code of its __main__."""
    if sys.path and sys.path[0] == "":
        sys.path[0] = os.getcwd()
    if hasattr(sys, "orig_argv"):
        given = len(sys.orig_argv) - len(args)
        sys.orig_argv[given - 2 : given] = ["-m", "pytest"]
    import runpy

    sys.argv[0] = "-m"
    _, spec, code = runpy._get_module_details("pytest.__main__")
    main = sys.modules["__main__"].__dict__
    for name in ("os", "s"):  # kWarmBoot's
        main.pop(name, None)
    main.update(
        __name__="__main__",
        __file__=spec.origin,
        __cached__=spec.cached,
        __doc__=None,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    sys.argv[:] = [spec.origin] + args
    import pytest

    return pytest, code


def run_pytest(code, plugin):
    """Runs pytest's __main__ with one more plugin, and gives its exit status: the same frames, arguments and environment as without."""
    import _pytest.config as config

    if REWRITES is not None:
        REWRITES.listen()
    original = config.get_config

    def get_config(*args, **more):
        config.get_config = original
        made = original(*args, **more)
        made.pluginmanager.register(plugin)  # not among the arguments, which tests can see in invocation_params
        return made

    config.get_config = get_config
    try:
        exec(code, sys.modules["__main__"].__dict__)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


try:
    pytest, MAIN = become_pytest(ARGS)
except BaseException as problem:
    what = "pytest cannot be imported: %s: %s" % (type(problem).__name__, as_text(problem))
    cells.send(b"X" + to_json({"what": what.split("\n", 1)[0], "text": own_output(), "status": 3}).encode())
    cells.leave(1)
