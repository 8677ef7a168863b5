# class: hard
# tries: PTRACE_SEIZE and process_vm_readv of pid 1, which talks to the engine on the host
# must: EPERM
PTRACE_SEIZE = 0x4206
if same_namespace("pid"):
    escaped("the host's pid namespace: not tried")
result = syscall("ptrace", PTRACE_SEIZE, 1, 0, 0)
if result >= 0:
    escaped("traces pid 1")
answers = [error_name(result)]

table = contents("/proc/1/maps")
address = 0 if failed(table) or not table else int(table.split(b"-")[0], 16)
buffer = ctypes.create_string_buffer(16)
here = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(buffer), 16))
there = ctypes.create_string_buffer(struct.pack("@PN", address or 0x400000, 16))
result = syscall("process_vm_readv", 1, here, 1, there, 1, 0)
if result > 0:
    escaped("reads the memory of pid 1")
answers.append(error_name(result))
held(" ".join(answers))
