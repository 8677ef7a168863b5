# class: output
# tries: leave links to /etc/shadow and to the caller's secret where the host collects
# must: stored as links or refused; what they point to is never read
place = output_directory()
targets = {
    "result": "/etc/shadow",
    "canary": ARGUMENTS.get("canary", "/etc/passwd"),
    "up": "../" * 20 + "etc/shadow",
    "loop": "loop",
    "fd": "/proc/self/fd/1",
}
for name, target in targets.items():
    os.symlink(target, place + "/" + name)
held("trap set in " + place)
