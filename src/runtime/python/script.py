"""What happens in the fork (or fresh interpreter) that runs one pipeline script: after lines.py, start.py, forking.py and plain.py.

Says, as lines of JSON (src/runtime/script_answer.h reads them):
  {"main": bool}       whether the script has a main(); comes before anything of it runs
  {"script": {"main", "problem", "traceback", "seconds", "notes"}}   how it came out; "problem" is "" if it did what it should
"""
from time import perf_counter

PARAMETERS = ("input_paths", "output_paths", "environ_vars", "job_args")
NO_MAIN = "Script missing main() function"
OTHER_PARAMETERS = "Main function signature doesn't match script development guide"
OWN_FILE = "<casemate>"
MOST_TRACEBACK = 64 << 10
MOST_PROBLEM = 8192


class ScriptRun:
    """One request: {"name", "path", "input_paths", "output_paths", "environ_vars", "job_args", "check_only"}."""

    def __init__(self, request, stream):
        self.name, self.path = request["name"], request["path"]
        self.request = request
        self.stream = stream
        self.has_main = False
        self.problem = self.traceback = ""
        self.seconds = 0.0
        self.notes = list(NOTES)

    def tell(self):
        """The last line."""
        told = {"main": self.has_main, "problem": bounded(self.problem, MOST_PROBLEM), "traceback": bounded(self.traceback, MOST_TRACEBACK)}
        told.update(seconds=self.seconds, notes=self.notes[:64])
        self.stream.add(to_json({"script": told}) + "\n")
        self.stream.flush()

    def run(self):
        """All of it."""
        try:
            code, main = self.read()
        except BaseException as problem:
            self.blame(problem)
            return self.tell()
        fits = None if main is None else parameters_fit(main.args) and type(main).__name__ == "FunctionDef"
        self.has_main = main is not None or self.may_get_main
        self.stream.add(to_json({"main": self.has_main}) + "\n")
        self.stream.flush()
        if not self.has_main:
            self.problem = NO_MAIN
        elif fits is False:
            self.refuse(("async " if type(main).__name__ != "FunctionDef" else "") + "main(%s)" % parameters_text(main.args))
        elif not self.request.get("check_only"):
            self.call(code, known=bool(fits))
        self.tell()

    def read(self):
        """(its code, the definition of main at its top level or None). SyntaxError, OSError: as Python has it."""
        import ast
        import io

        with io.open_code(self.path) as file:
            source = file.read()
        tree = ast.parse(source, self.path)
        found = None
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "main":
                found = node
        # Bound in another way: an import, an assignment, within an if. Only running it tells.
        self.may_get_main = found is None and any(binds_main(node, ast) for node in ast.walk(tree))
        return compile(tree, self.path, "exec", dont_inherit=True), found

    def call(self, code, known):
        """Imports the module under its own name, then main()."""
        import argparse
        import types

        request = self.request
        os.environ.update(request["environ_vars"])
        directory = os.path.dirname(self.path)
        sys.path.insert(0, directory)
        sys.path_importer_cache.clear()  # what was not there in the parent may be here
        sys.argv[:] = [self.path]
        module = types.ModuleType(self.name)
        module.__file__ = self.path
        sys.modules[self.name] = module
        began = perf_counter()
        in_main = False
        try:
            exec(code, module.__dict__)
            main = getattr(module, "main", None)
            if not callable(main):  # deleted or bound to something else since, or never made
                self.has_main, self.problem = False, NO_MAIN
            elif not known and not signature_fits(main):
                self.refuse("main" + signature_text(main))
            else:
                in_main = True
                job_args = argparse.Namespace()
                vars(job_args).update(request["job_args"])  # names like "self" too, which can't be passed by keyword
                returned = main(
                    input_paths=dict(request["input_paths"]),
                    output_paths=dict(request["output_paths"]),
                    environ_vars=dict(request["environ_vars"]),
                    job_args=job_args,
                )
                self.problem = never_ran(returned)
        except SystemExit as end:
            if end.code not in (None, 0) or not in_main:
                code = "" if end.code is None else bounded(repr_of(end.code), 1000)
                self.problem = "the script called sys.exit(%s)%s" % (code, "" if in_main else " when it was imported, before main()")
        except BaseException as problem:
            self.blame(problem)
        self.seconds = perf_counter() - began
        self.end_as_an_interpreter_would()

    def refuse(self, found):
        """Its main() can't be called as main() is."""
        self.problem = OTHER_PARAMETERS
        self.notes.append("found %s, wanted main(%s)" % (bounded(found, 1000), ", ".join(PARAMETERS)))

    def blame(self, problem):
        """The exception is why; its traceback, without our frames."""
        import traceback

        frames = problem.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == OWN_FILE:
            frames = frames.tb_next
        try:
            text = as_text(problem)
        except BaseException as other:  # SystemExit of its own __str__()
            text = "<without a text: %s>" % type(other).__name__
        self.problem = type(problem).__name__ + (": " + text if text else "")
        try:
            self.traceback = "".join(traceback.format_exception(type(problem), problem, frames))
        except BaseException as other:  # an exception whose own methods raise
            self.traceback = "%s\n<no traceback: %s>\n" % (self.problem, type(other).__name__)

    def end_as_an_interpreter_would(self):
        """This process leaves without Python's own end: what was registered for it is called, what is buffered written. Threads are not waited
        for."""
        import atexit

        left = [t for t in python_threads() if not t.daemon]
        if left:
            self.notes.append("still running when main() had ended: %s" % ", ".join(as_text(t.name) for t in left[:8]))
        try:
            atexit._run_exitfuncs()
        except BaseException as problem:
            self.notes.append("a function registered with atexit raised %s" % type(problem).__name__)
        import io

        for thing in gc.get_objects():
            if isinstance(thing, (io.BufferedWriter, io.TextIOWrapper)):
                try:
                    thing.flush()
                except Exception:
                    pass  # closed, or for reading


def repr_of(value):
    """repr(value), which a script's own object may refuse."""
    try:
        return repr(value)
    except BaseException:
        return type(value).__name__


def never_ran(returned):
    """What is wrong with what main() returned: "" unless it is code of which nothing has run. Such a coroutine is closed, so that Python does
    not warn of it too."""
    import types

    kind = type(returned)
    if kind not in (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType):
        return ""
    import inspect

    if kind is types.AsyncGeneratorType:
        return "main() returned an asynchronous generator, of which nothing has run: define it with `def`, and call asyncio.run() in it"
    if kind is types.GeneratorType and inspect.getgeneratorstate(returned) == inspect.GEN_CREATED:
        return "main() returned a generator, of which nothing has run: take `yield` out of it, or go through what it yields within it"
    if kind is types.CoroutineType and inspect.getcoroutinestate(returned) == inspect.CORO_CREATED:
        returned.close()
        return "main() returned a coroutine, of which nothing has run: define it with `def`, and call asyncio.run() in it"
    return ""


def binds_main(node, ast):
    """Whether it may make a name main."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return any((alias.asname or alias.name) in ("main", "*") for alias in node.names)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name == "main" and node.col_offset > 0 and not (node.args.args and node.args.args[0].arg == "self")
    return isinstance(node, ast.Name) and node.id == "main" and isinstance(node.ctx, ast.Store)


def parameters_fit(arguments):
    """Whether main(input_paths=..., output_paths=..., environ_vars=..., job_args=...) can be called with these (ast.arguments)."""
    positional = [a.arg for a in arguments.args]
    optional = set(positional[len(positional) - len(arguments.defaults) :] if arguments.defaults else ())
    optional.update(a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is not None)
    named = positional + [a.arg for a in arguments.kwonlyargs]
    if getattr(arguments, "posonlyargs", None):
        return False
    missing = [name for name in PARAMETERS if name not in named]
    return (not missing or arguments.kwarg is not None) and all(name in PARAMETERS or name in optional for name in named)


def parameters_text(arguments):
    """Parameters (ast.arguments) as they are written, but for what their defaults and types are."""
    before = getattr(arguments, "posonlyargs", [])
    names = [a.arg for a in before + arguments.args]
    defaults = len(arguments.defaults)
    texts = [name + ("=..." if at >= len(names) - defaults else "") for at, name in enumerate(names)]
    if before:
        texts.insert(len(before), "/")
    if arguments.vararg is not None:
        texts.append("*" + arguments.vararg.arg)
    elif arguments.kwonlyargs:
        texts.append("*")
    for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
        texts.append(a.arg + ("=..." if default is not None else ""))
    if arguments.kwarg is not None:
        texts.append("**" + arguments.kwarg.arg)
    return ", ".join(texts)


def signature_text(main):
    """"(a, b=1)" of a function that is there."""
    import inspect

    try:
        return as_text(inspect.signature(main))
    except Exception:  # a builtin, or defaults whose repr() raises
        return "(...)"


def signature_fits(main):
    """The same for a function that is there."""
    import inspect

    try:
        inspect.signature(main).bind(**dict.fromkeys(PARAMETERS))
    except (TypeError, ValueError):
        return False
    return True


def run(ids, stream):
    """ids: "script" or "inspect", and the request as JSON."""
    kind, request = ids[0], read_json(ids[1])
    go_to(request["cwd"])
    if kind == "script":
        ScriptRun(request, stream).run()
    else:
        inspect_data(request, stream)


def go_to(directory):
    """Where the caller is: in a cell an empty place, but for what is shown in it."""
    try:
        os.makedirs(directory, exist_ok=True)
        os.chdir(directory)
    except OSError as problem:
        NOTES.append("the working directory is %s: %s" % (os.getcwd(), as_text(problem)))


def inspect_data(request, stream):
    """inspect() of inspect.py, which comes before."""
    inspect(request["data"], stream)


main()
