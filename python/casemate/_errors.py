"""The exceptions of casemate. The text of each is one line: what happened, to what, what to do."""

__all__ = ["Cancelled", "Corrupt", "Error", "Exhausted", "InternalError", "InvalidInput", "NotFound", "NotSupported", "Refused", "SystemFailure"]


class Error(Exception):
    """What casemate raises of its own."""

    errno_value: int = 0
    """An errno, 0 if there is none."""
    where: str = ""
    """The system call or step that failed; may be empty."""

    __module__ = "casemate"


class InvalidInput(Error, ValueError):
    """Something was given that can't be used."""

    __module__ = "casemate"


class NotFound(Error, FileNotFoundError):
    """A file, program or record that was named does not exist."""

    __module__ = "casemate"


class NotSupported(Error):
    """This host (kernel, privilege, missing program) or this process can't do it."""

    __module__ = "casemate"


class Refused(Error, PermissionError):
    """The kernel, a server or a policy said no."""

    __module__ = "casemate"


class Exhausted(Error, OSError):
    """Out of disk, memory, descriptors, ids."""

    __module__ = "casemate"


class Corrupt(Error):
    """Stored data is not what its name says."""

    __module__ = "casemate"


class Cancelled(Error):
    """The engine was closed."""

    __module__ = "casemate"


class SystemFailure(Error, OSError):
    """A system call failed in a way that is nobody's input."""

    __module__ = "casemate"


class InternalError(Error):
    """A bug in casemate."""

    __module__ = "casemate"
