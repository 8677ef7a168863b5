# class: hard
# tries: open a 0600 file of the caller by its path
# must: ENOENT or EACCES
path = needed("canary")
if has_token(path):
    escaped("read the host's secret")
held(repr(contents(path)))
