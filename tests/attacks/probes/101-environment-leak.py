# class: hard
# tries: find the caller's environment in the job's own, in init's, and behind init's /proc/1/mem
# must: nothing of it
if "HOST_SECRET" in os.environ:
    escaped("the job has the caller's environment")
for pid in pids():
    if has_token("/proc/%s/environ" % pid):
        escaped("/proc/%s/environ" % pid)
held()
