# class: hard
# tries: ioctl(terminal, TIOCSTI): type into the caller's shell (CVE-2017-5226)
# must: EIO, EPERM or no terminal at all
# pty: 1
TIOCSTI = 0x5412
for path in ("/dev/tty", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"):
    fd = attempt(os.open, path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    if failed(fd):
        continue
    if not failed(attempt(fcntl.ioctl, fd, TIOCSTI, b"x")):
        escaped("TIOCSTI on " + path)
held()
