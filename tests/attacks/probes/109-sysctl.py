# class: hard
# tries: open any file below /proc/sys for writing: core_pattern, modprobe, user.max_user_namespaces and the rest
# must: EROFS or EACCES, but for what is the cell's own (its net and ipc namespaces)
OWN = ("/proc/sys/net/", "/proc/sys/fs/mqueue/", "/proc/sys/kernel/msg", "/proc/sys/kernel/shm", "/proc/sys/kernel/sem")
writable = []
for place, _, names in os.walk("/proc/sys"):
    for name in names:
        path = place + "/" + name
        if can_write(path) and not path.startswith(OWN):
            writable.append(path)
if writable:
    escaped("can be written: " + " ".join(writable[:5]))
held()
