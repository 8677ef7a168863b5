# class: resource
# tries: take all the bytes that the caller may have in POSIX message queues (RLIMIT_MSGQUEUE, counted to the maker of the user namespace as well)
# must: a bound of the cell's own; the caller can still make a queue
# died: held
# witness: queues
class Attributes(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_long), ("messages", ctypes.c_long), ("size", ctypes.c_long), ("rest", ctypes.c_long * 5)]


realtime = ctypes.CDLL("librt.so.1", use_errno=True)
count = 0
while count < 1000 and realtime.mq_open(b"/q%d" % count, os.O_CREAT | os.O_RDWR, 0o600, ctypes.byref(Attributes(0, 10, 8192))) >= 0:
    count += 1
time.sleep(0.5)
held("%d queues, if the caller could make one meanwhile" % count)
