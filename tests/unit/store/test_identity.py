"""Writing and then reading a recording is the identity."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sockscope.records.batch import Batch, Meta
from sockscope.store import Reader
from sockscope.store import reader as reader_module
from sockscope.store import tables as tables_module
from sockscope.store.columns import get_columns
from sockscope.store.database import open_memory
from sockscope.store.objects import escaped, get_attributes, unescaped
from sockscope.store.schema import schema_of
from sockscope.store.tables import RecordTable
from tests.unit.store.recordings import (
    ARRAYS,
    META,
    METAS,
    SECOND,
    TEXTS,
    assert_all_equal,
    batch,
    batches,
    record,
    records,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(meta=METAS, written=st.lists(batches(), max_size=4))
def test_what_is_written_is_read_back_equal_and_in_order(meta: Meta, written: list[Batch]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = record(Path(folder, "x.duckdb"), written, meta)
        with Reader(path) as reader:
            assert reader.meta == meta
            assert_all_equal(reader.batches(), written)


def test_a_batch_with_nothing_in_it_comes_back(tmp_path: Path) -> None:
    written = [Batch(time_ns=0), Batch(time_ns=2**64 - 1, final=True)]
    with Reader(record(tmp_path / "x", written)) as reader:
        assert_all_equal(reader.batches(), written)


def test_a_recording_without_batches_has_none(tmp_path: Path) -> None:
    with Reader(record(tmp_path / "x", [])) as reader:
        assert reader.meta == META
        assert list(reader.batches()) == []


def test_large_batches_come_back_across_every_stretch_and_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables_module, "ROWS_AT_ONCE", 8_000)
    written = [
        batch(tick, rows, workers=rows // 10) for tick, rows in enumerate((0, 21_000, 1, 9_000, 10_241))
    ]
    with Reader(record(tmp_path / "x", written)) as reader:
        assert_all_equal(reader.batches(), written)


def test_more_ticks_than_are_read_at_once_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "STRETCH_TICKS", 10)
    threads = ARRAYS["threads"]
    written = [Batch(tick * SECOND // 100, threads=records(threads, tick % 3, tick)) for tick in range(57)]
    with Reader(record(tmp_path / "x", written)) as reader:
        assert_all_equal(reader.batches(), written)


def test_two_readings_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    written = [batch(tick) for tick in range(4)]
    with Reader(record(tmp_path / "x", written)) as reader:
        one, two = reader.batches(), reader.batches()
        first = [next(one), next(two), next(two)]
        reader.final_batch()
        assert_all_equal([first[0], *one], written)
        assert_all_equal([*first[1:], *two], written)


@given(TEXTS)
@example("\\u0041 \\ \\\\ \udcff\0")
def test_any_text_survives_its_escape(text: str) -> None:
    assert unescaped(escaped(text)) == text
    escaped(text).encode("utf-8")


@st.composite
def dtypes(draw: st.DrawFn) -> np.dtype[Any]:
    """Record types that nobody has thought of yet."""
    numbers = st.sampled_from(["<u1", "<u2", "<u4", "<u8", "<i1", "<i2", "<i4", "<i8"])
    shapes = st.one_of(st.integers(1, 20), st.tuples(st.integers(1, 3), st.integers(1, 3)))
    plain = st.one_of(numbers, st.tuples(numbers, shapes))
    inner = st.lists(plain, min_size=1, max_size=2).map(_fields)
    nested = st.one_of(inner, st.tuples(inner, st.integers(1, 3)))
    return np.dtype(_fields(draw(st.lists(st.one_of(plain, nested), min_size=1, max_size=4))))


def _fields(kinds: list[Any]) -> Any:
    names = ("value", "=value", "record", 'Odd "name"')
    return [
        (name, *(kind if isinstance(kind, tuple) else (kind,)))
        for name, kind in zip(names, kinds, strict=False)
    ]


@settings(max_examples=30, deadline=None)
@given(dtypes(), st.integers(0, 6), st.integers(0, 2**32))
def test_any_record_type_gets_columns_that_keep_it(dtype: np.dtype[Any], count: int, seed: int) -> None:
    table = RecordTable("things", dtype)
    written = records(dtype, count, seed)
    connection = open_memory("100MB")
    connection.execute(f"CREATE SCHEMA raw; CREATE TABLE raw.things ({table.definition()})")
    table.insert(connection, "raw", 7, written)
    ticks, found = table.fetch_ticks(connection, "raw", 7, 7)
    connection.close()
    assert ticks.tolist() == [7] * count
    assert found.tobytes() == written.tobytes()


def test_a_new_field_in_a_record_or_a_batch_is_a_new_column_or_table() -> None:
    newer = np.dtype([*ARRAYS["wakes"].descr, ("latency_ns", "<u8"), ("steps", "<u4", 3)])
    fields = [
        ("wakes", np.ndarray, dataclasses.field(default_factory=lambda: np.empty(0, newer))),
        ("rooms", np.ndarray, dataclasses.field(default_factory=lambda: np.empty(0, [("door", "<u2")]))),
        ("mood", str, ""),
    ]
    schema = schema_of(dataclasses.make_dataclass("NewerBatch", [("time_ns", int), *fields]), Meta)
    connection = duckdb.connect(":memory:")
    for statement in schema.statements("memory"):
        connection.execute(statement)
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'raw'"
    ).fetchall():
        columns.setdefault(table, {})[column] = kind
    assert columns["wakes"]["latency_ns"] == "UBIGINT"
    assert columns["wakes"]["steps"] == "UINTEGER[3]"
    assert columns["rooms"] == {"tick": "UINTEGER", "door": "USMALLINT"}
    assert columns["ticks"]["mood"] == "VARCHAR"


def test_every_field_of_every_record_has_a_column() -> None:
    for name, dtype in ARRAYS.items():
        tops = {column.path[0] for column in get_columns(dtype)}
        assert tops == set(dtype.names or ()), name


def test_a_field_that_no_column_keeps_exactly_is_refused() -> None:
    for kind in ("<f8", "S8", "O"):
        with pytest.raises(TypeError, match="odd"):
            get_columns(np.dtype([("odd", kind)]))
    with pytest.raises(TypeError, match="odd"):
        get_attributes(dataclasses.make_dataclass("Thing", [("odd", dict[str, int])]))


def test_batches_without_events_are_the_same_but_for_these(tmp_path: Path) -> None:
    written = [batch(tick) for tick in range(5)]
    with Reader(record(tmp_path / "x", written)) as reader:
        found = list(reader.batches(events=False))
    assert_all_equal(found, [dataclasses.replace(one, events=one.events[:0]) for one in written])
