# class: surface
# tries: sched_setscheduler(SCHED_FIFO), nice(-5)
# must: EPERM
got = []
if not failed(attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))):
    got.append("SCHED_FIFO")
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
if not failed(attempt(os.nice, -5)):
    got.append("nice -5")
if got:
    escaped(" ".join(got))
held()
