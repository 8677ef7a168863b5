# class: hard
# tries: read the secret through /proc/PID/root and /proc/PID/cwd/../..
# must: ENOENT or EACCES
path = needed("canary")
for pid in pids():
    for way in ("/proc/%s/root%s" % (pid, path), "/proc/%s/cwd/%s%s" % (pid, "../" * 20, path[1:])):
        if has_token(way):
            escaped(way)
held()
