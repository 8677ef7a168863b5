# class: hard
# tries: kill(victim, 0), read its environment
# must: ESRCH: its pid means nothing here
pid = int(needed("hostpid"))
if has_token("/proc/%d/environ" % pid):
    escaped("read the environment of a host process")
if same_namespace("pid") and not failed(attempt(os.kill, pid, 0)):
    escaped("may signal a host process")
held()
