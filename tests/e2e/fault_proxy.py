"""tests/remote/proxy.py, a proxy that breaks gRPC calls as a script says, as a process of the test's own: see there for rules and faults."""

import json
import pathlib
import shutil
import socket
import subprocess
import tempfile

from casd import PROGRAMS, NotHere

PROXY = pathlib.Path(__file__).resolve().parents[1] / "remote" / "proxy.py"


class FaultProxy:
    """Between casemate and the engine at `to` (as gRPC takes it). `more`: arguments of proxy.py, for TLS. Dies with whoever started it."""

    def __init__(self, to, *more):
        python = PROGRAMS.parents[5] / "bin" / "python" if len(PROGRAMS.parents) > 5 else PROGRAMS
        if not python.exists():
            raise NotHere("CASEMATE_CASD names no directory in an environment with the protocol's stubs: ./dev test remote makes it")
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="casemate-proxy-", dir="/var/tmp"))
        self.to, self.more, self.python, self.process = to, more, python, None
        try:
            self.start()
        except BaseException:
            self.end()
            raise

    def start(self):
        words = ["setpriv", "--pdeathsig", "KILL", self.python, PROXY, "--to", self.to, "--control", self.top / "c", *self.more]
        with (self.top / "log").open("ab") as log:
            self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline()
        if not line:
            raise NotHere(f"the proxy does not start: {(self.top / 'log').read_text(errors='replace')[-400:]}")
        self.target = f"127.0.0.1:{json.loads(line)['port']}"
        self.address = f"{'grpcs' if '--tls-cert' in self.more else 'grpc'}://{self.target}"

    def say(self, do, **more):
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(180)
            link.connect(str(self.top / "c"))
            with link.makefile("rwb") as lines:
                lines.write(json.dumps({"do": do, **more}).encode() + b"\n")
                lines.flush()
                answer = json.loads(lines.readline())
        assert "error" not in answer, answer["error"]
        return answer

    def rules(self, *rules):
        self.say("rules", rules=rules)

    def counts(self, method=None):
        """Of one method, or {method: counts}."""
        found = self.say("counts")["methods"]
        return found if method is None else found.get(method, {"calls": 0, "requests": 0, "responses": 0, "request_bytes": 0, "response_bytes": 0, "broken": 0, "codes": {}})

    def bytes_sent(self):
        """By clients, all that TCP carried."""
        return self.say("counts")["sent"]

    def reset(self):
        self.say("reset")

    def wait(self, method, what="calls", count=1, seconds=60):
        assert self.say("wait", method=method, what=what, count=count, seconds=seconds)["ok"], f"{method}: fewer than {count} {what} in {seconds} s"

    def seen(self, method):
        """The metadata of the method's last call."""
        return self.say("seen", method=method)["metadata"]

    def require(self, **headers):
        self.say("require", headers=headers)

    def link(self, up, silent=False):
        self.say("link", up=up, silent=silent)

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        shutil.rmtree(self.top, ignore_errors=True)
