# class: output
# tries: names that are not UTF-8, have newlines or escapes, look like options or whiteouts, are 255 bytes long
# must: kept byte for byte or refused with a clear line
place = output_directory().encode()
for name in (
    b"\xff\xfe", b"a\nb", b"-rf", b"\x1b[2J", b"x" * 255, b" ", b".wh.etc", b".wh..wh..opq", b"..data", b"con:nul\\",
):
    with open(place + b"/" + name, "w"):
        pass
held("trap set")
