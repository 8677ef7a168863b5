# class: hard
# tries: get a directory of the host as stdin (-i < /directory) and walk up from it
# must: casemate refuses, or the descriptor leads nowhere
# stdin: directory
# interactive: 1
# refused: 125
path = needed("canary")
found = attempt(os.open, "../" * 20 + path[1:], os.O_RDONLY, dir_fd=0)
if not failed(found):
    escaped("read the secret")
if not failed(attempt(os.listdir, 0)):
    escaped("lists a directory of the host")
held()
