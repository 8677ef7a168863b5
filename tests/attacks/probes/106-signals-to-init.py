# class: robust
# tries: send every signal to pid 1 and to everything else
# must: init lives, and the exit status is the job's
# rc: 5
if same_namespace("pid"):
    escaped("the host's pid namespace: not tried")
for number in range(1, 65):
    attempt(os.kill, 1, number)
for number in set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError, RuntimeError):
        pass
for number in set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
    attempt(os.kill, -1, number)
print("HELD with exit status 5", flush=True)
os._exit(5)
