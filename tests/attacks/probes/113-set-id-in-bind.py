# class: output
# tries: make a set-uid or set-gid file in a writable mount, by every call that takes a mode
# must: EPERM; no such file on the host afterwards
AT_FDCWD = -100
place = output_directory()
path = place + "/plain"
with open(path, "w"):
    pass
fd = os.open(path, os.O_RDWR)
for bits in (0o4755, 0o2755, 0o6777):
    attempt(os.chmod, path, bits)
    attempt(os.fchmod, fd, bits)
    attempt(os.chmod, "plain", bits, dir_fd=os.open(place, os.O_RDONLY))
    syscall("fchmodat2", AT_FDCWD, ctypes.c_char_p(path.encode()), bits, 0)
    attempt(os.open, "%s/open.%o" % (place, bits), os.O_CREAT | os.O_WRONLY, bits)
    attempt(os.mknod, "%s/mknod.%o" % (place, bits), stat.S_IFREG | bits)
    libc.creat(("%s/creat.%o" % (place, bits)).encode(), bits)
    how = struct.pack("=QQQ", os.O_CREAT | os.O_WRONLY, bits, 0)
    name = ctypes.c_char_p(("%s/openat2.%o" % (place, bits)).encode())
    syscall("openat2", AT_FDCWD, name, ctypes.create_string_buffer(how), len(how))
    unnamed = attempt(os.open, place, os.O_TMPFILE | os.O_WRONLY, bits)
    if not failed(unnamed):
        attempt(os.link, "/proc/self/fd/%d" % unnamed, "%s/unnamed.%o" % (place, bits), follow_symlinks=True)
for name in os.listdir(place):
    if os.lstat(place + "/" + name).st_mode & (stat.S_ISUID | stat.S_ISGID):
        escaped("made " + name)
held()
