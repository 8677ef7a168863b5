# class: output
# tries: 3,000 directories in each other, far past PATH_MAX
# place: /dev/shm
# must: walked and removed by descriptors, without an overflow of the stack
os.chdir(output_directory())
levels = 0
for levels in range(3000):
    if failed(attempt(os.mkdir, "dddddddd")):
        break
    os.chdir("dddddddd")
held("%d levels" % levels)
