"""BuildGrid with PostgreSQL and two workers in networks of their own (tests/remote/lab.py), as a thing of the test's own."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from casd import HOST, PROGRAMS, NotHere

PYTHON = pathlib.Path(os.environ.get("CASEMATE_BUILDGRID_PYTHON", ""))
SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "remote" / "lab.py"


class BuildGrid:
    """Nothing of it is left when it ends, nor when whoever started it dies, but for an empty directory then. As root."""

    def __init__(self, workers=2, jobs=1):
        if os.geteuid() != 0:
            raise NotHere("needs root, for networks of its own")
        if not (PROGRAMS / "buildbox-casd").is_file():
            raise NotHere("CASEMATE_CASD names no directory with a buildbox-casd: ./dev test buildgrid makes it")
        if not PYTHON.is_file():
            raise NotHere("no environment with BuildGrid (CASEMATE_BUILDGRID_PYTHON): ./dev test buildgrid makes one where it finds a Python 3.13")
        postgres = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not postgres or not shutil.which("ip"):
            raise NotHere("PostgreSQL or ip is not installed: apt-get install postgresql iproute2")
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="casemate-buildgrid-", dir="/var/tmp"))
        self.target = self.address = f"unix:{self.top}/s"
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
        binds = [one for one in HOST if os.path.exists(one.partition(":")[0])]
        wanted = {"socket": f"{self.top}/s", "postgres": str(postgres[-1].parent), "casd": str(PROGRAMS), "binds": binds, "workers": workers, "jobs": jobs}
        words += [PYTHON, SCRIPT, json.dumps(wanted)]
        with (self.top / "log").open("wb") as log:
            self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            self.heard()
        except BaseException:
            self.end()
            raise

    def heard(self):
        line = self.process.stdout.readline()
        assert line, f"the lab ended: {(self.top / 'log').read_text()[-2000:]}"
        answer = json.loads(line)
        assert answer["ok"], answer["error"]
        return answer

    def say(self, do, **more):
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        return self.heard()

    def kill(self, worker):
        self.say("kill", worker=worker)

    def hire(self, worker):
        self.say("hire", worker=worker)

    def cut(self, worker):
        self.say("cut", worker=worker)

    def mend(self, worker):
        self.say("mend", worker=worker)

    def stop(self):
        self.say("stop")

    def start(self):
        self.say("start")

    def log(self, of):
        return self.say("log", of=of)["text"]

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self.top, ignore_errors=True)
