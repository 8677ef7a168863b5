# class: hard
# tries: open /proc/sysrq-trigger for writing (nothing is written)
# must: EROFS, EACCES or ENOENT
if can_write("/proc/sysrq-trigger"):
    escaped()
held()
