# class: resource
# tries: write 256 MiB to stdout
# must: cut or streamed; the runner stays under 150 MiB
# died: held
# rss: 150
block = b"A" * (1 << 20)
for _ in range(256):
    if failed(attempt(os.write, 1, block)):
        break
attempt(os.write, 1, b"\n")
print("HELD if the runner stays small", flush=True)
