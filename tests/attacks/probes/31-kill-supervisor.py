# class: robust
# tries: leave a daemon, then SIGKILL the parent and pid 1
# must: the whole job ends, nothing survives
# died: held
# limit: 10
if same_namespace("pid"):
    escaped("the host's pid namespace: not tried")
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(40)
    os._exit(0)
print("HELD if nothing survives", flush=True)
for pid in (os.getppid(), 1):
    if pid not in (0, os.getpid()):
        attempt(os.kill, pid, signal.SIGKILL)
time.sleep(1)
