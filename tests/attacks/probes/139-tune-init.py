# class: robust
# tries: make init slow or blind: idle scheduling, the lowest priority, no descriptors
# must: EPERM for each
import resource

done = []
for name, attempt in (
    ("setpriority process", lambda: os.setpriority(os.PRIO_PROCESS, 1, 19)),
    ("setpriority user", lambda: os.setpriority(os.PRIO_USER, 0, 19)),
    ("sched_setscheduler", lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))),
    ("sched_setaffinity", lambda: os.sched_setaffinity(1, {0})),
    ("prlimit", lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))),
):
    try:
        attempt()
        done.append(name)
    except OSError as problem:
        print(name, problem)
if done:
    escaped(", ".join(done))
held()
