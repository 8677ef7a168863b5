# class: hard
# tries: mount cgroup v1 and open release_agent for writing (CVE-2022-0492)
# must: EPERM for the mount or for the file
import glob

place = scratch()
mounted = False
for controller in (b"memory", b"cpu", b"rdma", b"pids", b"devices"):
    if libc.mount(b"cgroup", place.encode(), b"cgroup", 0, controller) == 0:
        mounted = True
        break
agents = glob.glob("/sys/fs/cgroup/*/release_agent") + glob.glob("/sys/fs/cgroup/release_agent") + [place + "/release_agent"]
writable = [path for path in agents if can_write(path)]
if mounted:
    libc.umount2(place.encode(), 2)
os.rmdir(place)
if writable:
    escaped("can be written: " + " ".join(writable))
held("mounted, but the agent can't be written" if mounted else "")
