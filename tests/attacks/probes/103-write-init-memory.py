# class: hard
# tries: open /proc/1/mem for reading or writing, read /proc/1/maps, auxv, syscall
# must: EACCES
opened = []
if not failed(attempt(os.open, "/proc/1/mem", os.O_RDWR)):
    opened.append("mem for writing")
for name in ("mem", "maps", "auxv", "environ", "stack"):
    data = contents("/proc/1/" + name, 64)
    if not failed(data) and data:
        opened.append(name)
if opened:
    escaped("of pid 1: " + " ".join(opened))
held()
