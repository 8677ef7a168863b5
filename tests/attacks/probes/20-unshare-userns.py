# class: surface
# tries: unshare(CLONE_NEWUSER | CLONE_NEWNS), the way to CVE-2022-0185 and its kin
# must: EPERM
CLONE_NEWUSER = 0x10000000
CLONE_NEWNS = 0x20000
if child_status(lambda: 0 if syscall("unshare", CLONE_NEWUSER | CLONE_NEWNS) == 0 else 1) == 0:
    escaped("a new user and mount namespace")
held()
