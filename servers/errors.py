"""What a user can get wrong, kept apart from what is a bug: only these become one line on stderr."""

import errno
import sys

EXHAUSTED = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)
"""Errors of a machine that has no more to give: descriptors, processes, memory."""


class UsageError(Exception):
    """The command line asks for something that cannot be: exit status 2."""


class ServerError(Exception):
    """The command line is right, but the machine refuses (port in use, no such address): exit status 1."""


def complain(text: str) -> None:
    """Say something on stderr in one write: processes of one server share it, and lines must not mix."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
