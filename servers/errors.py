"""What a user can get wrong, kept apart from what is a bug: only these become one line on stderr."""


class UsageError(Exception):
    """The command line asks for something that cannot be: exit status 2."""


class ServerError(Exception):
    """The command line is right, but the machine refuses (port in use, no such address): exit status 1."""
