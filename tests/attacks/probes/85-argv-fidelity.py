# class: robust
# tries: arguments that are empty, have newlines or 0xff, look like options or shell text, are 100 kB long
# must: they arrive byte for byte
# argv: 1
WANTED = [b"", b"a\nb", b"\xff\xfe", b"$(id)", b"`id`", b"--", b"-rf", b";", b"*", b"\"'", b"%s%n", b"y" * 100000]
got = [os.fsencode(word) for word in sys.argv[-len(WANTED):]]
if got == WANTED:
    held()
escaped("differs: %r" % [(want[:20], have[:20]) for want, have in zip(WANTED, got) if want != have][:3])
