# class: surface
# tries: syslog(SYSLOG_ACTION_READ_ALL)
# must: EPERM
READ_ALL = 3
buffer = ctypes.create_string_buffer(256)
result = syscall("syslog", READ_ALL, buffer, 255)
if result > 0:
    escaped("%d bytes of the kernel's log" % result)
held(error_name(result))
