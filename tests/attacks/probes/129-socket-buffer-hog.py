# class: resource
# tries: fill the buffers of 480 socket pairs in each of 8 processes: memory of the kernel, up to 700 MiB
# must: charged to the job, or bounded
# died: held
# needs: memory controller
def fill():
    total = 0
    sockets = []
    block = b"x" * 65536
    for _ in range(480):
        pair = attempt(socket.socketpair)
        if failed(pair):
            break
        sockets.append(pair)
        for end in pair:
            attempt(end.setsockopt, socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            end.setblocking(False)
            while total < 90 << 20:
                count = attempt(end.send, block)
                if failed(count):
                    break
                total += count
    os.write(report, struct.pack("=Q", total))
    time.sleep(10)


reader, report = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        fill()
        os._exit(0)
total = 0
for _ in range(8):
    total += struct.unpack("=Q", os.read(reader, 8))[0]
time.sleep(0.5)
if total >= 700 << 20:
    escaped("%d MiB of socket buffers" % (total >> 20))
held("%d MiB" % (total >> 20))
