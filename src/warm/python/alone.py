"""An interpreter that is alone in a container: it forks nothing and needs no native half. What the engine wants is among its arguments, what it
tells goes to descriptor 3 (src/warm/protocol.h)."""
COVERED = "/.casemate-coverage"  # the second descriptor of V, as a file
MEASURED = "/tmp/.casemate-coverage"  # coverage's file of data: the project can't be written


class Alone:
    """Stands in for the native half."""

    def __init__(self, order):
        self.order = order

    def control(self, fd):
        """There is none."""

    def serve(self):
        """The only order there is."""
        order, self.order = self.order, None
        return order

    def high(self, fd):
        """`fd`, moved away from where tests look."""
        if fd != 3:
            return fd
        for number in (1000, 500, 200, 50, 3):
            try:
                moved = os.dup2(fd, number, False)
            except OSError:
                continue  # more than it may have
            if moved != fd:
                os.close(fd)
            return moved
        return fd

    def send(self, message):
        """Only of what it gives up for."""
        if message.startswith(b"X"):
            os.write(2, read_json(message[1:].decode())["what"].encode("utf-8", "backslashreplace") + b"\n")

    def hash(self, data):
        """Nobody compares it: no interpreter has another's items."""
        return 0

    def leave(self, status):
        os._exit(status)


def order_of_arguments():
    """Takes it out of this process' arguments: "C", "V" and a number of failures, or "K", a file, how many tests, and their ids."""
    words = sys.argv[1:]
    if words[0] == "C":
        order, count = ("C", b"", [3]), 1
    elif words[0] == "V":
        order, count = ("V", to_json({"failed": int(words[1])}).encode(), [3, os.open(COVERED, os.O_RDONLY | os.O_CLOEXEC)]), 2
    else:
        count = 3 + int(words[2])
        order = "K", to_json({"file": words[1], "ids": words[3:count]}).encode(), [3]
    if words[0] != "V":
        os.environ.setdefault("COVERAGE_FILE", MEASURED)
    del sys.argv[1 : 1 + count]
    if hasattr(sys, "orig_argv"):
        end = len(sys.orig_argv) - len(words) + count
        del sys.orig_argv[end - count : end]
    return order


def forget_coverage_file():
    """Once coverage knows it: tests need not."""
    if os.environ.get("COVERAGE_FILE") == MEASURED:
        del os.environ["COVERAGE_FILE"]


ALONE = os.environ.pop("CASEMATE_ALONE", None) is not None
