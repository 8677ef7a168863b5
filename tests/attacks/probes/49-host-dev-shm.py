# class: hard
# tries: find a host file in /dev/shm, /tmp, /var/tmp, /run
# must: private directories
for place in ("/dev/shm", "/tmp", "/var/tmp", "/run"):
    if os.path.exists(place + "/h." + TOKEN):
        escaped("sees a host file in " + place)
held()
