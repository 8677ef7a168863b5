# class: resource
# tries: make 60,000 files
# must: ENOSPC
# died: held
import shutil

place = scratch()
refused = None
for count in range(60000):
    fd = attempt(os.open, "%s/%d" % (place, count), os.O_CREAT | os.O_WRONLY)
    if failed(fd):
        refused = "%d %r" % (count, fd)
        break
    os.close(fd)
shutil.rmtree(place, ignore_errors=True)
if refused is None:
    escaped("60,000 files")
held(refused)
