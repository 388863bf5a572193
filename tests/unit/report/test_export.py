"""Exports: the same rows in every format, and a timeline whose arrows land."""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import re
import stat
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sockscope.cli.export import Export
from sockscope.cli.sql import Sql
from sockscope.errors import SockscopeError, UsageError
from sockscope.export.timeline import events
from tests.unit.report.conftest import shown

DOCS = Path(__file__).resolve().parents[3] / "docs" / "export.md"

Recording = Callable[..., Path]


def run(command: Any, *words: object) -> int:
    parser = argparse.ArgumentParser()
    command.prepare(parser)
    return int(command.run(parser.parse_args([str(word) for word in words])))


def test_every_format_has_the_same_connections(recording: Recording, tmp_path: Path) -> None:
    path = recording("handoff", 6)
    for form in ("parquet", "csv", "jsonl"):
        assert run(Export(), path, "--format", form, "-o", tmp_path / "out") == 0
    out = tmp_path / "out"
    with (out / "connections.csv").open() as file:
        ids = [int(row["id"]) for row in csv.DictReader(file)]
    lines = [json.loads(line) for line in (out / "connections.jsonl").read_text().splitlines()]
    rows = duckdb.sql(f"SELECT id FROM '{out}/connections.parquet'").fetchall()
    assert len(ids) > 500
    assert sorted(ids) == sorted(line["id"] for line in lines) == sorted(row[0] for row in rows)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in out.iterdir())
    assert {file.suffix for file in out.iterdir()} == {".parquet", ".csv", ".jsonl"}
    facts = duckdb.sql(f"SELECT key, value FROM parquet_kv_metadata('{out}/workers.parquet')").fetchall()
    assert (b"host", b"testbed") in facts


def test_recordings_of_hosts_lie_side_by_side(recording: Recording, tmp_path: Path) -> None:
    run(Export(), recording("even", 4), "--by-host", "--table", "connections", "-o", tmp_path / "fleet")
    query = (
        f"SELECT DISTINCT host FROM read_parquet('{tmp_path}/fleet/**/*.parquet', hive_partitioning = true)"
    )
    assert duckdb.sql(query).fetchall() == [("testbed",)]


def test_what_is_there_is_kept(recording: Recording, tmp_path: Path) -> None:
    path, out = recording("even", 3), tmp_path / "out"
    run(Export(), path, "-o", out)
    with pytest.raises(SockscopeError, match="exists; choose another path"):
        run(Export(), path, "-o", out)
    assert run(Export(), path, "-o", out, "--overwrite") == 0
    assert not list(out.glob(".*"))


def test_invalid_arguments_are_reported(recording: Recording, tmp_path: Path) -> None:
    path = recording("even", 3)
    with pytest.raises(UsageError, match="unknown table 'nope'; tables:"):
        run(Export(), path, "--table", "nope", "-o", tmp_path / "out")
    with pytest.raises(UsageError, match="apply to table formats"):
        run(Export(), path, "--format", "timeline", "--by-host")
    with pytest.raises(SockscopeError, match=r"cannot create files in|cannot write"):
        run(Export(), path, "-o", path)


def test_a_timeline_comes_in_a_file(
    recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recording("handoff", 6)
    run(Export(), path, "--format", "timeline", "-o", tmp_path / "t.json.gz", "--max-connections", 10)
    document = json.loads(gzip.decompress((tmp_path / "t.json.gz").read_bytes()))
    assert document["otherData"]["host"] == "testbed"
    assert len({event["id"] for event in document["traceEvents"] if event["ph"] == "s"}) == 10
    assert "the first 10 of" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["handoff", "dispatch", "straggler"])
def test_arrows_go_from_slice_to_slice_in_the_order_of_time(name: str) -> None:
    frame, history = shown(name)
    seen = list(events(frame, history, 2000))
    slices: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for event in seen:
        if event["ph"] == "X":
            slices[event["pid"], event["tid"]].append(event)
    for track in slices.values():
        track.sort(key=lambda event: event["ts"])
        for one, following in itertools.pairwise(track):
            assert one["ts"] + one["dur"] <= following["ts"] + 1e-6
    starts = {(*track, event["ts"]): event for track, many in slices.items() for event in many}
    arrows: dict[int, list[Any]] = defaultdict(list)
    for event in seen:
        if event["ph"] in "stf":
            assert starts[event["pid"], event["tid"], event["ts"]]["args"]["connection"] == event["id"]
            arrows[event["id"]].append(event)
    assert len(arrows) > 1000
    for many in arrows.values():
        many.sort(key=lambda event: "stf".index(event["ph"]))
        assert [event["ph"] for event in many] in (["s", "f"], ["s", "t", "f"])
        assert [event["ts"] for event in many] == sorted(event["ts"] for event in many)
    if name == "handoff":
        assert all(many[0]["tid"] != many[1]["tid"] for many in arrows.values())


def test_every_wait_that_begins_ends() -> None:
    frame, history = shown("overflow")
    seen = list(events(frame, history, 10_000))
    begun = {(event["cat"], event["id"], event["pid"]): event["ts"] for event in seen if event["ph"] == "b"}
    ended = {(event["cat"], event["id"], event["pid"]): event["ts"] for event in seen if event["ph"] == "e"}
    assert begun.keys() == ended.keys()
    assert all(begun[key] < ended[key] for key in begun)
    assert {key[0] for key in begun} == {"in the queue", "for a reader", "for the answer"}
    counters = {event["name"] for event in seen if event["ph"] == "C"}
    assert counters == {"accept queue", "dropped"}


@pytest.mark.parametrize("query", re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.S))
def test_the_questions_of_the_docs_have_answers(
    query: str, recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Sql(), recording("handoff", 6), query, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)


def test_answers_come_as_text_csv_and_json(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    path = recording("hostile", 4)
    query = "SELECT id, comm, NULL AS nothing, 1.5::DOUBLE AS x FROM workers ORDER BY id LIMIT 1"
    assert run(Sql(), path, "--format", "json", query) == 0
    assert json.loads(capsys.readouterr().out) == [{"id": 1, "comm": "<script>x", "nothing": None, "x": 1.5}]
    run(Sql(), path, query, "--format", "csv")
    assert capsys.readouterr().out.splitlines() == ["id,comm,nothing,x", "1,<script>x,,1.5"]
    run(Sql(), path, query)
    assert [line.split() for line in capsys.readouterr().out.splitlines()][2] == [
        "1",
        "<script>x",
        "–",
        "1.5",
    ]
    run(Sql(), path, "SELECT chr(27) || '[31m' AS sly")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("DROP VIEW connections", "is not a query"),
        ("COPY connections TO '/tmp/x.csv'", "is not a query"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT nope FROM workers", "nope"),
        ("FROM read_csv('/etc/passwd')", "disabled"),
        ("SELEC 1", "syntax error"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(query: str, words: str, recording: Recording) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        run(Sql(), recording("even", 3), query)
    assert "\n" not in str(caught.value)


def test_the_views_are_listed(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    run(Sql(), recording("even", 3), "views")
    assert "connection_io\n    connection, worker" in capsys.readouterr().out
