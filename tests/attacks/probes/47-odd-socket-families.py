# class: surface
# tries: vsock, alg, rds, tipc, can, ax25, x25, bluetooth, kcm, xdp: where the kernel's bugs live
# must: EPERM or EAFNOSUPPORT
FAMILIES = {
    "vsock": (40, 1), "alg": (38, 5), "rds": (21, 5), "tipc": (30, 5), "can": (29, 3), "ax25": (3, 2), "x25": (9, 5), "bluetooth": (31, 3),
    "kcm": (41, 2), "xdp": (44, 3),
}
opened = []
for name, (family, kind) in FAMILIES.items():
    if not failed(attempt(socket.socket, family, kind, 0)):
        opened.append(name)
if opened:
    escaped(" ".join(opened))
held()
