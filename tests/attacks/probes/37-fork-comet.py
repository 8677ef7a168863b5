# class: robust
# tries: a chain of processes, each forks the next and exits (20 s at most): no list of pids ever has the living one
# must: killed with the pid namespace or the cgroup
# died: held
# timeout: 2
# limit: 8
end = time.time() + 20
print("HELD if nothing survives the timeout", flush=True)
if os.fork():
    time.sleep(30)
    os._exit(0)
os.setsid()
while time.time() < end:
    if os.fork():
        os._exit(0)
    time.sleep(0.01)
