# class: output
# tries: swap a file and a link to the secret in a loop while the host collects
# must: collected only when every process of the job is dead, and never through a link
place = output_directory()
path = place + "/r"


def swap():
    open(path + ".t", "w").close()
    os.rename(path + ".t", path)
    os.symlink(ARGUMENTS.get("canary", "/etc/shadow"), path + ".l")
    os.rename(path + ".l", path)


if os.fork() == 0:
    os.setsid()
    end = time.time() + 8
    while time.time() < end:
        attempt(swap)
    os._exit(0)
time.sleep(0.1)
held("racing in " + place)
