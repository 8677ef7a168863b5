# class: hard
# tries: open anything below /sys for writing (uevent_helper, power/state, cgroups)
# must: absent or read-only
writable = []
looked = 0
for place, subdirectories, names in os.walk("/sys"):
    if place.count("/") > 6:
        subdirectories[:] = []
    for name in names:
        looked += 1
        if can_write(place + "/" + name):
            writable.append(place + "/" + name)
    if len(writable) > 5 or looked > 50000:
        break
if writable:
    escaped("can be written: " + " ".join(writable[:4]))
held("%d files" % looked)
