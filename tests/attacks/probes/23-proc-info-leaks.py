# class: hard
# tries: read kcore, keys, kallsyms, timer_list, sched_debug, kmsg; /sys/firmware, /sys/kernel/debug
# must: ENOENT, EACCES or empty
readable = []
for name in ("kcore", "keys", "timer_list", "sched_debug", "kmsg", "latency_stats", "kpageflags"):
    data = contents("/proc/" + name, 64)
    if not failed(data) and data.strip():
        readable.append("/proc/" + name)
symbols = contents("/proc/kallsyms", 64)
if not failed(symbols) and symbols.split() and int(symbols.split()[0], 16) != 0:
    readable.append("/proc/kallsyms")
for place in ("/sys/firmware", "/sys/kernel/debug", "/sys/kernel/security"):
    names = attempt(os.listdir, place)
    if not failed(names) and names:
        readable.append(place)
if readable:
    escaped(" ".join(readable))
held()
