# class: robust
# tries: a daemon that keeps the job's stdout and stderr open for a minute after the main process ended
# must: the runner returns at once and nothing holds its pipes
# limit: 10
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
time.sleep(0.1)
held("if the runner returns at once")
