# class: surface
# tries: getpid by int 0x80 from 64-bit code, and by its x32 number: a filter for one ABI does not see the other
# must: SIGSYS, SIGSEGV or ENOSYS
import mmap

if platform.machine() != "x86_64":
    skip("x86_64 alone has these ABIs")
MOV_EAX_20_INT_80_RET = bytes.fromhex("b814000000cd80c3")


def by_interrupt():
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(MOV_EAX_20_INT_80_RET)
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    return 0 if call() > 0 else 1


def by_x32():
    return 0 if syscall(0x40000000 | NUMBERS["x86_64"]["getpid"]) > 0 else 1


ways = []
if child_status(by_interrupt) == 0:
    ways.append("int 0x80")
if child_status(by_x32) == 0:
    ways.append("x32")
if ways:
    escaped(" ".join(ways))
held()
