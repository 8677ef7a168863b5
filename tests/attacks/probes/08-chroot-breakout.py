# class: hard
# tries: chroot(sub); fchdir(old root); chdir("..") 64 times; chroot(".")
# must: nothing lies above the root
path = needed("canary")
sub = scratch()
old_root = os.open("/", os.O_RDONLY)


def break_out():
    os.chroot(sub)
    os.fchdir(old_root)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")


result = attempt(break_out)
if has_token(path):
    escaped("read the host's secret")
held(repr(result))
