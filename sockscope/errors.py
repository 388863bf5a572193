"""The one exception that commands turn into a line on stderr and an exit status."""

from __future__ import annotations

import errno


class SockscopeError(Exception):
    """Something went wrong that the user can understand and mend.

    The text is one line that says what happened and, after a semicolon, what to do about it.
    """

    exit_status = 1


class UsageError(SockscopeError):
    """The command was called in a way that cannot work."""

    exit_status = 2


def told_by_the_system(error: BaseException) -> SockscopeError | None:
    """What the user can mend about an error that may come from anywhere; None when that is not so."""
    if isinstance(error, ImportError):  # the dynamic linker's words: it has no numbers
        out_of_memory = any(
            words in str(error) for words in ("failed to map segment", "cannot allocate memory")
        )
    else:
        out_of_memory = isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM
    if out_of_memory:
        return SockscopeError("not enough memory; free some, or raise the limit (ulimit -v)")
    return {
        errno.ENOSPC: SockscopeError("no space is left where the output goes; make room and try again"),
        errno.EMFILE: SockscopeError("too many open files; raise the limit (ulimit -n)"),
    }.get(getattr(error, "errno", 0) or 0)
