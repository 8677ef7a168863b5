# class: hard
# tries: open(/proc/PID/exe, O_WRONLY) of the runner, its supervisor or init (CVE-2019-5736)
# must: invisible, read-only or a sealed memfd; never ETXTBSY on a file of the host
for pid in pids():
    link = "/proc/%s/exe" % pid
    target = attempt(os.readlink, link)
    behind = attempt(os.stat, link)
    if failed(target) or failed(behind):
        continue
    own = attempt(os.stat, target)
    in_own_root = not failed(own) and (own.st_dev, own.st_ino) == (behind.st_dev, behind.st_ino)
    if in_own_root and not same_namespace("mnt"):
        continue
    result = attempt(os.open, link, os.O_WRONLY)
    if not failed(result):
        escaped("opened " + target + " for writing")
    if result.errno == errno.ETXTBSY:
        escaped("ETXTBSY only: " + target + " can be written once it is idle")
held()
