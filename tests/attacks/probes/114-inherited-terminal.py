# class: hard
# tries: TIOCSTI and TIOCLINUX on a terminal that the caller passed as stdin on purpose (-i)
# must: EPERM or EIO, in 32-bit and 64-bit spelling of the command (CVE-2023-1523)
# pty: 1
# interactive: 1
COMMANDS = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSTI, high half set": 0x5412 | 1 << 40}
buffer = ctypes.create_string_buffer(b"\x02x", 16)
done = []
for fd in (0, 1, 2):
    libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
    for name, command in COMMANDS.items():
        if libc.ioctl(fd, command, ctypes.addressof(buffer)) >= 0:
            done.append("%s on descriptor %d" % (name, fd))
if done:
    escaped(" ".join(done))
held("a terminal" if os.isatty(0) else "no terminal")
