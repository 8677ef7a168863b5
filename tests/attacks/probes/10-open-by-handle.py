# class: hard
# tries: open_by_handle_at(fd, inode 2 of the host's file system): "shocker", CAP_DAC_READ_SEARCH
# must: EPERM
handle = ctypes.create_string_buffer(struct.pack("<IiII", 8, 1, 2, 0) + bytes(128))
answers = []
for place in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/", "/usr"):
    fd = attempt(os.open, place, os.O_RDONLY)
    if failed(fd):
        continue
    result = syscall("open_by_handle_at", fd, handle, 0)
    os.close(fd)
    answers.append(place + ": " + error_name(result))
    if result >= 0 or -result not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
        escaped("handles can be used: " + ", ".join(answers))
held(", ".join(answers))
