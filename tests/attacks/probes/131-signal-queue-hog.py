# class: resource
# tries: queue signals until that fails: the kernel counts them to the maker of the user namespace as well (RLIMIT_SIGPENDING)
# must: a bound of the cell's own; the caller can still make timers
# died: held
# witness: timers
class Value(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("pointer", ctypes.c_void_p)]


libc.sigqueue.argtypes = (ctypes.c_int, ctypes.c_int, Value)
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
count = 0
while count < 1000000 and libc.sigqueue(os.getpid(), 40, Value(number=1)) >= 0:
    count += 1
time.sleep(0.5)
held("%d signals, if the caller could get a timer meanwhile" % count)
