# class: resource
# tries: write 700 MiB to a memfd: memory that no process has mapped
# must: charged to the job, which is killed; or, where nothing can charge it, no memfd at all
# died: held
fd = attempt(os.memfd_create, "x")
if failed(fd):
    held(repr(fd))
block = b"x" * (1 << 20)
for _ in range(700):
    result = attempt(os.write, fd, block)
    if failed(result):
        held(repr(result))
escaped("700 MiB in a memfd")
