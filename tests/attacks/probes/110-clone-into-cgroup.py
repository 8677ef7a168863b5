# class: hard
# tries: clone3 with CLONE_INTO_CGROUP: a child outside of the cell's limits
# must: ENOSYS or EPERM
CLONE_INTO_CGROUP = 0x200000000
for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/"):
    directory = attempt(os.open, place, os.O_RDONLY | os.O_DIRECTORY)
    if failed(directory):
        continue
    arguments = struct.pack("=11Q", CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, directory)
    result = syscall("clone3", ctypes.create_string_buffer(arguments), len(arguments))
    if result == 0:
        os._exit(0)
    if result > 0:
        os.waitpid(result, 0)
        escaped("a child in the cgroup of " + place)
held()
