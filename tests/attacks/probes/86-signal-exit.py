# class: robust
# tries: end by SIGSEGV
# must: status 139 = 128 + 11
# rc: 139
print("HELD with exit status 139", flush=True)
signal.signal(signal.SIGSEGV, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGSEGV)
time.sleep(5)
