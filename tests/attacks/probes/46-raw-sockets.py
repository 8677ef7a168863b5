# class: surface
# tries: socket(AF_PACKET), SOCK_RAW: sniffing
# must: EPERM, or harmless in a network namespace of its own
opened = []
for name, arguments in (("packet", (17, socket.SOCK_RAW, 3)), ("raw icmp", (socket.AF_INET, socket.SOCK_RAW, 1))):
    if not failed(attempt(socket.socket, *arguments)):
        opened.append(name)
if opened and same_namespace("net"):
    escaped(" ".join(opened))
held("in a network namespace of its own: " + " ".join(opened) if opened else "")
