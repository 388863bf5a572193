"""Reading what is whole, and refusing what is not, in one line that says what to do."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from sockscope.errors import SockscopeError
from sockscope.model.state import State
from sockscope.records.batch import ACCEPT_ERRORS, WAITING, Batch
from sockscope.records.layout import CONNECTION, EVENT, ConnectionFlag
from sockscope.store import SCHEMA_VERSION, Reader, Writer
from sockscope.store import reader as reader_module
from sockscope.store.schema import COLUMNS_SINCE, OLDEST_VERSION, RENAMED
from sockscope.store.secure_file import wal_of
from tests.synthetic import Scenario, SyntheticSource
from tests.unit.store.recordings import META, assert_equal, batch, record, run


def refusal(path: Path) -> str:
    with pytest.raises(SockscopeError) as caught, Reader(path) as reader:
        list(reader.batches())
    text = str(caught.value)
    assert "\n" not in text
    assert ";" in text
    assert str(path) in text
    return text


def test_files_that_are_no_recordings_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("hello, this is a text\n" * 100)
    (tmp_path / "zeros").write_bytes(bytes(100_000))
    with sqlite3.connect(tmp_path / "sqlite") as database:
        database.execute("CREATE TABLE meta (key, value)")
    database.close()
    duckdb.connect(tmp_path / "duck").close()
    with duckdb.connect(tmp_path / "tables") as other:
        other.execute("CREATE SCHEMA raw; CREATE TABLE raw.meta (key VARCHAR, value VARCHAR)")
    assert "does not exist" in refusal(tmp_path / "missing")
    assert "is a directory" in refusal(tmp_path)
    assert "is empty" in refusal(tmp_path / "empty")
    assert "is no recording" in refusal(tmp_path / "text")
    assert "is no recording" in refusal(tmp_path / "zeros")
    assert "is an SQLite database" in refusal(tmp_path / "sqlite")
    assert "is a DuckDB database, but not a recording" in refusal(tmp_path / "duck")
    assert "is a DuckDB database, but not a recording" in refusal(tmp_path / "tables")


def change(path: Path, *statements: str) -> Path:
    """A recording that somebody has worked on."""
    record(path, [batch(0)])
    with duckdb.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    return path


def version(number: int) -> str:
    return f"UPDATE raw.meta SET value = '{number}' WHERE key = 'schema_version'"


def test_older_and_newer_recordings_are_told_apart(tmp_path: Path) -> None:
    newer = refusal(change(tmp_path / "newer", version(SCHEMA_VERSION + 1)))
    assert "newer sockscope (0.1.0" in newer
    assert "update sockscope" in newer
    older = refusal(change(tmp_path / "older", version(OLDEST_VERSION - 1)))
    assert "older sockscope (0.1.0" in older
    column = change(tmp_path / "column", "ALTER TABLE raw.threads ADD COLUMN mood INTEGER")
    assert "other columns" in refusal(column)
    lacking = change(tmp_path / "lacking", "DROP VIEW main.cpu_samples", "DROP TABLE raw.threads")
    assert "other columns" in refusal(lacking)


def earlier_names(made_by: int) -> list[str]:
    """What gives tables and columns the names that they had in recordings of this version."""
    statements = []
    for table, renamed in RENAMED.items():
        if made_by >= renamed.version:
            continue
        lacks = {name for name, since in COLUMNS_SINCE.get(table, {}).items() if since > made_by}
        statements += [
            f"ALTER TABLE raw.{table} RENAME COLUMN {new} TO {old}"
            for new, old in renamed.columns.items()
            if new not in lacks
        ]
        if renamed.table != table:
            statements.append(f"ALTER TABLE raw.{table} RENAME TO {renamed.table}")
    return statements


def without_columns(made_by: int) -> list[str]:
    """What drops the columns that recordings of this version have not; views that name one go first."""
    statements = ["DROP VIEW main.connections; DROP VIEW main.accept_errors; DROP TABLE raw.accept_errors"]
    for table, columns in COLUMNS_SINCE.items():
        statements += [
            f"ALTER TABLE raw.{table} DROP COLUMN {name}"
            for name, since in columns.items()
            if since > made_by
        ]
    return statements


@pytest.mark.parametrize(
    ("made_by", "lacks"), [(1, {"events": EVENT, "waiting": WAITING}), (2, {"waiting": WAITING})]
)
def test_a_recording_from_before_there_was_a_table_is_read_as_one_without_rows_in_it(
    made_by: int, lacks: dict[str, np.dtype[Any]], tmp_path: Path
) -> None:
    without = [f"DROP VIEW main.{name}; DROP TABLE raw.{name}" for name in lacks]
    without += without_columns(made_by)
    renamed = [line for line in earlier_names(made_by) if line.split()[2].removeprefix("raw.") not in lacks]
    with Reader(change(tmp_path / "older", *without, *renamed, version(made_by))) as reader:
        (found,) = reader.batches()
        assert_equal(
            found,
            replace(_before_columns(batch(0)), **{name: np.empty(0, kind) for name, kind in lacks.items()}),
        )
        assert all(len(getattr(reader.final_batch(), name)) == 0 for name in lacks)
        assert reader.connection().execute("SELECT count(*) FROM connections").fetchall()[0][0] > 0


def _before_columns(made: Batch) -> Batch:
    """The batch as a recording from before any of the later columns and accept_errors has it."""
    changed = {table: getattr(made, table).copy() for table in COLUMNS_SINCE}
    for table, columns in COLUMNS_SINCE.items():
        for name in columns:
            changed[table][name] = 0
    return replace(made, **changed, accept_errors=np.empty(0, ACCEPT_ERRORS))


def test_a_recording_from_before_there_was_a_column_is_read_with_zeros_in_it(tmp_path: Path) -> None:
    made_by = COLUMNS_SINCE["listeners"]["samples_changed"] - 1
    path = change(tmp_path / "older", *without_columns(made_by), *earlier_names(made_by), version(made_by))
    with Reader(path) as reader:
        (found,) = reader.batches()
        assert_equal(found, _before_columns(batch(0)))
        assert not reader.final_batch().listeners["samples_changed"].any()
        rows = reader.connection().execute("SELECT samples_changed FROM listeners").fetchall()
        assert rows
        assert all(row == (None,) for row in rows)


def test_rows_that_were_moved_or_removed_are_noticed(tmp_path: Path) -> None:
    for number, statement in enumerate(
        (
            "DELETE FROM raw.ticks WHERE tick = 0",
            "DELETE FROM raw.health",
            "UPDATE raw.threads SET tick = 99",
            "INSERT INTO raw.threads SELECT * FROM raw.threads WHERE tick = 0",
            "DELETE FROM raw.meta WHERE key = 'host'",
        )
    ):
        path = record(tmp_path / f"{number}", [batch(0), batch(1)])
        with duckdb.connect(path) as database:
            database.execute(statement)
        assert "damaged" in refusal(path), statement


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "is not a regular file" in refusal(tmp_path / "fifo")
    path = record(tmp_path / "x", [batch(0)])
    os.mkfifo(wal_of(path))
    with pytest.raises(SockscopeError, match="is not a regular file"):
        Reader(path)


_TRAP = "(SELECT error('a stranger was obeyed'))"

TRAPS = {
    "a view in place of a table": (
        "ALTER TABLE raw.wakes RENAME TO kept",
        f"CREATE VIEW raw.wakes AS SELECT *, {_TRAP} AS trap FROM raw.kept",
    ),
    "a generated column": (
        "DROP TABLE raw.wakes",
        "CREATE TABLE raw.wakes (tick UINTEGER NOT NULL, waker UINTEGER NOT NULL, wakee UINTEGER NOT NULL,"
        " wakes UBIGINT NOT NULL, after_read UBIGINT AS (error('a stranger was obeyed')))",
    ),
    "a column with a default": (f"ALTER TABLE raw.wakes ALTER wakes SET DEFAULT (error('obeyed'))",),  # noqa: F541
}


@pytest.mark.parametrize("statements", TRAPS.values(), ids=TRAPS.keys())
def test_sql_in_a_file_is_never_run(tmp_path: Path, statements: tuple[str, ...]) -> None:
    path = change(tmp_path / "x", *statements)
    assert "other columns" in refusal(path)
    assert "obeyed" not in refusal(path)


def test_macros_and_views_in_a_file_do_not_come_before_ours(tmp_path: Path) -> None:
    path = change(
        tmp_path / "x",
        f"CREATE OR REPLACE MACRO main.address_text(b) AS {_TRAP}",
        f"CREATE MACRO main.list_transform(a, b) AS {_TRAP}",
        f"CREATE MACRO main.max(a) AS {_TRAP}",
        f"CREATE MACRO main.count_star() AS {_TRAP}",
        f"CREATE MACRO raw.max(a) AS {_TRAP}",
        f"CREATE OR REPLACE VIEW main.connections AS SELECT {_TRAP}",
    )
    with Reader(path) as reader:
        for found in reader.batches():
            assert_equal(found, batch(0))
        reader.final_batch()
        assert len(reader.connection().execute("SELECT * FROM connections").fetchall()) == 3


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '{path}'",
        "COPY (SELECT 1) TO '{folder}/new'",
        "ATTACH '{folder}/new'",
        "INSERT INTO recording.raw.meta VALUES ('a', 'b')",
        "DROP TABLE recording.raw.meta",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SELECT * FROM secret",
    ],
)
def test_questions_reach_nothing_but_the_recording(tmp_path: Path, query: str) -> None:
    secret = np.arange(3)
    path = record(tmp_path / "x", [batch(0)])
    before = path.read_bytes()
    with Reader(path) as reader, pytest.raises(duckdb.Error):
        reader.connection().execute(query.format(path=path, folder=tmp_path)).fetchall()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert len(secret) == 3


def test_reading_needs_no_right_to_write(open_folder: Path) -> None:
    path = record(open_folder / "x", [batch(0)])
    script = "reader = Reader(sys.argv[1]); print(len(list(reader.batches())), len(reader.final_batch().connections))"
    path.chmod(0o644)
    assert run(script, path, demoted=True) == "1 3\n"
    path.chmod(0)
    refused = """
        try: Reader(sys.argv[1])
        except SockscopeError as error: print(error)
        """
    assert "permission denied" in run(refused, path, demoted=True)


def test_what_does_not_fit_into_memory_goes_into_a_private_folder_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(reader_module, "MEMORY_LIMIT", "50MB")
    (tmp_path / "recording").mkdir()
    path = record(tmp_path / "recording" / "x", [batch(0)])
    with Reader(path) as reader:
        query = (
            "SELECT count(*) FROM (SELECT hash(range) AS n FROM range(4_000_000) ORDER BY n LIMIT 3_900_000)"
        )
        assert reader.connection().execute(query).fetchall() == [(3_900_000,)]
        (spill,) = set(tmp_path.iterdir()) - {path.parent}
        assert stat.S_IMODE(spill.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [path.parent]


def test_a_recording_without_a_batch_cannot_be_folded(tmp_path: Path) -> None:
    with Reader(record(tmp_path / "x", [])) as reader, pytest.raises(SockscopeError, match="has no data"):
        reader.final_batch()


def snapshot(batches: list[Batch]) -> object:
    """What the model makes of them; collections as sets where their order tells nothing."""
    state = State()
    state.started_at(META.started_ns)
    for one in batches:
        state.apply(one)
    return state.snapshot()


@pytest.mark.parametrize("kind", ["single", "handoff", "shared", "reuseport"])
def test_the_final_batch_tells_the_model_what_all_batches_do(tmp_path: Path, kind: str) -> None:
    source = SyntheticSource(Scenario(kind=kind, overflow=kind == "shared"))  # type: ignore[arg-type]
    batches = [source.batch() for _ in range(12)]
    with Reader(record(tmp_path / "x", batches)) as reader:
        left, right = snapshot(batches), snapshot([reader.final_batch()])
    for name, value in vars(left).items():
        other = getattr(right, name)
        if isinstance(value, np.ndarray):
            key = value.dtype.names[0] if value.dtype.names else None
            assert np.sort(value, order=key).tobytes() == np.sort(other, order=key).tobytes(), name
        elif isinstance(value, tuple):
            assert Counter(map(repr, value)) == Counter(map(repr, other)), name
        else:
            assert value == other, name


def test_a_final_record_counts_even_before_an_earlier_one_of_its_tick(tmp_path: Path) -> None:
    rows = np.zeros(3, CONNECTION)
    rows["id"] = [1, 2, 1]
    rows["closed_ns"] = [9, 0, 0]
    rows["flags"] = [int(ConnectionFlag.CLOSED), 0, 0]
    with Reader(record(tmp_path / "x", [Batch(1, connections=rows)])) as reader:
        assert reader.final_batch().connections["closed_ns"].tolist() == [9, 0]


def flip(octets: bytearray, at: int) -> None:
    octets[at] ^= 1 << at % 8


def wipe(octets: bytearray, at: int) -> None:
    octets[at : at + 4096] = bytes(len(octets[at : at + 4096]))


def cut(octets: bytearray, at: int) -> None:
    del octets[at:]


@pytest.mark.parametrize("damage", [flip, wipe, cut])
def test_damage_is_noticed_or_harmless(tmp_path: Path, damage: Callable[[bytearray, int], None]) -> None:
    """In a process of its own, as a damaged file might crash DuckDB; none was found that does."""
    path = record(tmp_path / "x", [batch(tick, 100, 10) for tick in range(4)])
    whole, generator = path.read_bytes(), random.Random(7)
    places = [generator.randrange(limit) for limit in [12_288] * 4 + [len(whole)] * 6]
    for number, place in enumerate(places):
        octets = bytearray(whole)
        damage(octets, place)
        (tmp_path / f"damaged{number}").write_bytes(octets)
    said = run(
        """
        from tests.unit.store.recordings import assert_all_equal
        for number in range(10):
            try:
                with Reader(f"{sys.argv[1]}/damaged{number}") as reader:
                    found = list(reader.batches())
                    reader.final_batch()
                    reader.connection().execute("SELECT * FROM connections").fetchall()
                assert_all_equal(found, [batch(tick, 100, 10) for tick in range(4)])
                print("harmless")
            except SockscopeError as error:
                print(error)
            except duckdb.Error as error:
                print("view;", str(error).splitlines()[0])
        """,
        tmp_path,
    ).splitlines()
    assert len(said) == len(places)
    assert all(line == "harmless" or ";" in line for line in said)
    assert any(line != "harmless" for line in said)


def test_a_damaged_log_is_named_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "x"
    writer = Writer(path, META)
    writer.write(batch(0))
    writer.commit()
    octets = bytearray(wal_of(path).read_bytes())
    flip(octets, len(octets) // 2)
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    wal_of(copy).write_bytes(octets)
    writer.close()
    assert "copy.wal, its last seconds, is damaged; move that file away" in refusal(copy)
    wal_of(copy).unlink()
    with Reader(copy) as reader:
        assert list(reader.batches()) == []
