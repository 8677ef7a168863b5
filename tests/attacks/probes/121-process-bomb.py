# class: resource
# tries: fork processes that stay until that fails; gives up at 1,500
# must: it fails before
# died: held
children = []
refused = None
for count in range(1500):
    pid = attempt(os.fork)
    if failed(pid):
        refused = "%d %r" % (count, pid)
        break
    if pid == 0:
        signal.pause()
        os._exit(0)
    children.append(pid)
for pid in children:
    attempt(os.kill, pid, signal.SIGKILL)
if refused is None:
    escaped("1,500 processes")
held(refused)
