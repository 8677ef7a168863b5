"""What a parent does so that its forks are as good as fresh interpreters: threads told, random numbers drawn anew, objects out of the way."""
import gc


def python_threads():
    """threading's, besides the main one."""
    threading = sys.modules.get("threading")
    return [] if threading is None else [t for t in threading.enumerate() if t is not threading.main_thread()]


def python_thread_names():
    """Words for those that somebody may miss."""
    return ["a thread (%s)" % as_text(t.name) for t in python_threads() if not is_harmless(t)]


def thread_names():
    """Threads besides the main one, native ones too: a fork does not have them, and what they hold locked stays locked in it."""
    native = len(os.listdir("/proc/self/task")) - 1 - len(python_threads())
    return python_thread_names() + ["a thread"] * max(native, 0)


def is_harmless(thread):
    """Whether it waits in accept() for workers that do not come: pytest-rerunfailures has one if xdist is installed."""
    return getattr(getattr(thread, "_target", None), "__module__", None) == "pytest_rerunfailures"


def can_be_immortal():
    """Whether this interpreter's reference counts are those that immortalize() knows."""
    return sys.implementation.name == "cpython" and (3, 12) <= sys.version_info[:2] <= (3, 13) and "t" not in sys.abiflags


def immortal_kinds():
    """(types whose objects' death nobody can observe, containers that may be immortal if all they hold may). No dict but a module's: it
    may hold anything by the time its owner dies."""
    descriptors = (type(str.join), type(str.__add__), type(type.__dict__["__mro__"]), type(type.__dict__["__dict__"]), type(dict.__dict__["fromkeys"]))
    code = type(can_be_immortal.__code__), type(can_be_immortal), type(len), type(sys)
    return (
        (str, bytes, int, float, complex, property, staticmethod, classmethod) + descriptors + code,
        (tuple, frozenset),
    )


def random_state():
    """The state of random's global generator; None where nobody has imported it."""
    random = sys.modules.get("random")
    return None if random is None else random.getstate()


def seeded_state(before):
    """The state of random's generator, if it has been seeded on purpose since `before`; None if numbers have only been drawn."""
    state = random_state()
    if state is None or before is None:
        return None
    random = sys.modules["random"]
    walker = random.Random()
    walker.setstate(before)
    for _ in range(200):  # a block of 624 words at a time
        if walker.getstate()[1][:-1] == state[1][:-1]:
            return None
        walker.getrandbits(32 * 624)
    return state


def numpy_was_seeded(numpy_random):
    """Whether numpy.random.seed() has been called: the generator then no longer has what the system seeded it with (numpy 1.17 and later)."""
    generator = getattr(getattr(numpy_random, "mtrand", None), "_rand", None)
    bits = getattr(generator, "_bit_generator", None)
    return getattr(bits, "_seed_seq", bits) is None


def renewals(seeded):
    """What a fork calls so that it does not draw the names and numbers that its siblings draw. CPython itself seeds random in a fork: then
    `seeded`, a state to come back to, is put back."""
    calls = []
    if seeded is not None:
        calls.append(lambda: sys.modules["random"].setstate(seeded))
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None and tempfile._name_sequence is not None:
        # It begins anew for another pid, but two cells have the same pids.
        calls.append(lambda: setattr(tempfile, "_name_sequence", None))
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and "pytest_randomly" not in sys.modules and not numpy_was_seeded(numpy_random):
        calls.append(numpy_random.seed)
    generator = getattr(sys.modules.get("hypothesis.core"), "_hypothesis_global_random", None)
    if generator is not None:
        calls.append(generator.seed)
    return calls


def settle_memory(for_good, immortal):
    """Before forks: garbage gone, objects out of the collector's way. `for_good`: none of them has to go any more."""
    if for_good:
        gc.collect()
    if for_good and immortal and can_be_immortal():
        cells.immortalize(*immortal_kinds())
    gc.freeze()
    gc.disable()
    cells.fill_holes()


def become_one_of_many(renew):
    """In a fork: nothing is drawn that its siblings draw, and its thread knows its number."""
    for call in renew:
        call()
    threading = sys.modules.get("threading")
    main_thread = threading.main_thread() if threading is not None else None
    if hasattr(main_thread, "_set_native_id"):
        main_thread._set_native_id()
