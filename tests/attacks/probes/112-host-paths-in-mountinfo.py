# class: surface
# tries: learn the caller's directories from /proc/self/mountinfo
# must: no path of the caller but of directories that were mounted on purpose
home = os.path.dirname(needed("canary"))
table = contents("/proc/self/mountinfo")
if failed(table):
    held(repr(table))
lines = [line for line in table.decode(errors="replace").splitlines() if home in line]
if lines:
    escaped(lines[0])
held()
