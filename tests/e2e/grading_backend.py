"""A grading backend as a process of its own: both wire forms, its strange ways included, and faults on demand.

`python grading_backend.py` serves until its standard input ends; it is told what to do by lines of JSON there, first its options, and answers each
with a line on standard output. GradingBackend is that process as tests see it. Everything that it was asked is recorded, in order.
"""

import base64
import contextlib
import http.server
import itertools
import json
import secrets
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

DEFAULTS = {
    "port": 0,
    "auth": False,
    "access_seconds": 900,  # of an access token
    "opaque_tokens": False,  # else they say in themselves when they end, as a JWT does
    "refreshable": True,  # False: every refresh is refused
    "users": {"dora_explorer": ["dora_explorer", True], "student": ["student", False]},  # name: password, has the role
    "tls": None,  # [certificate, key], of files
    "ask": True,  # GET /api/session/attempt/{id} exists
    "paths": {"/api/task/available": "get", "/api/task/result": "post", "/api/v1/login": "login", "/api/v1/auth/refresh": "refresh"},
    "none": [200, '{"status":"UNAVAILABLE"}'],  # the answer where there is no task
}
ERROR_DETAILS_LIMIT = 255
UNTIL_POSTED = -1


def texts_of(value):
    """Every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from texts_of(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts_of(one)


class Session:
    """What the backend knows: tasks, results, tokens, faults. One lock for all; a hanging request holds it not."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.RLock()
        self.record = []
        self.tasks = []  # [task, how often it is still handed out; UNTIL_POSTED: in turns with others, until there is a result]
        self.known = {}  # key: None (no result), a result, or "deleted"
        self.faults = []  # {"on", "do", "times", ...}
        self.access = {}  # token: (user, ends)
        self.refresh = {}  # token: user
        self.polls = 0  # of tasks, under way
        self.most_polls = 0
        self.released = threading.Event()  # ends what hangs

    @staticmethod
    def key_of(body):
        return f"id {body['id']}" if "id" in body else f"attempt {body.get('attempt')}"

    def fault(self, on):
        with self.lock:
            for fault in self.faults:
                if fault["on"] == on and fault["times"] > 0:
                    fault["times"] -= 1
                    return fault
        return None

    # -- tokens

    def _token(self, seconds):
        def part(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

        if self.options["opaque_tokens"]:
            return secrets.token_hex(16)
        return ".".join((part({"alg": "HS256"}), part({"exp": int(time.time() + seconds)}), secrets.token_hex(8)))

    def _triple(self, user):
        access, refresh = self._token(self.options["access_seconds"]), self._token(7 * 86400)
        self.access[access] = (user, time.time() + self.options["access_seconds"])
        self.refresh[refresh] = user
        return 200, {"type": "Bearer", "accessToken": access, "refreshToken": refresh}

    def log_in(self, body):
        known = self.options["users"].get(body.get("username"))
        if known is None:
            return 400, {"message": "no such user"}
        return self._triple(body["username"]) if body.get("password") == known[0] else (401, {"message": "bad credentials"})

    def renew(self, body):
        user = self.refresh.pop(body.get("refreshToken"), None)
        return self._triple(user) if user and self.options["refreshable"] else (401, {"message": "this token is dead"})

    def forbidden(self, authorization):
        """The answer to who may not ask; None who may."""
        if not self.options["auth"]:
            return None
        user, ends = self.access.get(authorization.removeprefix("Bearer "), (None, 0))
        if not authorization.startswith("Bearer ") or user is None or ends <= time.time():
            return 401, {"message": "unauthorised"}
        return None if self.options["users"][user][1] else (403, {"message": "forbidden"})

    # -- tasks and results

    def next_task(self):
        for entry in self.tasks:
            if entry[1] > 0 or (entry[1] == UNTIL_POSTED and self.known.get(self.key_of(entry[0])) is None):
                entry[1] -= entry[1] > 0
                self.tasks.remove(entry)
                self.tasks.append(entry)
                if isinstance(entry[0], dict):
                    self.known.setdefault(self.key_of(entry[0]), None)
                return 200, entry[0]
        status, text = self.options["none"]
        return status, text.encode()

    def take_result(self, raw):
        try:
            body = json.loads(raw)
        except ValueError:
            return 400, {"message": "not JSON"}
        inner = body.get("testResults") if isinstance(body, dict) else None
        nested = isinstance(inner, dict) and set(body) == {"testResults", "attempt"} and isinstance(inner.get("testCases"), list)
        flat = isinstance(inner, list) and isinstance(body.get("id"), str)
        if not nested and not flat:
            return 400, {"message": "no result"}
        result = inner if nested else body
        key = self.key_of(body)
        if key not in self.known:
            return 400, {"message": f"no attempt {key}"}
        if any("\0" in text for text in texts_of(body)):
            return 500, {"message": "invalid byte sequence for encoding UTF8: 0x00"}
        if len(result["errorDetails"]) > ERROR_DETAILS_LIMIT:
            return 500, {"message": "value too long for type character varying(255)"}
        if self.known[key] == "deleted":
            return 400, {"message": "no such attempt"}
        if self.known[key] is not None:
            self.known[key] = "deleted"
            return 200, {"message": "ok"}
        self.known[key] = body
        return 200, {"message": "ok"}

    def attempt(self, name):
        if not self.options["ask"]:
            return 404, {"message": "not found"}
        found = self.known.get(f"id {name}", self.known.get(f"attempt {name}", "deleted"))
        if found == "deleted":
            return 404, {"message": "no such attempt"}
        if found is None:
            return 200, {"id": name, "status": "IN_PROGRESS", "isPassed": None, "testResults": []}
        inner = found["testResults"]
        cases = inner["testCases"] if isinstance(inner, dict) else inner
        return 200, {"id": name, "status": "FINISHED", "isPassed": (inner if isinstance(inner, dict) else found)["isPassed"], "testResults": cases}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    session: Session

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve("GET")

    def do_POST(self):
        self.serve("POST")

    def serve(self, method):
        session = self.session
        name = session.options["paths"].get(self.path.partition("?")[0])
        if name is None and self.path.startswith("/api/session/attempt/"):
            name = "ask"
        entry = {"method": method, "path": self.path, "what": name, "time": time.time(), "headers": dict(self.headers), "status": 0}
        fault = session.fault(name) or {"do": ""}
        entry["fault"] = fault["do"]
        with session.lock:
            session.record.append(entry)
        if fault["do"] == "reset-at-once":
            return self.reset()
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        entry["body"] = raw.decode(errors="replace")
        if name == "get":
            with session.lock:
                session.polls += 1
                session.most_polls = max(session.most_polls, session.polls)
        try:
            return self.respond(method, name, raw, entry, fault)
        finally:
            if name == "get":
                with session.lock:
                    session.polls -= 1

    def respond(self, method, name, raw, entry, fault):
        if fault["do"] == "hang":  # not a byte of it was looked at
            self.session.released.wait(60)
            return self.reset()
        if fault["do"] == "delay":
            self.session.released.wait(fault["seconds"])
        if fault["do"] == "status":
            entry["status"] = fault["status"]
            return self.answer(fault["status"], fault.get("body", "{}").encode())
        if fault["do"] == "bad-json":
            entry["status"] = 200
            return self.answer(200, b'{"id": "5f0c", "repositoryUrl": ')
        with self.session.lock:
            status, body = self.decide(method, name, raw)
        entry["status"] = status
        if name == "get":
            entry["handed"] = isinstance(body, dict) and ("id" in body or "attempt" in body)
            entry["time"] = time.time()
        if fault["do"] == "vanish":  # it was taken, and nobody is told
            return self.reset()
        if fault["do"] == "hang-after":
            self.session.released.wait(60)
            return self.reset()
        if fault["do"] == "huge" and isinstance(body, dict):
            body = body | {"padding": "x" * fault.get("bytes", 10 << 20)}
        encoded = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return self.answer(status, encoded, whole=fault["do"] != "reset")

    def decide(self, method, name, raw):
        session = self.session
        if name in ("login", "refresh") and method == "POST":
            try:
                body = json.loads(raw)
            except ValueError:
                return 400, {"message": "not JSON"}
            return session.log_in(body) if name == "login" else session.renew(body)
        refused = session.forbidden(self.headers.get("Authorization", ""))
        if refused:
            return refused
        if name == "get" and method == "GET":
            return session.next_task()
        if name == "post" and method == "POST":
            return session.take_result(raw)
        if name == "ask" and method == "GET":
            return session.attempt(self.path.rsplit("/", 1)[1])
        return 404, {"message": "not found"}

    def answer(self, status, body, whole=True):
        with contextlib.suppress(OSError):
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(body if whole else body[: max(1, len(body) // 2)])
            self.wfile.flush()
        if not whole:
            self.reset()

    def reset(self):
        """An RST where the answer should be."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


class Listener(http.server.ThreadingHTTPServer):
    """One time of being up. All its connections end with it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port, session):
        self.connections = set()
        super().__init__(("127.0.0.1", port), type("Bound", (Handler,), {"session": session}))
        if session.options["tls"]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*session.options["tls"])
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # a client that went away

    def down(self):
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def obey(session, listeners, order):
    """One order of the control line; its answer."""
    do = order.pop("do")
    if do == "up":
        listeners.append(Listener(session.options["port"], session))
        session.options["port"] = listeners[-1].server_port
    elif do == "down":
        listeners.pop().down()
    with session.lock:
        if do == "task":
            session.tasks.append([order["task"], order.get("repeat", 1)])
            if order.get("known"):
                session.known.setdefault(order["known"], None)
        elif do == "fault":
            session.faults.append({"times": 1} | order["fault"])
        elif do == "clear":
            session.faults.clear()
            session.released.set()
            session.released = threading.Event()
        elif do == "expire":  # all tokens, as after a restart of the backend
            session.access.clear()
            if order.get("refresh"):
                session.refresh.clear()
        elif do == "state":
            return {
                "known": session.known,
                "record": session.record[order.get("since", 0) :],
                "most_polls": session.most_polls,
                "left": sum(max(times, 0) for _, times in session.tasks),
            }
    return {"port": session.options["port"]}


def main():
    session, listeners = Session(DEFAULTS | json.loads(sys.stdin.readline())), []
    print(json.dumps(obey(session, listeners, {"do": "up"})), flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(session, listeners, json.loads(line))), flush=True)


class GradingBackend:
    """The process, as a test holds it."""

    def __init__(self, **options):
        self.numbers = itertools.count(21)
        self.lock = threading.Lock()
        self.scheme = "https" if options.get("tls") else "http"
        self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.process.stdin.write(json.dumps(options) + "\n")  # not on a command line: a password may be in it
        self.process.stdin.flush()
        self.port = json.loads(self.process.stdout.readline())["port"]

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def tell(self, do, **order):
        with self.lock:
            self.process.stdin.write(json.dumps({"do": do} | order) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def task(self, repository, branch="main", form="a", repeat=1, **more):
        """Queues a task; its key ("attempt 21")."""
        number = next(self.numbers)
        body = {"attempt": number} if form == "a" else {"id": f"5f0c7a52-0000-4000-8000-{number:012d}", "status": "AVAILABLE"}
        body |= {"repositoryUrl": str(repository), "branch": branch} | more
        self.tell("task", task=body, repeat=repeat)
        return Session.key_of(body)

    def raw_task(self, task, known="", repeat=1):
        """Queues what the test says, whatever it is; `known`: the key under which a result may come."""
        self.tell("task", task=task, repeat=repeat, known=known)

    def fault(self, on, do, **more):
        """The next request (or `times` of them) of kind `on` (get, post, login, refresh, ask) goes wrong: see Handler.respond."""
        self.tell("fault", fault={"on": on, "do": do} | more)

    def state(self):
        return self.tell("state")

    def result(self, key):
        """What was taken of this task: both forms made one; None so far, "deleted" after a second POST."""
        body = self.state()["known"].get(key)
        return Graded(body) if isinstance(body, dict) else body

    def wait(self, what, seconds=120):
        """Until `what(state)` is true; its value."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.state()
            found = what(state)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"the backend waited {seconds} s in vain; it knows {state['known']} and was asked {[r['what'] for r in state['record']][-20:]}")

    def wait_for(self, *keys, seconds=120):
        """Until there are results of all these; the last one's."""
        self.wait(lambda state: all(state["known"].get(key) is not None for key in keys), seconds)
        return self.result(keys[-1])

    def requests(self, what=None):
        return [one for one in self.state()["record"] if what is None or one["what"] == what]

    def posts(self, key):
        """The bodies that were sent for a task, in order."""
        bodies = [json.loads(one["body"]) for one in self.requests("post") if one.get("body")]
        return [body for body in bodies if Session.key_of(body) == key]

    def down(self):
        self.tell("down")

    def up(self):
        self.tell("up")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Graded:
    """A result in either form."""

    def __init__(self, body):
        self.body = body
        inner = body["testResults"]
        self.result = inner if isinstance(inner, dict) else body
        self.cases = inner["testCases"] if isinstance(inner, dict) else inner
        self.passed, self.error, self.details = self.result["isPassed"], self.result["isError"], self.result["errorDetails"]
        #: By the name behind "::".
        self.by_name = {case["name"].partition("::")[2]: case for case in self.cases}

    @property
    def verdicts(self):
        return {name: case["isPassed"] for name, case in self.by_name.items()}

    def __repr__(self):
        return json.dumps(self.body, indent=1)[:6000]


if __name__ == "__main__":
    main()
