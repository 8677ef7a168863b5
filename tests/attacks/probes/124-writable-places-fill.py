# class: resource
# tries: write 700 MiB to each place that can be written: working directory, HOME, /var/tmp, /run, /etc
# must: ENOSPC or EFBIG, or charged to the job
# died: held
block = b"x" * (1 << 20)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for _ in range(700):
            if file.write(block) != len(block):
                raise OSError(errno.ENOSPC, "short write")


signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
big = []
for place in {os.getcwd(), os.path.expanduser("~"), "/var/tmp", "/run", "/etc", "/", "/dev"}:
    path = place.rstrip("/") + "/x." + TOKEN
    if not failed(attempt(fill, path)):
        big.append(place)
    attempt(os.unlink, path)
if big:
    escaped("700 MiB in " + " ".join(big))
held()
