# class: hard
# tries: read the command line of casemate on the host from /proc/1/cmdline (init is made by it and may share its memory)
# must: init's command line says nothing of the caller's
own = contents("/proc/self/cmdline")
for pid in pids():
    data = contents("/proc/%s/cmdline" % pid)
    if failed(data) or data == own:
        continue
    if TOKEN.encode() in data or b"--profile" in data:
        escaped("/proc/%s/cmdline: %r" % (pid, data[:80]))
held()
