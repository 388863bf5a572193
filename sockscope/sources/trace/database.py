"""DuckDB, started small and told to do nothing that it was not asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.errors import SockscopeError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: The name under which a recording is attached.
CATALOG = "recording"

_WANTED = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,  # a table name in SQL never means a variable of ours
    "temp_directory": "",
    "async_threads": 0,
    # Checkpoints come when the writer says so: one that fails in a commit closes the database.
    "wal_autocheckpoint": "1TB",
    "auto_checkpoint_skip_wal_threshold": 10**15,
}


def open_memory(memory_limit: str) -> DuckDBPyConnection:
    """An empty database in memory, to attach a recording to: what is ours is looked up there first."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": memory_limit})
    known = {row[0] for row in connection.execute("SELECT name FROM duckdb_settings()").fetchall()}
    for name, value in _WANTED.items():
        if name in known:
            connection.execute(f"SET {name} = {value!r}").fetchall()
    return connection


def literal(text: object) -> str:
    """``text`` as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn what DuckDB and the system raise inside into one line that says what to do.

    :param doing: "write" or "read"
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError, MemoryError, UnicodeError, ValueError, KeyError) as error:
        raise SockscopeError(explain(error, path, doing)) from error


def explain(error: BaseException, path: Path, doing: str) -> str:
    """One line for ``error``, met while ``doing`` something with ``path``."""
    text = " ".join(str(error).split("\n", 1)[0].split())
    for pattern, message in _KNOWN:
        if found := re.search(pattern, text):
            return message.format(path=path, folder=path.parent, **found.groupdict())
    reason = re.sub(r"^(\w+ )*\w*(Error|Exception): ", "", text) or type(error).__name__
    if doing == "read":
        return f"{path} cannot be read, it seems damaged: {reason}; take another copy of it, if there is one"
    return f"{path} cannot be written: {reason}; choose another place with -o"


_KNOWN = (
    (
        r"No space left on device|Disk quota exceeded",
        "{path}: the disk is full; what was recorded until then is kept, make room and record again",
    ),
    (
        r"File too large",
        "{path}: the file may not grow further (ulimit -f); what was recorded until then is kept",
    ),
    (
        r"Could not set lock on file.*?\(PID (?P<pid>\d+)\)",
        "{path} is in use by process {pid}; wait until it has ended, or end it",
    ),
    (r"Could not set lock on file", "{path} is in use by another process; wait until it has ended"),
    (
        r"newer version of DuckDB|with version number|[Ss]torage version|storage_version",
        "{path} was written by another version of DuckDB; install a newer one (pip install -U duckdb)",
    ),
    (r"Permission denied", "{path}: permission denied; choose another place, or become the file's owner"),
    (r"Read-only file system", "{path}: the file system is read-only; choose another place with -o"),
    (
        r"[Oo]ut of [Mm]emory|could not allocate",
        "{path}: not enough memory; free some and try again",
    ),
)
