# class: hard
# tries: make /usr, /etc and /opt writable (mount, mount_setattr), or simply write to them
# must: EPERM, EROFS
MS_REMOUNT_BIND = 32 | 4096
AT_FDCWD = -100
MOUNT_ATTR_RDONLY = 1
done = []
for place in ("/usr", "/etc", "/opt", "/bin", "/lib", "/"):
    if libc.mount(b"none", place.encode(), None, MS_REMOUNT_BIND, None) == 0:
        done.append("remounted " + place)
    attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", 0, MOUNT_ATTR_RDONLY, 0, 0))
    if syscall("mount_setattr", AT_FDCWD, ctypes.c_char_p(place.encode()), 0, attributes, 32) >= 0:
        done.append("changed " + place)
for path in ("/usr/bin/env", "/bin/sh", "/etc/passwd", "/etc/hosts"):
    if os.path.realpath(path).startswith(("/usr/", "/etc/")) and path != "/etc/hosts" and can_write(path):
        done.append("can write " + path)
for place in ("/usr/bin", "/usr/lib", "/usr/local/lib"):
    path = "%s/x.%s" % (place, TOKEN)
    if not failed(attempt(os.mkdir, path)):
        os.rmdir(path)
        done.append("can make files in " + place)
if done:
    escaped(" ".join(done))
held()
