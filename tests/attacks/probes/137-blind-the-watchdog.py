# class: resource
# tries: take init's descriptors by prlimit(2), so that a watchdog in it can't look, then touch 1,024 MiB
# must: EPERM, or killed for the memory limit all the same; init must not spin
# died: held
import resource

try:
    resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))
except OSError as problem:
    held(repr(problem))
blocks = []
for count in range(64):
    try:
        blocks.append(bytearray(b"x") * (16 << 20))
    except MemoryError:
        held("MemoryError at %d MiB" % (count * 16))
    time.sleep(0.02)
escaped("1,024 MiB")
