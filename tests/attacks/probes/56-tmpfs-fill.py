# class: resource
# tries: write 700 MiB to /tmp and to /dev/shm
# must: ENOSPC, or charged to the job
# died: held
block = b"x" * (1 << 20)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for _ in range(700):
            if file.write(block) != len(block):
                raise OSError(errno.ENOSPC, "short write")


big = []
for place in ("/tmp", "/dev/shm"):
    path = place + "/x." + TOKEN
    if not failed(attempt(fill, path)):
        big.append(place)
    attempt(os.unlink, path)
if big:
    escaped("700 MiB in " + " ".join(big))
held()
