# class: robust
# tries: ignore every signal and sleep for ever
# must: SIGKILL at the timeout, and the exit status says so
# died: held
# timeout: 2
# limit: 8
# rc: 124
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError, RuntimeError):
        pass
print("HELD if killed at the timeout", flush=True)
while True:
    time.sleep(1)
