# class: robust
# tries: kill(0, SIGSTOP): stops the runner if it shares the job's process group
# must: the runner goes on and its timeout fires
# died: held
# timeout: 2
# limit: 8
print("HELD if the runner returns after its timeout", flush=True)
os.kill(0, signal.SIGSTOP)
time.sleep(60)
