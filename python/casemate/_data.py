"""The plain data of an engine: what is run, and what became of it. Mirrors include/casemate/job.h and outcome.h."""

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Dict, List, Optional

from ._plain import Plain, binary, each, with_sentences

__all__ = [
    "Change",
    "ChangeKind",
    "FileType",
    "Job",
    "JobResult",
    "Leftover",
    "Limits",
    "Mount",
    "MountKind",
    "Network",
    "Outcome",
    "OutcomeKind",
    "Output",
    "Profile",
    "Resources",
    "Stream",
]


class _Word(str, enum.Enum):
    """An enum that is its word."""

    def __str__(self) -> str:
        return str(self.value)


class Network(_Word):
    """What of the network a job can reach."""

    none = "none"
    """A network namespace of its own with only loopback."""
    outbound = "outbound"
    """Its own namespace behind a user-mode gateway; the host's loopback and unix sockets stay out of reach."""
    host = "host"
    """The host's network namespace."""


class Profile(_Word):
    """How much of the kernel a job may touch."""

    standard = "standard"
    """An allow-list of system calls that ordinary programs use."""
    strict = "strict"
    """Also no new namespaces, no ptrace, no keyrings, no raw sockets, and only processes in /proc."""


class MountKind(_Word):
    """What a `Mount` puts into the cell."""

    bind = "bind"
    overlay = "overlay"
    tmpfs = "tmpfs"
    proc = "proc"
    sysfs = "sysfs"
    mqueue = "mqueue"
    devpts = "devpts"
    device = "device"


class OutcomeKind(_Word):
    """The closed set of ways a job can end."""

    exited = "exited"
    """`Outcome.code` is the exit status, 0-255."""
    signaled = "signaled"
    """`Outcome.code` is the signal's number."""
    timed_out = "timed out"
    """Wall or CPU time; `Outcome.detail` says which."""
    out_of_memory = "out of memory"
    """The kernel killed a process of the job for the memory limit."""
    too_many_processes = "too many processes"
    """The limit of processes was hit and the job failed."""
    output_limit = "output limit"
    """More output than allowed, and the job was ended for it."""
    disk_limit = "disk limit"
    """A writable layer was full when the job failed."""
    setup_failed = "setup failed"
    """The cell could not be made: `Outcome.step`; `Outcome.code` is an errno."""
    cancelled = "cancelled"
    """Somebody asked."""
    lost = "lost"
    """Nobody knows how it ended; `Outcome.detail` says why."""


class ChangeKind(_Word):
    """What a job did to a path."""

    created = "created"
    modified = "modified"
    deleted = "deleted"


class FileType(_Word):
    """What lies at a changed path; `skipped` is what was not brought out (`Change.reason`)."""

    file = "file"
    directory = "directory"
    symlink = "symlink"
    skipped = "skipped"


class Stream(_Word):
    """Which of a job's two outputs."""

    out = "out"
    err = "err"


@dataclass
class Limits(Plain):
    """Bounds on one job.

    None is "no bound asked for". A bound that is set and can't be held makes the job fail to start.
    """

    memory_bytes: Optional[int] = None
    """All memory of the cell, page cache and tmpfs included."""
    pids: Optional[int] = None
    """Processes and threads at a time."""
    cpus: Optional[float] = None
    """CPU bandwidth: 1.5 is one and a half cores."""
    wall_seconds: Optional[float] = None
    """From exec to the end, in whole milliseconds."""
    cpu_seconds: Optional[float] = None
    """User and system time, summed over the cell."""
    output_bytes: Optional[int] = None
    """stdout and stderr together; more ends the job. What is kept of it `Job.capture_bytes` says."""
    disk_bytes: Optional[int] = None
    """Each writable layer and tmpfs of the cell."""
    disk_inodes: Optional[int] = None
    """The same, in files."""
    open_files: Optional[int] = None
    """RLIMIT_NOFILE."""
    file_bytes: Optional[int] = None
    """RLIMIT_FSIZE: the size of any one file."""


@dataclass
class Mount(Plain):
    """A directory or file of the host put into the cell. Nothing of the host is seen that is not mounted."""

    target: str = ""
    """Absolute path in the cell; parents are made."""
    source: str = ""
    """bind: absolute path on the host; device: a name below /dev."""
    kind: MountKind = MountKind.bind
    """What is put there."""
    lower: List[str] = field(default_factory=list)
    """overlay: absolute directories of the host, topmost first, under a private writable layer."""
    under: str = ""
    """overlay: a directory of the host below all of `lower`, whose owners stay; may be empty."""
    writable: bool = False
    """bind: whether the job may change what lies there, for good."""
    owned: bool = False
    """bind, overlay: the job's root owns what the caller owns. Without it files keep their owners, who are nobody in the cell."""
    executable: bool = True
    """Whether programs may be started from there."""
    bytes: Optional[int] = None
    """tmpfs: its size; None: `Limits.disk_bytes`. A writable bind: the job is ended when it writes more there (looked at ten times a second)."""
    mode: int = 0o755
    """tmpfs: mode of its root."""

    _read: ClassVar = {"kind": MountKind}


@dataclass
class Job(Plain):
    """What to run. `casemate.job` makes one with defaults that fit; here nothing is left to guess."""

    argv: List[str]
    """argv[0] is looked up in PATH of `env`, inside the cell. Never empty."""
    env: Dict[str, str] = field(default_factory=dict)
    """The whole environment: nothing is inherited."""
    name: str = ""
    """For people and reports."""
    cwd: str = "/"
    """Absolute, in the cell; made if it lies in a writable place."""
    image: str = "host"
    """What the root is called: "host", or an image whose layers are `root`."""
    root: List[str] = field(default_factory=list)
    """Image other than "host": directories of the host that are its layers, topmost first. Never written to."""
    host_paths: List[str] = field(default_factory=list)
    """Image "host": shown read-only; empty: `casemate.default_host_paths()`."""
    mounts: List[Mount] = field(default_factory=list)
    """What else is put into the cell."""
    hostname: str = "casemate"
    """What the cell is called in its own UTS namespace."""
    uid: int = 0
    """In the cell: its root owns nothing on the host."""
    gid: int = 0
    """The same of its group."""
    network: Network = Network.none
    """What of the network it can reach."""
    profile: Profile = Profile.standard
    """How much of the kernel it may touch."""
    capabilities: List[str] = field(default_factory=list)
    """Kept, by name without CAP_; they count in the cell's user namespace only."""
    limits: Limits = field(default_factory=Limits)
    """Its bounds; none are set unless you do."""
    capture_bytes: int = 16 << 20
    """Of each stream, and of both merged, kept in the result: the first and last parts."""
    read_only: bool = False
    """No writable HOME, /var/tmp, /run: only /tmp, /dev/shm and mounts that were asked for can be written."""
    stdin: Optional[bytes] = None
    """What the job reads; None: /dev/null."""
    collect: List[str] = field(default_factory=list)
    """Targets of overlays whose changed files are wanted; "/" with an image: the whole root."""
    collect_to: str = ""
    """Directory of the host that receives them; "": they are only listed. With several `collect`, each gets a directory named as in the cell."""

    _read: ClassVar = {"mounts": each(Mount.from_dict), "limits": Limits.from_dict, "network": Network, "profile": Profile, "stdin": binary}


@dataclass
class Outcome(Plain):
    """How one job ended. ``str()`` has it in words: "exited 1", "signaled 11 (SIGSEGV)", "timed out"."""

    kind: OutcomeKind
    """One word of the closed list."""
    code: int = 0
    """The exit status, the signal's number, or an errno, as `kind` says."""
    step: str = ""
    """setup_failed: what could not be done."""
    detail: str = ""
    """One line more, or empty."""

    _read: ClassVar = {"kind": OutcomeKind}

    @property
    def succeeded(self) -> bool:
        """True only for ``exited 0``."""
        return self.kind == OutcomeKind.exited and self.code == 0

    def __str__(self) -> str:
        from . import _casemate

        return _casemate.outcome_words(self)


@dataclass
class Resources(Plain):
    """What a job used. None: this host can't tell (no controller)."""

    wall_seconds: float = 0.0
    """From exec to the end."""
    user_cpu_seconds: float = 0.0
    """In user mode, summed over the cell."""
    system_cpu_seconds: float = 0.0
    """In the kernel, summed over the cell."""
    peak_memory_bytes: Optional[int] = None
    """The most memory the cell had at a time."""
    read_bytes: Optional[int] = None
    """From block devices."""
    written_bytes: Optional[int] = None
    """To block devices."""
    peak_pids: Optional[int] = None
    """The most processes and threads at a time."""
    major_faults: int = 0
    """Pages that were read from a disk."""
    minor_faults: int = 0
    """Pages that were not."""


@dataclass
class Output(Plain):
    """What a job wrote, bounded by `Job.capture_bytes`."""

    out: bytes = b""
    """stdout."""
    err: bytes = b""
    """stderr."""
    merged: bytes = b""
    """Both in the order they arrived."""
    out_total: int = 0
    """Bytes written, kept or not."""
    err_total: int = 0
    """The same of stderr."""
    truncated: bool = False
    """Whether less was kept than was written."""

    _read: ClassVar = {"out": binary, "err": binary, "merged": binary}


@dataclass
class Change(Plain):
    """One path that a job made, changed or removed below a collected directory."""

    path: str
    """Relative to the collected directory."""
    kind: ChangeKind = ChangeKind.created
    """What the job did to it."""
    type: FileType = FileType.file
    """What lies there."""
    size: int = 0
    """file: bytes; symlink: length of its target."""
    mode: int = 0
    """Permission bits as the job left them, set-id bits removed."""
    digest: str = ""
    """file: "sha256:<hex>"; "" if it was not read."""
    link_target: str = ""
    """symlink: as the job wrote it, never followed."""
    reason: str = ""
    """skipped: why."""

    _read: ClassVar = {"kind": ChangeKind, "type": FileType}


@dataclass
class Leftover(Plain):
    """A process that was still there when the job's main process ended; it was killed."""

    pid: int = 0
    """In the cell."""
    name: str = ""
    """As the kernel has it: at most 15 bytes."""


@dataclass
class JobResult(Plain):
    """All there is to know about a finished job."""

    outcome: Outcome
    """How it ended."""
    resources: Resources = field(default_factory=Resources)
    """What it used."""
    output: Output = field(default_factory=Output)
    """What it wrote to stdout and stderr; `stdout` and `stderr` have that as text."""
    changes: List[Change] = field(default_factory=list)
    """What it did below `Job.collect`."""
    changes_truncated: bool = False
    """There were more than the collector takes."""
    collect_error: str = ""
    """Why the changes are incomplete; "" if they are not."""
    leftovers: List[Leftover] = field(default_factory=list)
    """Processes that were still there at its end; they were killed."""
    notes: List[str] = field(default_factory=list)
    """What fell back and what that means."""
    exit_status: Optional[int] = None
    """Of the main process, where it exited by itself, whatever the outcome is."""

    _read: ClassVar = {
        "outcome": Outcome.from_dict,
        "resources": Resources.from_dict,
        "output": Output.from_dict,
        "changes": each(Change.from_dict),
        "leftovers": each(Leftover.from_dict),
    }

    @property
    def succeeded(self) -> bool:
        """True only for ``exited 0``."""
        return self.outcome.succeeded

    @property
    def stdout(self) -> str:
        """``output.out`` as text; what is no UTF-8 becomes U+FFFD."""
        return self.output.out.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """``output.err`` as text; what is no UTF-8 becomes U+FFFD."""
        return self.output.err.decode("utf-8", "replace")


for _name in __all__:
    globals()[_name].__module__ = "casemate"
    with_sentences(globals()[_name], __name__)
