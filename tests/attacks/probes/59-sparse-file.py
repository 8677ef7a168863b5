# class: resource
# tries: truncate a file to 8 TiB where the host collects
# must: EFBIG (RLIMIT_FSIZE), or never copied as zeros
# died: held
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = output_directory() + "/sparse." + TOKEN
os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
result = attempt(os.truncate, path, 8 << 40)
if failed(result):
    held(repr(result))
os.unlink(path)
escaped("8 TiB of apparent size")
