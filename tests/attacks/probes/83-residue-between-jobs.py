# class: hard
# tries: a first job leaves files, shared memory, queues; a second looks for them
# must: nothing is found
# twice: residue
import zlib

found = []
paths = []
for place in ("/tmp", "/var/tmp", "/dev/shm", "/run", os.getcwd(), os.path.expanduser("~"), "/usr/local/lib", "/etc"):
    paths.append("%s/x.r.%s" % (place.rstrip("/"), TOKEN))
for path in paths:
    if os.path.exists(path):
        found.append(path)
for path in paths:
    fd = attempt(os.open, path, os.O_CREAT | os.O_WRONLY)
    if not failed(fd):
        os.close(fd)

key = zlib.crc32(TOKEN.encode()) & 0x7FFFFFFF
IPC_CREAT = 0o1000
if libc.shmget(key, 0, 0) >= 0:
    found.append("System V shared memory")
segment = libc.shmget(key, 4096, IPC_CREAT | 0o666)

queue = ctypes.c_char_p(("r" + TOKEN).encode())
if syscall("mq_open", queue, os.O_RDWR, 0o600, 0) >= 0:
    found.append("POSIX message queue")
else:
    syscall("mq_open", queue, os.O_CREAT | os.O_RDWR, 0o600, 0)
if found:
    libc.shmctl(segment, 0, None)
    syscall("mq_unlink", queue)
    escaped(" ".join(found))
held("planted")
