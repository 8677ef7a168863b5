# class: resource
# tries: fill 44 memfds of 16 MiB, send each into a socket that nobody reads and close it: no process has them open
# must: charged to the job, which is killed; or, where nothing can charge it, no memfd at all
# died: held
import array

left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
left.setblocking(False)
block = b"x" * (16 << 20)


def send_another():
    fd = os.memfd_create("x")
    os.write(fd, block)
    left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)


sent = 0
pairs = [(left, right)]
while sent < 44:
    result = attempt(send_another)
    if not failed(result):
        sent += 1
        continue
    if result.errno not in (errno.EAGAIN, errno.ENOBUFS) or len(pairs) > 44:
        held("%d memfds, then %r" % (sent, result))
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.setblocking(False)
    pairs.append((left, right))
time.sleep(0.5)
escaped("704 MiB in %d sockets" % len(pairs))
