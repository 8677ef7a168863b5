# class: robust
# tries: write noise and zeros to every descriptor that could be the pipe on which init reports to the engine
# must: the exit status is the one the job gave
# rc: 5
noise = [bytes(64), b"\xff" * 64, struct.pack("=16i", *([0] * 16)), b"exited 0\n"]
places = ["/proc/self/fd/%d" % fd for fd in range(3, 256)]
for pid in pids():
    places += ["/proc/%s/fd/%d" % (pid, fd) for fd in range(0 if pid == "1" else 3, 256)]
for fd in range(3, 4096):
    for data in noise:
        if failed(attempt(os.write, fd, data)):
            break
for place in places:
    fd = attempt(os.open, place, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    if failed(fd):
        continue
    for data in noise:
        attempt(os.write, fd, data)
    os.close(fd)
print("HELD with exit status 5", flush=True)
os._exit(5)
