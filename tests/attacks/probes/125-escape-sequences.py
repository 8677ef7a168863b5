# class: robust
# tries: command sequences for the caller's terminal in the output (title, clipboard, answers typed back)
# must: a terminal gets them made harmless
# pty: 1
# clean: 1
os.write(1, b"\x1b]0;pwned\x07\x1b]52;c;cHduZWQ=\x07\x1b[21t\x1b[6n\x9b2J\x1b[2J\n")
held("if no escape character reached the terminal")
