"""Errors that commands show as one line on stderr, with a hint and an exit status."""

from __future__ import annotations

import errno


class SockscopeError(Exception):
    """A failure that the user can understand and fix.

    :param message: what failed and why, in one line
    :param hint: what to do about it; empty when nothing more can be said

    ``str()`` gives both, joined by a semicolon; :attr:`message` and :attr:`hint` give each alone.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(SockscopeError):
    """The command line, or an argument of a call, is invalid."""

    exit_status = 2


def translate_system_error(error: BaseException) -> SockscopeError | None:
    """Return what the user can do about an error of the system that may be raised anywhere.

    :returns: None for an error that is not about memory, disk space or descriptors
    """
    if isinstance(error, ImportError):  # the dynamic linker reports a message without an errno
        out_of_memory = any(
            words in str(error) for words in ("failed to map segment", "cannot allocate memory")
        )
    else:
        out_of_memory = isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM
    if out_of_memory:
        return SockscopeError("not enough memory", hint="free memory, or raise the limit (ulimit -v)")
    return {
        errno.ENOSPC: SockscopeError(
            "no space left on the device of the output", hint="free space, or choose another path"
        ),
        errno.EMFILE: SockscopeError("too many open files", hint="raise the limit (ulimit -n)"),
    }.get(getattr(error, "errno", 0) or 0)
