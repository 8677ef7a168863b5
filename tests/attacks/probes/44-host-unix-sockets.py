# class: hard
# tries: connect to docker, containerd, podman, dbus, systemd and a listener of the tests
# must: ENOENT or EACCES
reached = []
for path in (
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    ARGUMENTS.get("unix", "/nonexistent"),
):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(1)
    if not failed(attempt(connection.connect, path)):
        reached.append(path)
if reached:
    escaped(" ".join(reached))
held()
