# class: robust
# tries: fork, setsid, fork; the grandchild sleeps with closed stdio
# must: it is gone when the runner returns
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        time.sleep(60)
    os._exit(0)
time.sleep(0.2)
held("if nothing survives")
