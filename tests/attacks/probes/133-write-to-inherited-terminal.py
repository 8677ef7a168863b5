# class: robust
# tries: write command sequences to the terminal that came as stdin (-i), round the cleaning of stdout
# must: stdin can be read and not written, or what is written is cleaned
# pty: 1
# interactive: 1
# clean: 1
sequence = b"\x1b]0;pwned\x07\x1b]52;c;cHduZWQ=\x07\x1b[6n\n"
answers = [repr(attempt(os.write, 0, sequence))]
fd = attempt(os.open, "/proc/self/fd/0", os.O_WRONLY | os.O_NOCTTY)
answers.append(repr(fd if failed(fd) else attempt(os.write, fd, sequence)))
held(" ".join(answers))
