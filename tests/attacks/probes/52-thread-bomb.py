# class: resource
# tries: start threads until that fails; gives up at 1,500
# must: it fails before
# died: held
import threading

threading.stack_size(65536)
stop = threading.Event()
for count in range(1500):
    try:
        threading.Thread(target=stop.wait, daemon=True).start()
    except (RuntimeError, MemoryError) as error:
        held("%d %r" % (count, error))
escaped("1,500 threads")
