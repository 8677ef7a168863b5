# class: robust
# tries: nothing bad: opens /dev/stdout, /dev/stderr and /dev/stdin by name, as shell scripts do; sets O_NONBLOCK on all
# must: they open; the caller's own descriptors stay as they were
# stdin: file
# interactive: 1
for path, flags in (("/dev/stdout", os.O_WRONLY), ("/dev/stderr", os.O_WRONLY), ("/dev/stdin", os.O_RDONLY)):
    fd = attempt(os.open, path, flags)
    if failed(fd):
        escaped("can't open %s: %r" % (path, fd))
for fd in (0, 1, 2):
    os.set_blocking(fd, False)
held()
