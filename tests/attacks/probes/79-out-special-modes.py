# class: output
# tries: leave a set-uid shell and a device node where the host collects
# must: no set-id file of root's and no device node on the host afterwards
import shutil

path = output_directory() + "/sh"
shutil.copyfile("/bin/sh", path)
attempt(os.chown, path, 0, 0)
answers = [repr(attempt(os.chmod, path, 0o6755))]
answers.append(repr(attempt(os.mknod, path + ".device", 0o600 | stat.S_IFCHR, os.makedev(1, 1))))
held("trap set: " + " ".join(answers))
