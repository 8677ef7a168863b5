"""A worker for BuildGrid, whose wheel has none: asks it for leases (Remote Workers API, google/devtools/remoteworkers/v1test2) and has a casd of its own
run them, which fetches inputs from BuildGrid's storage and puts outputs there. Runs in build/buildgrid-venv, in namespaces that buildgrid.py made."""

import argparse
import hashlib
import pathlib
import subprocess
import sys
import threading
import time

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as reapi
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2_grpc as services
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2 as bots
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2_grpc as bots_services

# Seconds. How long one question for work may stay open: below what BuildGrid takes for death (KEEPALIVE in lab.py), and not so short that it gives none.
POLL = 8
# Between two questions while there is work: then BuildGrid answers at once.
PAUSE = 0.1


def say(*words):
    print(f"{time.time():.3f}", *words, flush=True)


def join_network(address):
    """eth0 comes when buildgrid.py has laid our cable."""
    for _ in range(600):
        if subprocess.run(["ip", "link", "set", "eth0", "up"], capture_output=True, check=False).returncode == 0:
            subprocess.run(["ip", "addr", "add", address, "dev", "eth0"], check=True)
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            return
        time.sleep(0.05)
    sys.exit("no network came")


def start_casd(state, programs, server, jobs, binds):
    """As tests/e2e/casd.py has it; there is a namespace around us already."""
    state.mkdir()
    binds = [f"--runner-arg=--ro-bind-mount={one}" for one in binds]
    words = [f"{programs}/buildbox-casd", f"--bind=unix:{state}/s", f"--cas-remote=http://{server}", f"--buildbox-run={programs}/buildbox-run", f"--jobs={jobs}"]
    words += ["--quota-high=4G", "--reserved=0", "--cas-retry-limit=3", "--cas-request-timeout=20", "--log-level=warning", *binds, f"{state}/cache"]
    environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(state), "TMPDIR": str(state), "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL)
    while not (state / "s").exists():
        if process.poll() is not None:
            sys.exit("casd does not start")
        time.sleep(0.05)
    return f"unix:{state}/s"


class Bench:
    """What is being done: a thread a lease."""

    def __init__(self, target, name):
        channel = grpc.insecure_channel(target)
        self.execution, self.cas, self.name = services.ExecutionStub(channel), services.ContentAddressableStorageStub(channel), name
        self.lock, self.changed = threading.Lock(), lambda: None
        self.going, self.done = {}, {}

    def take(self, lease):
        with self.lock:
            if lease.id in self.going or lease.id in self.done:
                return
            self.going[lease.id] = None
        say("took", lease.id)
        threading.Thread(target=self.work, args=(lease.id, lease.payload.type_url, lease.payload.value), daemon=True).start()

    def work(self, lease, kind, payload):
        response = reapi.ExecuteResponse()
        try:
            stream = self.execution.Execute(reapi.ExecuteRequest(action_digest=self.action(kind, payload), skip_cache_lookup=True))
            with self.lock:
                self.going[lease] = stream
            for operation in stream:
                pass
            if operation.WhichOneof("result") == "error":
                response.status.CopyFrom(operation.error)
            else:
                operation.response.Unpack(response)
        except grpc.RpcError as error:
            response.status.code, response.status.message = error.code().value[0], error.details() or ""
        response.result.execution_metadata.worker = self.name
        say("did", lease, response.status.code, response.status.message)
        with self.lock:
            if self.going.pop(lease, self) is not self:
                self.done[lease] = response
        self.changed()

    def action(self, kind, payload):
        if kind.endswith("Digest"):
            return reapi.Digest.FromString(payload)
        # The Action itself came: as it is, for its digest is that of these bytes.
        digest = reapi.Digest(hash=hashlib.sha256(payload).hexdigest(), size_bytes=len(payload))
        request = reapi.BatchUpdateBlobsRequest()
        request.requests.add(digest=digest, data=payload)
        self.cas.BatchUpdateBlobs(request, timeout=30)
        return digest

    def keep_only(self, leases):
        """What is not in this list any more nobody waits for."""
        with self.lock:
            gone = [(one, self.going.pop(one)) for one in list(self.going) if one not in leases]
        for lease, stream in gone:
            say("cancelled", lease)
            if stream:
                stream.cancel()


class Session:
    def __init__(self, server, name, jobs, bench):
        options = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1000), ("grpc.keepalive_time_ms", 5000), ("grpc.keepalive_timeout_ms", 3000)]
        self.stub, self.bench, self.session, self.poll = bots_services.BotsStub(grpc.insecure_channel(server, options)), bench, None, None
        self.name, self.jobs, self.finished = name, jobs, threading.Event()
        bench.changed = self.interrupt

    def interrupt(self):
        """A result does not wait for the end of a poll."""
        self.finished.set()
        poll = self.poll
        if poll:
            poll.cancel()

    def open(self):
        session = bots.BotSession(bot_id=self.name, status=bots.OK)
        session.worker.configs.add(key="capacity", value=str(self.jobs))
        session.worker.devices.add(handle="machine").properties.add(key="OSFamily", value="linux")
        self.session = self.stub.CreateBotSession(bots.CreateBotSessionRequest(bot_session=session), timeout=2)
        say("session", self.session.name)

    def turn(self):
        if not self.session:
            self.bench.keep_only(())
            self.open()
        for lease in self.session.leases:
            # A lease may come as active at once.
            if lease.state in (bots.PENDING, bots.ACTIVE):
                lease.state = bots.ACTIVE
                self.bench.take(lease)
        self.bench.keep_only({lease.id for lease in self.session.leases if lease.state == bots.ACTIVE})
        if self.session.leases:
            self.finished.wait(PAUSE)
        self.finished.clear()
        told = []
        with self.bench.lock:
            for lease in self.session.leases:
                if lease.id in self.bench.done:
                    lease.state = bots.COMPLETED
                    lease.status.CopyFrom(self.bench.done[lease.id].status)
                    lease.result.Pack(self.bench.done[lease.id].result)
                    told.append(lease.id)
        call = self.stub.UpdateBotSession.future(bots.UpdateBotSessionRequest(name=self.session.name, bot_session=self.session), timeout=POLL)
        self.poll = None if told else call
        with self.bench.lock:
            known = {lease.id for lease in self.session.leases}
            late = any(one in known and one not in told for one in self.bench.done)
        if late and not told:
            call.cancel()
        self.session = call.result()
        for lease in told:
            self.bench.done.pop(lease, None)

    def serve(self):
        while True:
            try:
                self.turn()
            except grpc.FutureCancelledError:
                pass
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED):
                    say(error.code(), error.details())
                    time.sleep(0.2)
                # Given up for dead: what we were doing has been given to another.
                if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                    self.session = None
            finally:
                self.poll = None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("server", "name", "address", "casd", "state"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--bind", action="append", default=[])
    wanted = parser.parse_args()
    join_network(wanted.address)
    bench = Bench(start_casd(pathlib.Path(wanted.state), wanted.casd, wanted.server, wanted.jobs, wanted.bind), wanted.name)
    Session(wanted.server, wanted.name, wanted.jobs, bench).serve()


main()
