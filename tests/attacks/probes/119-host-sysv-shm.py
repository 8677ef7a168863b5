# class: hard
# tries: attach the host's System V shared memory by its key
# must: ENOENT: an ipc namespace of its own
result = libc.shmget(int(needed("shmkey")), 0, 0)
if result >= 0:
    escaped("the host's segment %d" % result)
held(errno.errorcode.get(ctypes.get_errno()))
