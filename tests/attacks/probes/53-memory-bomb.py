# class: resource
# tries: touch 1,024 MiB in one process
# must: MemoryError or killed for the memory limit
# died: held
blocks = []
for count in range(64):
    try:
        blocks.append(bytearray(b"x") * (16 << 20))
    except MemoryError:
        held("MemoryError at %d MiB" % (count * 16))
escaped("1,024 MiB")
