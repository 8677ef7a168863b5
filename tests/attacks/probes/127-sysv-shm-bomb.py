# class: resource
# tries: fill 44 System V segments of 16 MiB and detach them: 704 MiB that no process has mapped
# must: charged to the job, which is killed, or ENOSPC
# died: held
IPC_CREAT = 0o1000
IPC_RMID = 0
SIZE = 16 << 20
libc.shmat.restype = ctypes.c_void_p
libc.shmdt.argtypes = (ctypes.c_void_p,)
segments = []
refused = None
for _ in range(44):
    segment = libc.shmget(0, ctypes.c_size_t(SIZE), IPC_CREAT | 0o600)
    if segment < 0:
        refused = errno.errorcode.get(ctypes.get_errno())
        break
    segments.append(segment)
    address = libc.shmat(segment, None, 0)
    ctypes.memset(address, 1, SIZE)
    libc.shmdt(address)
time.sleep(0.5)
for segment in segments:
    libc.shmctl(segment, IPC_RMID, None)
if refused is None:
    escaped("704 MiB in segments")
held("%d segments, then %s" % (len(segments), refused))
