# class: hard
# tries: open cgroup.procs, memory.max or pids.max of any cgroup for writing
# must: read-only, absent or denied
writable = []
for place, subdirectories, names in os.walk("/sys/fs/cgroup"):
    if place.count("/") > 5:
        subdirectories[:] = []
    for name in ("cgroup.procs", "tasks", "memory.max", "memory.limit_in_bytes", "pids.max"):
        if name in names and can_write(place + "/" + name):
            writable.append(place + "/" + name)
    if len(writable) > 5:
        break
if writable:
    escaped("can be written: " + " ".join(writable[:4]))
held()
