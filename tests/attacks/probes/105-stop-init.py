# class: robust
# tries: SIGSTOP to pid 1 and to everything in sight, then sleep on
# must: the timeout fires all the same
# died: held
# timeout: 2
# limit: 8
# rc: 124
if same_namespace("pid"):
    escaped("the host's pid namespace: not tried")
print("HELD if the runner returns after its timeout", flush=True)
attempt(os.kill, 1, signal.SIGSTOP)
attempt(os.kill, -1, signal.SIGSTOP)
attempt(os.kill, os.getpid(), signal.SIGSTOP)
time.sleep(60)
