# class: resource
# tries: end the first thread, whose /proc/PID/statm then says 0, and touch 1,024 MiB in another
# must: MemoryError or killed for the memory limit
# died: held
import threading


def grow():
    blocks = []
    time.sleep(0.1)
    for count in range(64):
        try:
            blocks.append(bytearray(b"x") * (16 << 20))
        except MemoryError:
            held("MemoryError at %d MiB" % (count * 16))
        time.sleep(0.02)
    escaped("1,024 MiB")


threading.Thread(target=grow).start()
libc.syscall(60 if os.uname().machine == "x86_64" else 93, 0)
