"""The host's side of an attack: what it has that a cell must not reach, and what must be the same on it afterwards."""
import ctypes
import glob
import hashlib
import os
import pwd
import socket
import stat
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

NAMESPACES = ("pid", "mnt", "ipc", "uts", "net", "user", "cgroup")
SHARED_PLACES = ("/dev/shm", "/tmp", "/var/tmp", "/run")
# Where a probe's own files (x.TOKEN...) would lie if they got out.
WATCHED = ("/usr/local/lib", "/etc", "/usr/bin", "/usr/lib", "/root", "/var/tmp", "/tmp", "/dev/shm", "/run", "/boot", "/opt", "/srv", "/home", "/")
# A chain of forks hides from one look at /proc: so many looks in a row must find nothing.
EMPTY_LOOKS = 6

libc = ctypes.CDLL(None, use_errno=True)


def contents(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def serve(listener, answer):
    """Answers every connection until the socket is closed."""
    listener.listen(8)

    def loop():
        while True:
            try:
                connection, _ = listener.accept()
                connection.sendall(answer)
                connection.close()
            except OSError:
                return

    threading.Thread(target=loop, daemon=True).start()


class Host:
    """Secrets, listeners, a victim process and a leaked descriptor, all owned by the user that will run casemate."""

    def __init__(self, user=None):
        self.user = user  # a pwd entry: casemate runs as this user; None: as whoever runs the tests
        self.token = "tk" + uuid.uuid4().hex[:12]
        private = "/root" if user is None and os.access("/root", os.W_OK) else "/var/tmp"
        self.base = Path(tempfile.mkdtemp(prefix="casemate-attacks.", dir=private))
        self.canary = self.base / "secret"
        self.canary.write_text("canary " + self.token)
        self.canary.chmod(0o600)
        self.input = self.base / "input"
        self.input.write_text("input of the caller\n")
        self.home = self.base / "home"
        self.home.mkdir()
        self.root = self.base / "root"  # an image: the host's programs below links of its own
        (self.root / "etc").mkdir(parents=True)
        (self.root / "usr").mkdir()
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to("usr/" + name)
        self.own = [self.base / name for name in ("cache", "state", "run")]  # casemate's
        for path in self.own:
            path.mkdir(mode=0o700)
        self.shared = [Path(place) / ("h." + self.token) for place in SHARED_PLACES if os.access(place, os.W_OK)]
        for path in self.shared:
            path.write_text(self.token)
        self.listeners = []
        self._listen()
        for path in (self.base, self.canary, self.input, self.home, self.root, self.root / "etc", *self.own, *self.shared):
            self._give_away(path)
        self.victim = subprocess.Popen(["sleep", "3600"], env={"VICTIM_SECRET": self.token, "PATH": os.environ["PATH"]}, **self.as_user())
        self.shm_key = int(self.token[2:9], 16) & 0x7FFFFFFF
        self.shm = libc.shmget(self.shm_key, 4096, 0o1666)
        self.leaked_fd = os.open("/", os.O_RDONLY)
        os.set_inheritable(self.leaked_fd, True)

    def close(self):
        os.close(self.leaked_fd)
        libc.shmctl(self.shm, 0, None)
        self.victim.kill()
        self.victim.wait()
        for listener in self.listeners:
            listener.close()
        for path in self.shared:
            path.unlink(missing_ok=True)
        remove_tree(self.base)

    def as_user(self):
        """Arguments of Popen that make a process the user's."""
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def _give_away(self, path):
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _listen(self):
        answer = self.token.encode()
        loopback = socket.create_server(("127.0.0.1", 0))
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind("\0" + self.token)
        named = socket.socket(socket.AF_UNIX)
        named.bind(str(self.base / "s"))
        (self.base / "s").chmod(0o666)
        self.listeners = [loopback, abstract, named]
        for listener in self.listeners:
            serve(listener, answer)
        self.loopback = "127.0.0.1:%d" % loopback.getsockname()[1]

    def environment(self):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "HOST_SECRET": self.token, "LANG": "C.UTF-8", "TERM": "xterm"}
        for path in self.own:
            environment["CASEMATE_%s_DIR" % path.name.upper()] = str(path)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LLVM_PROFILE_FILE", "GCOV_PREFIX"):
            if name in os.environ:
                environment[name] = os.environ[name]
        return environment

    def facts(self):
        """What a probe is told, so that it knows what to look for."""
        facts = {
            "token": self.token,
            "canary": self.canary,
            "hostpid": self.victim.pid,
            "tcp": self.loopback,
            "abstract": self.token,
            "unix": self.base / "s",
            "shmkey": self.shm_key,
            "shadow_sha": hashlib.sha256(contents("/etc/shadow")).hexdigest(),
            "machineid": contents("/etc/machine-id").decode().strip(),
            "hostname": socket.gethostname(),
        }
        for kind in NAMESPACES:
            facts["ns_" + kind] = os.readlink("/proc/self/ns/" + kind)
        return facts

    def output_directory(self, parent):
        path = Path(tempfile.mkdtemp(prefix="casemate-attacks-out.", dir=parent if os.path.isdir(parent) else "/var/tmp"))
        path.chmod(0o777)
        self._give_away(path)
        return path

    def stdin(self, kind):
        """What Popen takes as stdin: nothing, a pipe that stays silent, a file of the caller, a directory of the host."""
        if kind == "pipe":
            return subprocess.PIPE
        if kind == "file":
            return open(self.input, "rb")
        if kind == "directory":
            return OpenDirectory("/var/tmp")
        return subprocess.DEVNULL

    def state(self, alone):
        """What must be the same before and after; mounts are counted only where nobody else mounts."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return {
            "hostname": socket.gethostname(),
            "core_pattern": contents("/proc/sys/kernel/core_pattern"),
            "canary": (contents(self.canary), self.canary.stat().st_mode),
            "input file": (contents(self.input), self.input.stat().st_mode),
            "/etc/shadow": hashlib.sha256(contents("/etc/shadow")).hexdigest(),
            "/etc/passwd": hashlib.sha256(contents("/etc/passwd")).hexdigest(),
            "shared files": [contents(path) for path in self.shared],
            "mounts": len(mounts) if alone else [line for line in mounts if str(self.base) in line],
        }

    def findings(self, before, after, remove):
        """What is wrong on the host now, in words. `remove`: take away what a probe left, so that the next one does not find it."""
        found = ["the host's %s changed" % name for name in before if before[name] != after[name]]
        if self.victim.poll() is not None:
            found.append("the victim process was killed")
        for place in {*WATCHED, os.getcwd(), str(self.home)}:
            for name in glob.glob("%s/x.%s*" % (place.rstrip("/"), self.token)) + glob.glob("%s/x.r.%s" % (place.rstrip("/"), self.token)):
                found.append("a file of the job on the host: " + name)
                if remove:
                    remove_tree(name)
        return found

    def collected_findings(self, place):
        """What is wrong with the files that a job left in `place`: set-id bits, devices, the secret or /etc/shadow read through a link."""
        found = []
        shadow = contents("/etc/shadow")
        for directory, _, names in os.walk(os.fsencode(place)):
            for name in names:
                path = os.path.join(directory, name)
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
                    found.append("a set-id file: %r of uid %d" % (name, status.st_uid))
                if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
                    found.append("a device: %r" % name)
                if stat.S_ISREG(status.st_mode) and 0 < status.st_size < 1 << 20:
                    data = contents(os.fsdecode(path))
                    if self.token.encode() in data or (shadow and data == shadow):
                        found.append("a secret of the host in %r" % name)
        return found


class OpenDirectory:
    """A directory's descriptor that Popen takes as a file."""

    def __init__(self, path):
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def fileno(self):
        return self._fd

    def close(self):
        os.close(self._fd)


def processes_with(word, but):
    """Living processes with `word` in their command line."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in but:
            continue
        if word not in contents("/proc/%s/cmdline" % name):
            continue
        fields = contents("/proc/%s/stat" % name).rsplit(b")", 1)[-1].split()
        if fields and fields[0] != b"Z":
            found.append(int(name))
    return found


def leftovers(word, but):
    """Processes with `word` that stay; [] when EMPTY_LOOKS in a row found none within 1.2 s."""
    found = []
    empty = 0
    for _ in range(60):
        found = processes_with(word, but)
        empty = 0 if found else empty + 1
        if empty >= EMPTY_LOOKS:
            return []
        time.sleep(0.02)
    return found


def cgroups_of(pid):
    """Directories below /sys/fs/cgroup that casemate named after the process `pid`."""
    found = []
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(directory, name) for name in names if name.startswith("casemate-%d-" % pid)]
    return found


def remove_tree(path):
    """Also what is too deep for a recursive walk, and directories that their maker closed."""
    remove = ["rm", "-rf", "--one-file-system", "--", str(path)]
    subprocess.run(remove, stderr=subprocess.DEVNULL, check=False)
    if os.path.lexists(path):
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(remove, stderr=subprocess.DEVNULL, check=False)


def unprivileged_user(name):
    """The pwd entry of the user that plays the unprivileged caller; None when there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
