"""Read exported recordings of many hosts.

A folder that holds the tables of :mod:`sockscope.fleet.rows` is one recording; ``host=…`` and
``start=…`` in its path name its host and start, which otherwise come from the recording.
"""

from __future__ import annotations

import dataclasses
import glob
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sockscope import formatting
from sockscope.errors import SockscopeError
from sockscope.fleet.rows import TABLES, FindingRow, RecordingRow, Row, ServerRow, ShareRow, WaitRow
from sockscope.records.sanitize import sanitize
from sockscope.store.database import literal, open_memory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "256MB"

#: Counts and durations up to here are added up without rounding; 104 days in nanoseconds.
_LARGEST = 2**53
_YEARS = 1970, 2200

_TYPES: Mapping[type, str] = {
    str: "VARCHAR",
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    datetime: "TIMESTAMP",
    tuple: "VARCHAR[]",
}
_MAKE = "sockscope export FILE --by-host -o DIRECTORY"


@dataclass(frozen=True)
class Member:
    """One recording of one host."""

    host: str
    start: str
    recording: RecordingRow
    servers: tuple[ServerRow, ...]
    waits: tuple[WaitRow, ...]
    shares: tuple[ShareRow, ...]
    findings: tuple[FindingRow, ...]


@dataclass(frozen=True)
class Gathered:
    """All members, by host and time; ``left_out`` has folders that are none, with the reason."""

    members: tuple[Member, ...]
    left_out: tuple[tuple[str, str], ...]


def columns_of(table: str) -> dict[str, str]:
    """Columns of one of :data:`TABLES`, with DuckDB's types."""
    hints = typing.get_type_hints(TABLES[table])
    return {field.name: _TYPES[_plain(hints[field.name])] for field in dataclasses.fields(TABLES[table])}


def _plain(hint: Any) -> type:
    if typing.get_origin(hint) is tuple:
        return tuple
    if isinstance(hint, types.UnionType):
        (hint,) = (one for one in typing.get_args(hint) if one is not types.NoneType)
    kind: type = hint
    return kind


def gather(patterns: Sequence[str]) -> Gathered:
    """
    :param patterns: files, folders, or patterns for them (``**`` for folders of any depth)
    :raises SockscopeError: when there is no recording among them
    """
    folders: dict[Path, set[str]] = {}
    for file in sorted({file for pattern in patterns for file in _matching(pattern)}):
        folders.setdefault(file.parent, set()).add(file.stem)
    if not folders:
        raise SockscopeError(f"no Parquet file matches {patterns[0]}", hint=f"make some with: {_MAKE}")
    whole = [folder for folder, tables in folders.items() if tables >= TABLES.keys()]
    left_out = [
        (str(folder), f"there is no {min(TABLES.keys() - tables)}.parquet")
        for folder, tables in folders.items()
        if not tables >= TABLES.keys()
    ]
    database = open_memory(MEMORY_LIMIT)
    try:
        members = list(_read(database, whole, left_out))
    finally:
        database.close()
    if not members:
        folder, reason = left_out[0]
        raise SockscopeError(
            f"{formatting.printable(folder)}: {reason}", hint=f"export it again with: {_MAKE}"
        )
    members.sort(key=lambda member: (member.host, member.start))
    return Gathered(tuple(members), tuple((formatting.printable(folder), why) for folder, why in left_out))


def exported_below(folder: Path) -> Iterator[Path]:
    """The Parquet files that exports have put there; other folders are not searched, however many there are."""
    for pattern in ("*.parquet", "host=*/*.parquet", "host=*/start=*/*.parquet", "start=*/*.parquet"):
        yield from folder.glob(pattern)


def _matching(pattern: str) -> Iterator[Path]:
    path = Path(pattern)
    if path.is_dir():
        yield from exported_below(path)
    elif path.exists():
        yield path
    else:
        found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - patterns may begin at the root
        yield from (Path(name) for name in found if name.endswith(".parquet") and Path(name).is_file())


def _read(
    database: DuckDBPyConnection, folders: Sequence[Path], left_out: list[tuple[str, str]]
) -> Iterator[Member]:
    """All at once; when that fails, in halves, until what cannot be read is known."""
    import duckdb

    if not folders:
        return
    try:
        rows = {table: _rows(database, table, folders) for table in TABLES}
        yield from [
            _member(folder, {table: rows[table].get(folder, []) for table in TABLES}) for folder in folders
        ]
    except (duckdb.Error, ValueError, TypeError) as error:
        if len(folders) == 1:
            left_out.append((str(folders[0]), _reason(error)))
            return
        half = len(folders) // 2
        yield from _read(database, folders[:half], left_out)
        yield from _read(database, folders[half:], left_out)


def _rows(database: DuckDBPyConnection, table: str, folders: Sequence[Path]) -> dict[Path, list[Row]]:
    files = {str(folder / f"{table}.parquet"): folder for folder in folders}
    names = ", ".join(f'CAST("{name}" AS {kind})' for name, kind in columns_of(table).items())
    listed = ", ".join(literal(glob.escape(file)) for file in files)
    query = (
        f"SELECT filename, {names} FROM read_parquet([{listed}], filename = true, hive_partitioning = false)"
    )
    found: dict[Path, list[Row]] = {}
    for file, *values in database.execute(query).fetchall():
        found.setdefault(files[file], []).append(_row(table, values))
    return found


def _row(table: str, values: Sequence[Any]) -> Row:
    """Return a row of a table.

    :raises ValueError: if no recording can have such values
    """
    hints = typing.get_type_hints(TABLES[table])
    for name, value in zip(columns_of(table), values, strict=True):
        if value is None and not isinstance(hints[name], types.UnionType):
            raise ValueError(f"{table} has a row without {name}")
        number = isinstance(value, int | float)
        if number and not (math.isfinite(value) and abs(value) <= _LARGEST and value >= 0):
            raise ValueError(f"{table} has {value} for {name}")
        if isinstance(value, datetime) and not _YEARS[0] <= value.year <= _YEARS[1]:
            raise ValueError(f"{table} has the year {value.year} for {name}")
    return sanitize(TABLES[table](*map(_frozen, values)))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _member(folder: Path, rows: dict[str, list[Any]]) -> Member:
    if len(rows["recordings"]) != 1:
        raise ValueError(f"recordings.parquet has {len(rows['recordings'])} rows, not one")
    (recording,) = rows["recordings"]
    named = dict(part.split("=", 1) for part in folder.absolute().parts if "=" in part)
    return Member(
        host=formatting.printable(unquote(named.get("host", ""))) or recording.hostname or "unknown",
        start=f"{recording.started_at:%Y-%m-%d %H:%M:%S}",
        recording=recording,
        servers=tuple(rows["servers"]),
        waits=tuple(rows["server_waits"]),
        shares=tuple(rows["server_shares"]),
        findings=tuple(rows["findings"]),
    )


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split("\n", 1)[0].split())
    return formatting.printable(text)[:200]
