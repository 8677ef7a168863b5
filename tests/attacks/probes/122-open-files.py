# class: resource
# tries: open 20,000 descriptors, raising the limit first
# must: EMFILE before
# died: held
import resource

try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
except (OSError, ValueError):
    pass
for count in range(20000):
    fd = attempt(os.dup, 1)
    if failed(fd):
        held("%d %r" % (count, fd))
escaped("20,000 descriptors")
