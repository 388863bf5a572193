"""Errors that a user can cause; only these are printed as one line on stderr."""

import errno
import sys

EXHAUSTED = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)
"""Errors of resource exhaustion: descriptors, processes, memory."""


class UsageError(Exception):
    """Invalid usage: exit status 2."""


class ServerError(Exception):
    """A failure at run time (port in use, no such address): exit status 1."""


def complain(text: str) -> None:
    """Print a line on stderr in one write, so that lines of several processes do not mix."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
