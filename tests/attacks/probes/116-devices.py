# class: hard
# tries: find a device that is not null, zero, full, random, urandom, tty or a pty of the cell; open it
# must: no other device, anywhere in /dev
ALLOWED = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}
found = []
for place, _, names in os.walk("/dev"):
    for name in names:
        path = place + "/" + name
        status = attempt(os.lstat, path)
        if failed(status) or not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            continue
        number = (os.major(status.st_rdev), os.minor(status.st_rdev))
        if stat.S_ISBLK(status.st_mode) or (number not in ALLOWED and number[0] not in range(136, 144)):
            found.append(path)
if found:
    escaped(" ".join(found))
held()
