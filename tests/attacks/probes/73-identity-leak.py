# class: surface
# tries: read machine-id and host name
# must: absent, or the job's own
leaks = []
machine = contents("/etc/machine-id")
if not failed(machine) and machine.strip() and machine.strip().decode() == ARGUMENTS.get("machineid"):
    leaks.append("machine-id")
if socket.gethostname() == ARGUMENTS.get("hostname"):
    leaks.append("host name")
if leaks:
    escaped(" ".join(leaks))
held()
