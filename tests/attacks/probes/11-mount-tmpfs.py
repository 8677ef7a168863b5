# class: surface
# tries: mount a tmpfs
# must: EPERM for a plain job
place = scratch()
if libc.mount(b"none", place.encode(), b"tmpfs", 0, None) == 0:
    libc.umount2(place.encode(), 2)
    os.rmdir(place)
    escaped("mounted a tmpfs")
answer = errno.errorcode.get(ctypes.get_errno())
os.rmdir(place)
held(answer)
