"""The beginning of every warm parent: loads the native half, takes stdout and stderr."""
CONTROL, NATIVE = 3, 5  # descriptors given by the engine; 4 is this text


def load_cells():
    """The native half, without a trace in sys.modules."""
    import _frozen_importlib
    import _frozen_importlib_external
    import _imp

    path = "/proc/self/fd/%d" % NATIVE
    loader = _frozen_importlib_external.ExtensionFileLoader("casemate_cells", path)
    spec = _frozen_importlib.ModuleSpec("casemate_cells", loader, origin=path)
    module = _imp.create_dynamic(spec)
    _imp.exec_dynamic(module)
    os.close(NATIVE)
    return module


def refuse_free_threading():
    """A build without a GIL has other objects than the stable ABI knows: the native half would break it."""
    if "t" not in getattr(sys, "abiflags", ""):
        return
    what = "casemate cannot use a free-threaded Python (%s): choose a build with the GIL, for example by --python" % sys.version.split()[0]
    os.write(CONTROL, b"X" + to_json({"what": what, "text": "", "status": 3}).encode())
    os._exit(1)


def descriptors():
    """{number: its os.stat_result} of this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.fstat(int(name))
        except OSError:
            pass  # the listing's own
    return found


def open_descriptors():
    """{(device, inode): [descriptors]} of this process."""
    found = {}
    for number, status in descriptors().items():
        found.setdefault((status.st_dev, status.st_ino), []).append(number)
    return found


def take_own_output(out=None, err=None):
    """Files as stdout and stderr of this process, wherever copies of them lie: those of the engine, or fresh ones."""
    global OUT, ERR
    if out is None:
        out, err = cells.new_file(), cells.new_file()
    cells.renew(out, err)
    OUT, ERR = identity(out), identity(err)
    for fd in (out, err):
        if fd > 2:
            os.close(fd)


def has_files():
    """Whether stdout and stderr are two files that can be read back, as the engine may give them."""
    found = [os.fstat(fd) for fd in (1, 2)]
    return all(status.st_mode & 0o170000 == 0o100000 for status in found) and identity(1) != identity(2)


def identity(fd):
    """(device, inode)."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def own_output():
    """What this process has printed: stdout, then stderr."""
    flush_output()
    text = b""
    found = open_descriptors()
    for kind in (OUT, ERR):
        for fd in found.get(kind, ())[:1]:
            try:
                text += os.pread(fd, 1 << 20, 0)
            except OSError:
                pass  # the engine's, for writing alone
    return text.decode("utf-8", "replace")


def flush_output():
    """What Python holds back for stdout and stderr, before the process ends without its help."""
    for file in {id(f): f for f in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}.values():
        try:
            file.flush()
        except Exception:
            pass  # closed, or not a file at all: nothing to keep


COLD = os.environ.pop("CASEMATE_COLD", None) is not None or ALONE  # one that runs tests itself, and forks none
OUT = ERR = None
if ALONE:
    cells = Alone(order_of_arguments())
else:
    refuse_free_threading()
    cells = load_cells()
ARGS = sys.argv[1:]
cells.control(CONTROL)
if os.environ.pop("CASEMATE_GUARDED", None) is not None:
    cells.hide()
if not COLD or (ALONE and cells.forks):
    cells.streams((1,), (2,), (), ())
    take_own_output(*((1, 2) if not ALONE and has_files() else ()))
