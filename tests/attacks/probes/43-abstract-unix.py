# class: hard
# tries: connect to an abstract unix socket of a host process (CVE-2020-15257)
# must: ECONNREFUSED: a network namespace of its own
name = needed("abstract")
result = attempt(socket.socket(socket.AF_UNIX).connect, "\0" + name)
if failed(result):
    held(repr(result))
escaped("the host's abstract socket")
