"""The one exception that commands turn into a line on stderr and an exit status."""

from __future__ import annotations


class SockscopeError(Exception):
    """Something went wrong that the user can understand and mend.

    The text is one line that says what happened and, after a semicolon, what to do about it.
    """

    exit_status = 1


class UsageError(SockscopeError):
    """The command was called in a way that cannot work."""

    exit_status = 2
