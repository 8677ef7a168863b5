# class: hard
# tries: read /etc/shadow (as a job server's user did by #include "/etc/shadow")
# must: ENOENT, EACCES, or a file of an image that is not the host's
import hashlib

data = contents("/etc/shadow")
if failed(data):
    held(repr(data))
if hashlib.sha256(data).hexdigest() == ARGUMENTS.get("shadow_sha"):
    escaped("the host's /etc/shadow")
held("not the host's file")
