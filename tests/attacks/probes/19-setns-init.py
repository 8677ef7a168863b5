# class: hard
# tries: setns(open(/proc/PID/ns/KIND)) into a namespace of the host
# must: EPERM, or no such namespace in sight
if same_namespace("pid"):
    escaped("in the host's pid namespace: /proc/1/ns is the host's")
entered = []
for pid in pids():
    for kind in ("mnt", "net", "ipc", "uts", "pid"):
        link = "/proc/%s/ns/%s" % (pid, kind)
        target = attempt(os.readlink, link)
        if failed(target) or target != ARGUMENTS.get("ns_" + kind):
            continue
        fd = attempt(os.open, link, os.O_RDONLY)
        if not failed(fd) and syscall("setns", fd, 0) == 0:
            entered.append((pid, kind))
if entered:
    escaped(repr(entered))
held()
