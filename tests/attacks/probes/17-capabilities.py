# class: hard
# tries: have SYS_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, MKNOD, DAC_READ_SEARCH and the like
# must: none in the host's user namespace
NAMES = {
    1: "DAC_OVERRIDE", 2: "DAC_READ_SEARCH", 12: "NET_ADMIN", 13: "NET_RAW", 16: "SYS_MODULE", 17: "SYS_RAWIO", 19: "SYS_PTRACE",
    21: "SYS_ADMIN", 22: "SYS_BOOT", 24: "SYS_RESOURCE", 25: "SYS_TIME", 27: "MKNOD", 34: "SYSLOG", 39: "BPF",
}
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
effective = int(status["CapEff"], 16)
have = [name for bit, name in NAMES.items() if effective >> bit & 1]
if not same_namespace("user"):
    held("a user namespace of its own; effective there: %r" % have)
if have:
    escaped("in the host's user namespace: " + " ".join(have))
held("bounding set " + status["CapBnd"].strip())
