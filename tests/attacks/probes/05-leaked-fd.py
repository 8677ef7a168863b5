# class: hard
# tries: openat(leaked directory, "../../../secret") for every descriptor above 2 (CVE-2024-21626, CVE-2016-9962)
# must: no descriptor above 2 is open in the job
path = ARGUMENTS.get("canary", "/etc/shadow")
leaked = []
for fd in range(3, 4096):
    if failed(attempt(os.fstat, fd)):
        continue
    leaked.append((fd, attempt(os.readlink, "/proc/self/fd/%d" % fd)))
    found = attempt(os.open, "../" * 20 + path[1:], os.O_RDONLY, dir_fd=fd)
    if not failed(found):
        escaped("read the secret through descriptor %d" % fd)
if leaked:
    escaped("descriptors leaked: %r" % leaked)
held()
