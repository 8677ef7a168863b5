# class: robust
# tries: 100 orphans exit and nobody waits for them
# must: init reaps them, the exit status is the main process's
# rc: 7
for _ in range(100):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
print("HELD with exit status 7", flush=True)
os._exit(7)
