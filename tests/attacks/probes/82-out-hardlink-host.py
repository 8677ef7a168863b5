# class: output
# tries: link("/usr/bin/env", out/x): a name of a host file in a directory that can be written
# must: EXDEV
place = output_directory()
answers = []
for source in ("/etc/passwd", "/usr/bin/env", "/bin/sh"):
    result = attempt(os.link, source, place + "/x")
    answers.append(repr(result))
    if failed(result):
        continue
    os.unlink(place + "/x")
    escaped("linked " + source)
held(" ".join(answers))
