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

#: The schema in it that holds the tables; ``main`` holds the views.
RAW = "raw"

TABLES = f"{CATALOG}.{RAW}"

_WANTED = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,  # a table name in SQL never means a variable of ours
    "async_threads": 0,
    # Checkpoints come when the writer says so: one that fails in a commit closes the database.
    "wal_autocheckpoint": "1TB",
    "auto_checkpoint_skip_wal_threshold": 10**15,
}


def open_memory(memory_limit: str, spill: Path | None = None) -> DuckDBPyConnection:
    """An empty database in memory, to attach a recording to: what is ours is looked up there first.

    :param spill: a private folder for what goes beyond the limit; None: that is an error
    """
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": memory_limit})
    known = {row[0] for row in connection.execute("SELECT name FROM duckdb_settings()").fetchall()}
    for name, value in {**_WANTED, "temp_directory": str(spill or "")}.items():
        if name in known:
            setting = literal(value) if isinstance(value, str) else value
            connection.execute(f"SET {name} = {setting}").fetchall()
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    return connection


def literal(text: object) -> str:
    """``text`` as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


@contextmanager
def translated_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn errors of DuckDB and of the system into one line with a hint.

    :param doing: "write", "read", or "make": write when nothing is there yet
    :raises SockscopeError: for any error of the database or the file
    """
    import duckdb

    # Only a file can hold what does not decode, never a batch: sockscope did not write that file.
    undecodable = (ValueError, LookupError, TypeError) if doing == "read" else ()
    try:
        yield
    except (duckdb.Error, OSError, MemoryError, *undecodable) as error:
        raise translate(error, path, doing) from error


def translate(error: BaseException, path: Path, doing: str) -> SockscopeError:
    """Return the error to show for ``error``, raised while ``doing`` something with ``path``."""
    text = " ".join(str(error).split("\n", 1)[0].split())
    for pattern, messages in _KNOWN:
        if found := re.search(pattern, text):
            message, hint = messages.get(doing) or messages[""]
            values = {"path": path, **found.groupdict()}
            return SockscopeError(message.format(**values), hint=hint.format(**values))
    reason = re.sub(r"^(\w+ )*\w*(Error|Exception): ", "", text) or type(error).__name__
    if doing == "read":
        return SockscopeError(f"cannot read {path}, it seems damaged: {reason}", hint="use another copy")
    return SockscopeError(f"cannot write {path}: {reason}", hint="choose another path with -o")


_KEPT = "data recorded so far is kept"

#: What the text of an error means, a message for each of "read", "write" and "make", or for the rest of them.
_KNOWN: tuple[tuple[str, dict[str, tuple[str, str]]], ...] = (
    (
        r"No space left on device|Disk quota exceeded",
        {
            "make": ("{path}: the disk is full", "free space and record again"),
            "": (f"{{path}}: the disk is full, {_KEPT}", "free space and record again"),
        },
    ),
    (
        r"File too large",
        {
            "make": ("{path}: file size limit reached", "raise the limit (ulimit -f) and record again"),
            "": (
                f"{{path}}: file size limit reached, {_KEPT}",
                "raise the limit (ulimit -f) and record again",
            ),
        },
    ),
    (
        r"Could not set lock on file.*?\(PID (?P<pid>\d+)\)",
        {"": ("{path} is in use by process {pid}", "wait until it has ended, or end it")},
    ),
    (
        r"Could not set lock on file",
        {"": ("{path} is in use by another process", "wait until it has ended")},
    ),
    (
        r"Unique file handle conflict",
        {"": ("{path} is already open in this process", "close it there first")},
    ),
    (
        r"newer version of DuckDB|with version number|[Ss]torage version|storage_version",
        {
            "": (
                "{path} was written by another version of DuckDB",
                "install a newer one (pip install -U duckdb)",
            )
        },
    ),
    (
        r"[Rr]eplaying WAL",
        {"": ("{path}.wal, its last seconds, is damaged", "move that file away to read what came before")},
    ),
    (
        r"Could not read enough bytes|Could not read all of the bytes",
        {"": ("{path} is truncated", "use another copy")},
    ),
    (
        r"[Pp]ermission denied",
        {
            "read": ("cannot read {path} or its .wal: permission denied", "use sudo, or ask the owner"),
            "": ("cannot write {path}: permission denied", "choose another path with -o"),
        },
    ),
    (
        r"[Rr]ead-only file system",
        {"": ("{path}: the file system is read-only", "choose another path with -o")},
    ),
    (
        r"[Oo]ut of [Mm]emory|could not allocate",
        {"": ("{path}: not enough memory", "free memory and try again")},
    ),
)
