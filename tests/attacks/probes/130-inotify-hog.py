# class: resource
# tries: take every inotify instance of the caller: the kernel counts those of a user namespace to its maker as well (128 a user)
# must: a bound of the cell's own; the caller can still watch files
# died: held
# witness: inotify
count = 0
while count < 5000 and libc.inotify_init1(0) >= 0:
    count += 1
time.sleep(0.5)
held("%d instances, if the caller could get one meanwhile" % count)
