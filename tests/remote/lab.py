"""BuildGrid with PostgreSQL and workers, as one process tree in namespaces of its own: pid 1 of a pid, a mount and a network namespace, so that all of
it goes when this process does. tests/e2e/buildgrid_lab.py starts it, in build/buildgrid-venv.

Files lie on a tmpfs over /mnt. BuildGrid listens on a unix socket, which is how the outside gets in, and in the network of this namespace,
where each worker has a cable of its own: worker N, in a network namespace of its own, is 10.1.N.2, and we are 10.1.N.1.

A JSON object a line on stdin, {"ok": true} a line on stdout:
    {"do": "kill", "worker": 1}               as a machine that fails
    {"do": "cut" | "mend", "worker": 1}       its cable
    {"do": "hire", "worker": 1}               a new one in the place of one that was killed
    {"do": "stop" | "start"}                  BuildGrid itself, whose database and storage stay; stop is a SIGKILL
    {"do": "log", "of": "bgd" | "postgres" | "worker1"}
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

STATE = pathlib.Path("/mnt")
HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.executable).parent
DATABASE = f"postgresql+psycopg://postgres@/bgd?host={STATE}/postgres"
PORT = 50051

# A worker that says nothing for so long is dead, and its actions are given to others. BuildGrid gives no leases to polls of less than 6.25 s.
KEEPALIVE = 10

CONFIG = """
server:
  - !channel {{address: "unix:{socket}", insecure-mode: true}}
  - !channel {{address: "0.0.0.0:{port}", insecure-mode: true}}
authorization: {{method: none}}
connections:
  - !sql-connection &database
    connection-string: "{database}"
storages:
  - !disk-storage &storage
    path: {state}/storage
caches:
  - !lru-action-cache &results
    storage: *storage
    max-cached-refs: 100000
    allow-updates: true
    cache-failed-actions: false
schedulers:
  - !sql-scheduler &scheduler
    sql: *database
    storage: *storage
    action-cache: *results
    bot-session-keepalive-timeout: {keepalive}
    max-execution-timeout: 600
    property-set: !dynamic-property-set
      match-property-keys: [OSFamily]
      wildcard-property-keys: [container-image, unixUID]
    assigners:
      - !priority-age-assigner {{count: 1, interval: 0.02, jitter-factor: 0.0, priority-assignment-percentage: 90}}
instances:
  - name: ''
    description: of a test
    services:
      - !action-cache {{cache: *results}}
      - !execution {{scheduler: *scheduler, operation-stream-keepalive-timeout: 60}}
      - !cas {{storage: *storage}}
      - !bytestream {{storage: *storage}}
thread-pool-size: 100
"""


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def start(name, words, **options):
    with (STATE / f"{name}.log").open("ab") as log:
        return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)


def until(what, condition, process=None, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process and process.poll() is not None):
            raise RuntimeError(f"{what} does not come: {log_of(what)[-600:]}")
        time.sleep(0.05)


def log_of(name):
    path = STATE / f"{name}.log"
    return path.read_text(errors="replace")[-20000:] if path.exists() else ""


class Postgres:
    def __init__(self, programs):
        home = STATE / "postgres"
        home.mkdir()
        run("chown", "postgres:", home)
        as_postgres = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        run(*as_postgres, programs / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust", "--no-sync", cwd=home)
        settings = ["listen_addresses=", f"unix_socket_directories={home}", "fsync=off", "synchronous_commit=off", "max_connections=200"]
        words = [*as_postgres, programs / "postgres", "-D", home / "data", *(word for one in settings for word in ("-c", one))]
        self.process = start("postgres", words, cwd=home)
        until("postgres", lambda: subprocess.run([programs / "pg_isready", "-q", "-h", home], check=False).returncode == 0, self.process)
        run(programs / "createdb", "-h", home, "-U", "postgres", "bgd")


class Worker:
    """worker.py and its casd, in namespaces of their own."""

    def __init__(self, number, casd, jobs, binds):
        self.number, self.cable = number, f"w{number}"
        words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", sys.executable, HERE / "worker.py"]
        words += ["--state", STATE / f"worker{number}", "--casd", casd, "--name", f"worker{number}", "--jobs", str(jobs), *(f"--bind={one}" for one in binds)]
        words += ["--address", f"10.1.{number}.2/30", "--server", f"10.1.{number}.1:{PORT}"]
        self.process = start(f"worker{number}", words)
        until(f"worker{number}", self.inside, self.process)
        # It may still be in our network for a moment.
        until(f"worker{number}", lambda: os.readlink(f"/proc/{self.inside()}/ns/net") != os.readlink("/proc/self/ns/net"), self.process)
        run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.inside())
        run("ip", "addr", "add", f"10.1.{number}.1/30", "dev", self.cable)
        self.mend()
        until(f"worker{number}", lambda: "session" in log_of(f"worker{number}"), self.process)

    def inside(self):
        return pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().strip()

    def cut(self):
        run("ip", "link", "set", self.cable, "down")

    def mend(self):
        run("ip", "link", "set", self.cable, "up")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Lab:
    def __init__(self, socket, postgres, casd, binds, workers, jobs):
        run("mount", "-t", "tmpfs", "-o", "size=75%,mode=0755", "tmpfs", STATE)
        run("ip", "link", "set", "lo", "up")
        self.socket, self.server, self.of_worker = socket, None, (casd, jobs, binds)
        self.postgres = Postgres(pathlib.Path(postgres))
        text = CONFIG.format(socket=socket, port=PORT, database=DATABASE, state=STATE, keepalive=KEEPALIVE)
        (STATE / "bgd.yml").write_text(text)
        run(BIN / "bgd", "migrate", "apply", DATABASE)
        self.start()
        self.workers = {number: Worker(number, *self.of_worker) for number in range(1, workers + 1)}

    def start(self):
        pathlib.Path(self.socket).unlink(missing_ok=True)
        self.server = start("bgd", [BIN / "bgd", "server", "start", STATE / "bgd.yml"], cwd=STATE)
        until("bgd", lambda: os.path.exists(self.socket), self.server)

    def stop(self):
        self.server.kill()
        self.server.wait()

    def obey(self, do, worker=None, of=None):
        if do == "log":
            return {"text": log_of(of)}
        if do in ("start", "stop"):
            getattr(self, do)()
        elif do == "hire":
            (STATE / f"worker{worker}.log").unlink()
            shutil.rmtree(STATE / f"worker{worker}")
            self.workers[worker] = Worker(worker, *self.of_worker)
        elif do in ("kill", "cut", "mend"):
            getattr(self.workers[worker], do)()
        else:
            raise RuntimeError(f"no command {do}")
        return {}


def main():
    lab = Lab(**json.loads(sys.argv[1]))
    print(json.dumps({"ok": True}), flush=True)
    for line in sys.stdin:
        try:
            answer = {"ok": True} | lab.obey(**json.loads(line))
        except (RuntimeError, OSError, ValueError) as error:
            answer = {"ok": False, "error": str(error)}
        print(json.dumps(answer), flush=True)


try:
    main()
except RuntimeError as error:
    print(json.dumps({"ok": False, "error": str(error)}), flush=True)
