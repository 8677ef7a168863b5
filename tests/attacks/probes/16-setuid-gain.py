# class: hard
# tries: gain rights by executing a set-user-ID program
# must: no_new_privs is set
for line in open("/proc/self/status"):
    if line.split() == ["NoNewPrivs:", "1"]:
        held()
escaped("no_new_privs is not set")
