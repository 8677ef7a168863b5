# class: hard
# tries: make the nodes of the host's disks from /proc/partitions and read them
# must: EPERM, or nodev refuses the open
place = scratch()
made = 0
table = contents("/proc/partitions")
lines = [] if failed(table) else table.decode().splitlines()[2:]
rows = [line.split() for line in lines]
for major, minor, _, name in [row for row in rows if len(row) == 4][:8] or [("254", "0", "0", "vda"), ("8", "0", "0", "sda")]:
    node = place + "/" + name
    if failed(attempt(os.mknod, node, 0o600 | stat.S_IFBLK, os.makedev(int(major), int(minor)))):
        continue
    made += 1
    data = contents(node, 512)
    os.unlink(node)
    if not failed(data):
        escaped("read %d bytes of %s" % (len(data), name))
os.rmdir(place)
held("%d nodes made, none opened" % made)
