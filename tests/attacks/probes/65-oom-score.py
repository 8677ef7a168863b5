# class: surface
# tries: write -999 to /proc/self/oom_score_adj, to be killed last
# must: EACCES
fd = attempt(os.open, "/proc/self/oom_score_adj", os.O_WRONLY)
result = fd if failed(fd) else attempt(os.write, fd, b"-999")
if failed(result):
    held(repr(result))
escaped()
