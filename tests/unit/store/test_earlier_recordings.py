"""Recordings made by earlier versions open and report the figures that they reported then.

Each fixture was made by the code of its time: one by the synthetic source, one by tracing a server of two
processes under load.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from sockscope.cli import run
from sockscope.store import Reader

_FIXTURES = Path(__file__).with_name("fixtures")

#: Sums over all threads, by the columns' present names, as read by the code that made the recording.
_WORKERS = {
    "synthetic-schema4": {
        "accepts": 1362, "accepts_eagain": 0, "reads": 25122, "bytes_read": 4521960, "reads_eagain": 0,
        "eof_reads": 0, "writes": 25122, "waits": 1400, "wakeups": 1330, "wakeups_spurious": 35,
        "read_turns": 0, "deferred_replies": 0, "busy_ns": 794520000,
    },
    "traced-schema4": {
        "accepts": 60, "accepts_eagain": 0, "reads": 120, "bytes_read": 7680, "reads_eagain": 0,
        "eof_reads": 60, "writes": 120, "waits": 0, "wakeups": 0, "wakeups_spurious": 0, "read_turns": 60,
        "deferred_replies": 0, "busy_ns": 0,
    },
}  # fmt: skip
#: The same of listeners.
_LISTENERS = {
    "synthetic-schema4": {"samples": 0, "waiters": 0, "accepted": 1362, "established": 1363},
    "traced-schema4": {
        "samples": 4, "samples_several": 2, "samples_changed": 1, "waiting": 1, "waiters": 6, "exclusive": 6,
        "accepted": 60, "established": 60,
    },
}  # fmt: skip
#: Connections, rows of io_overflow, of owners, of waiting, the samples in the latter, and events.
_ROWS = {"synthetic-schema4": (1363, 0, 1, 0, 0, 0), "traced-schema4": (60, 0, 2, 2, 6, 519)}

fixtures = pytest.mark.parametrize("name", sorted(_ROWS))


def _unpacked(name: str, folder: Path) -> Path:
    path = folder / f"{name}.sockscope"
    path.write_bytes(lzma.decompress((_FIXTURES / f"{name}.sockscope.xz").read_bytes()))
    return path


def _sums(rows: Any, names: dict[str, int]) -> dict[str, int]:
    return {name: int(rows[name].sum()) for name in names}


@fixtures
def test_the_final_state_is_as_the_version_that_recorded_it_read_it(name: str, tmp_path: Path) -> None:
    with Reader(_unpacked(name, tmp_path)) as reader:
        batch = reader.final_batch()
        assert _sums(batch.workers, _WORKERS[name]) == _WORKERS[name]
        assert _sums(batch.listeners, _LISTENERS[name]) == _LISTENERS[name]
        rows = (batch.connections, batch.io_overflow, batch.owners, batch.waiting)
        samples = int(batch.waiting["samples"].sum())
        assert (*map(len, rows), samples, reader.count_events()) == _ROWS[name]
        assert len(list(reader.batches())) > 5


@fixtures
def test_views_and_raw_tables_have_present_names(name: str, tmp_path: Path) -> None:
    with Reader(_unpacked(name, tmp_path)) as reader:
        ask = reader.connection().execute
        assert ask("SELECT sum(accepts), sum(wakeups_spurious) FROM workers").fetchall() == [
            (_WORKERS[name]["accepts"], _WORKERS[name]["wakeups_spurious"])
        ]
        assert ask("SELECT sum(samples) FROM listeners").fetchall() == [(_LISTENERS[name]["samples"],)]
        assert ask("SELECT count(*) FROM raw.owners").fetchall()[0][0] > 0
        assert ask("SELECT method FROM raw.signals LIMIT 1").fetchall() != [("",)]


@fixtures
def test_every_command_reads_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(_unpacked(name, tmp_path))
    assert run(["report", "--format", "json", path]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["meta"]["connections_total"] == _ROWS[name][0]
    assert sum(worker["reads"] for worker in report["workers"]) == _WORKERS[name]["reads"]
    assert run(["report", path]) == 0
    assert run(["check", path]) in (0, 3)
    assert run(["export", "--format", "parquet", "-o", str(tmp_path / "out"), path]) == 0
    assert (tmp_path / "out" / "listeners.parquet").exists()
