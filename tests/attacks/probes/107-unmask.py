# class: hard
# tries: unmount or move away what hides parts of /proc, and /proc, /dev, /sys themselves
# must: EPERM
MNT_DETACH = 2
MS_MOVE = 8192
done = []
table = contents("/proc/self/mountinfo")
points = [] if failed(table) else [line.split()[4] for line in table.decode(errors="replace").splitlines()]
for point in points + ["/proc", "/dev", "/sys", "/tmp"]:
    if libc.umount2(point.encode(), MNT_DETACH) == 0:
        done.append("unmounted " + point)
    if libc.mount(point.encode(), b"/tmp", None, MS_MOVE, None) == 0:
        done.append("moved " + point)
if done:
    escaped(" ".join(done[:8]))
held()
