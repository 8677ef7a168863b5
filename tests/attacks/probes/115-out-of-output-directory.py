# class: hard
# tries: walk up from a descriptor of the mounted output directory; rename a directory that is in use
# must: ".." ends at the cell's root
path = needed("canary")
place = output_directory()
os.makedirs(place + "/a/b", exist_ok=True)
directory = os.open(place + "/a/b", os.O_RDONLY)
for step in range(1, 40):
    found = attempt(os.open, "../" * step + path[1:], os.O_RDONLY, dir_fd=directory)
    if not failed(found):
        escaped("read the secret %d steps up" % step)
os.chdir(place + "/a/b")
for target in ("/tmp/moved", place + "/moved"):
    attempt(os.rename, place + "/a", target)
    found = attempt(os.open, "../" * 30 + path[1:], os.O_RDONLY)
    if not failed(found):
        escaped("read the secret after a rename")
held()
