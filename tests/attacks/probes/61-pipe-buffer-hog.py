# class: resource
# tries: fill 512 pipes of 1 MiB: memory of the kernel
# must: EPERM at pipe-user-pages-soft, or charged to the job
# died: held
F_SETPIPE_SZ = 1031
block = b"x" * (1 << 20)
total = 0
pipes = []


def fill_another():
    pipes.append(os.pipe())
    end = pipes[-1][1]
    os.set_blocking(end, False)
    fcntl.fcntl(end, F_SETPIPE_SZ, 1 << 20)
    return os.write(end, block)


for _ in range(512):
    written = attempt(fill_another)
    if failed(written):
        held("%d MiB %r" % (total >> 20, written))
    total += written
if total >> 20 >= 500:
    escaped("%d MiB of pipe buffers" % (total >> 20))
held("%d MiB" % (total >> 20))
