# class: hard
# tries: open a file that came as stdin (-i < file) again by /proc/self/fd/0, for writing; walk from it
# must: the file can be read to its end and not be touched
# stdin: file
# interactive: 1
data = b""
while True:
    more = os.read(0, 65536)
    if not more:
        break
    data += more
if data != b"input of the caller\n":
    escaped("stdin is not the file that was passed: %r" % data[:40])
for flags in (os.O_WRONLY, os.O_WRONLY | os.O_TRUNC, os.O_RDWR, os.O_RDWR | os.O_APPEND):
    for path in ("/proc/self/fd/0", "/dev/stdin", "/dev/fd/0"):
        fd = attempt(os.open, path, flags)
        if not failed(fd):
            attempt(os.write, fd, b"changed by the job\n")
attempt(os.write, 0, b"changed by the job\n")
attempt(os.ftruncate, 0, 0)
attempt(os.fchmod, 0, 0o777)
held("if the file is the same")
