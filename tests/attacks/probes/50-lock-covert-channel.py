# class: surface
# tries: flock a read-only file that all jobs share: one bit to another job
# must: refused in the strict profile
# policy: flock is how ordinary programs lock their own files, and a channel between two jobs that both want one is no way out
answers = []
for path in ("/usr/bin/env", "/bin/sh"):
    fd = attempt(os.open, path, os.O_RDONLY)
    if failed(fd):
        continue
    result = attempt(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not failed(result):
        escaped("can lock a file shared with other jobs")
    answers.append(repr(result))
held(" ".join(answers))
