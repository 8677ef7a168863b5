# class: hard
# tries: sethostname
# must: EPERM, or private (the host's name is compared afterwards)
if same_namespace("uts"):
    name = socket.gethostname().encode()
    if libc.sethostname(name, len(name)) == 0:
        escaped("may set the host's name")
    held("the host's UTS namespace, but EPERM")
libc.sethostname(b"pwned", 5)
held(socket.gethostname())
