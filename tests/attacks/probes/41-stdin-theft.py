# class: robust
# tries: read the caller's stdin
# must: end of file at once (or what was passed on purpose), never a wait
# stdin: pipe
# limit: 10
import select

ready, _, _ = select.select([0], [], [], 3)
if not ready:
    escaped("stdin has neither data nor an end after 3 s")
held("read %r" % os.read(0, 64))
