"""A recording as Parquet, CSV or JSON Lines files: its views, and what was worked out from it.

DuckDB itself writes them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.errors import SockscopeError, UsageError
from sockscope.export.derived_tables import add_tables, derived
from sockscope.export.table_format import FORMULA
from sockscope.fleet.rows import TABLES as DERIVED
from sockscope.records.batch import Meta
from sockscope.store import Reader
from sockscope.store.database import CATALOG, literal, open_memory, translated_errors
from sockscope.store.earlier_names import use_present_names
from sockscope.store.schema import Schema
from sockscope.store.secure_file import hand_over
from sockscope.store.views import view_statements

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "600MB"

#: format → (file name extension, options of DuckDB's COPY).
FORMATS: Mapping[str, tuple[str, str]] = {
    "parquet": ("parquet", "FORMAT parquet, COMPRESSION zstd"),
    "csv": ("csv", "FORMAT csv, HEADER"),
    "jsonl": ("jsonl", "FORMAT json"),
}


def export(
    path: Path,
    directory: Path,
    form: str,
    wanted: Sequence[str] = (),
    *,
    by_host: bool = False,
    overwrite: bool = False,
) -> dict[Path, int]:
    """Write one file a table; files written, with their rows.

    :param form: a key of :data:`FORMATS`
    :param wanted: names of tables; none: all
    :param by_host: into ``host=NAME/start=TIME`` below the directory, where recordings of many hosts
        lie side by side and engines that read Parquet find the two as columns
    :raises SockscopeError: when the recording cannot be read or the files cannot be written
    """
    with Reader(path) as reader:
        meta, schema = reader.meta, reader.schema
    rows = derived(path) if not wanted or set(wanted) & DERIVED.keys() else {}
    if by_host:
        directory = directory / _partition(meta)
    before = os.umask(0o077)  # what a recording holds is nobody else's business
    try:
        missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            hand_over(folder)
        database = _opened(path, directory, schema)
        try:
            add_tables(database, rows)
            return _write(database, directory, form, _chosen(database, wanted), meta, overwrite)
        finally:
            database.close()
    except OSError as error:
        raise SockscopeError(
            f"cannot create files in {directory} ({error.strerror})", hint="choose another path with -o"
        ) from error
    finally:
        os.umask(before)


def _partition(meta: Meta) -> str:
    started = time.gmtime((meta.started_ns + meta.monotonic_offset_ns) / 1e9)
    host = re.sub(r"[^A-Za-z0-9._-]", "_", meta.host).strip(".") or "unknown"
    return f"host={host}/start={time.strftime('%Y%m%dT%H%M%SZ', started)}"


def _opened(path: Path, directory: Path, schema: Schema) -> DuckDBPyConnection:
    """The recording with its views; of the file system DuckDB reaches the target directory alone."""
    with translated_errors(path, "read"):
        database = open_memory(MEMORY_LIMIT)
        try:
            database.execute(f"ATTACH {literal(path)} AS {CATALOG} (READ_ONLY)")
            database.execute(f"SET allowed_directories = [{literal(f'{directory.resolve()}/')}]")
            database.execute("SET enable_external_access = false")
            database.execute("SET lock_configuration = true")
            for statement in view_statements(use_present_names(database, schema), schema):
                database.execute(statement)
        except BaseException:
            database.close()
            raise
        return database


def _chosen(database: DuckDBPyConnection, wanted: Sequence[str]) -> list[str]:
    query = (
        "SELECT view_name FROM duckdb_views()"
        " WHERE database_name = 'memory' AND schema_name = 'main' AND NOT internal"
    )
    views = sorted({*(str(row[0]) for row in database.execute(query).fetchall()), *DERIVED})
    for name in wanted:
        if name not in views:
            raise UsageError(f"unknown table {name!r}", hint=f"tables: {', '.join(views)}")
    return list(wanted) or views


def _write(
    database: DuckDBPyConnection,
    directory: Path,
    form: str,
    views: Sequence[str],
    meta: Meta,
    overwrite: bool,
) -> dict[Path, int]:
    ending, options = FORMATS[form]
    if form == "parquet":
        facts = {"host": meta.host, "kernel": meta.kernel, "target": meta.target, "sockscope": meta.version}
        options += (
            f", KV_METADATA {{{', '.join(f'{name}: {literal(value)}' for name, value in facts.items())}}}"
        )
    targets = {view: directory / f"{view}.{ending}" for view in views}
    for target in targets.values():
        if target.exists() and not overwrite:
            raise SockscopeError(f"{target} exists", hint="choose another path with -o, or use --overwrite")
    written = {}
    for view, target in targets.items():
        # a file that is there is whole: it gets its name when it is written
        unfinished = directory.resolve() / f".{target.name}.unfinished"
        try:
            with translated_errors(target, "write"):
                query = _without_formulas(database, view) if form == "csv" else f"FROM {view}"
                copied = database.execute(f"COPY ({query}) TO {literal(unfinished)} ({options})").fetchall()
            hand_over(unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        written[target] = int(copied[0][0])
    return written


def _without_formulas(database: DuckDBPyConnection, view: str) -> str:
    """The view with an apostrophe before text that a spreadsheet would run."""
    texts = [row[0] for row in database.execute(f"DESCRIBE {view}").fetchall() if row[1] == "VARCHAR"]
    guarded = [
        f"CASE WHEN {name} <> '' AND contains({literal(FORMULA)}, left({name}, 1)) THEN '''' || {name}"
        f" ELSE {name} END AS {name}"
        for name in texts
    ]
    return f"SELECT * REPLACE ({', '.join(guarded)}) FROM {view}" if guarded else f"FROM {view}"
