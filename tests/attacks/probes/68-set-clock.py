# class: hard
# tries: adjtimex(ADJ_TICK, 0), a value that would not be taken anyway
# must: EPERM
ADJ_TICK = 0x4000
buffer = ctypes.create_string_buffer(struct.pack("<I", ADJ_TICK) + bytes(400))
result = syscall("adjtimex", buffer)
if -result in (errno.EPERM, errno.ENOSYS):
    held(error_name(result))
escaped("may set the clock: " + error_name(result))
