# class: surface
# tries: read what /proc tells of the machine: meminfo, cpuinfo, uptime, loadavg, diskstats, modules, net of others
# must: only entries of processes in the strict profile
# policy: ordinary programs read /proc/meminfo, cpuinfo and stat; the default profile leaves them
names = attempt(os.listdir, "/proc")
if failed(names):
    held(repr(names))
others = [name for name in names if not name.isdigit() and name not in ("self", "thread-self")]
if others:
    escaped("%d entries: %s" % (len(others), " ".join(sorted(others)[:6])))
held()
