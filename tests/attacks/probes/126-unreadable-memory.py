# class: resource
# tries: touch 1,024 MiB in processes that nobody may look at (PR_SET_DUMPABLE 0), spread over children that share pages
# must: MemoryError or killed for the memory limit: a watchdog that reads /proc must not be blind here
# died: held
PR_SET_DUMPABLE = 4
libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
shared = bytearray(b"s") * (100 << 20)
for _ in range(6):
    if os.fork() == 0:
        own = bytearray(b"x") * (150 << 20)
        time.sleep(3)
        os._exit(0)
survivors = 0
for _ in range(6):
    survivors += os.waitstatus_to_exitcode(os.wait()[1]) == 0
if survivors == 6:
    escaped("1,000 MiB in 7 processes")
held("%d of 6 children lived" % survivors)
