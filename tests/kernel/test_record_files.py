"""``sockscope record`` into several files, the last minutes, pseudonyms: on a running kernel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import servers
from sockscope.report.json import document
from sockscope.session.frames import frame_of_recording
from sockscope.store import Reader
from tests.conftest import wait_until
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _recorder(*words: object) -> Iterator[subprocess.Popen[str]]:
    """``sockscope record``, tracing; it is gone afterwards, whatever happens."""
    command = [sys.executable, "-m", "sockscope", "record", *map(str, words)]
    recorder = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert recorder.stderr is not None
        line = recorder.stderr.readline()
        assert "tracing" in line, line + recorder.stderr.read()
        yield recorder
    finally:
        recorder.kill()
        recorder.communicate()


def _end(recorder: subprocess.Popen[str]) -> str:
    recorder.send_signal(signal.SIGINT)
    _, said = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, said
    assert "Traceback" not in said
    return said


def _documents(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(document(frame_of_recording(path)))) for path in paths]


def test_rotated_files_together_hold_what_the_server_wrote_down(tmp_path: Path) -> None:
    with (
        servers.start("handoff", workers=3, ledger=tmp_path / "ledger") as server,
        _recorder("-o", tmp_path / "web.sockscope", "--rotate", "1s", "--port", server.port) as recorder,
    ):
        for _ in range(40):
            load(server.port, "--connections", 300, "--concurrency", 8, "--requests", 4)
            if len(list(tmp_path.glob("web-*.sockscope"))) >= 3:
                break
        said = _end(recorder)
    paths = sorted(tmp_path.glob("web-*.sockscope"))
    assert len(paths) >= 3
    assert f"{len(paths)} files" in said
    assert "lost" not in said
    ledger = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    truth: Counter[Any] = Counter()
    for row in ledger:
        truth["accepts", row["acceptor"][1]] += 1
        for deed in ("readers", "writers"):
            for thread, (times, octets) in row[deed].items():
                truth[deed, int(thread.split("/")[1])] += times
                truth[f"{deed} bytes", int(thread.split("/")[1])] += octets
    seen: Counter[Any] = Counter()
    by_connection: Counter[Any] = Counter()
    for found in _documents(paths):
        for worker in found["workers"]:
            seen["accepts", worker["tid"]] += worker["accepts"]
            seen["readers", worker["tid"]] += worker["reads"]
            seen["readers bytes", worker["tid"]] += worker["bytes_read"]
            seen["writers", worker["tid"]] += worker["writes"]
            seen["writers bytes", worker["tid"]] += worker["bytes_written"]
        for row in found["connections"]:
            for reader in row["readers"]:
                by_connection[reader["tid"]] += reader["reads"]
    assert +seen == truth
    assert {tid: times for (deed, tid), times in truth.items() if deed == "readers"} == dict(by_connection)
    # a connection that one file leaves open is closed in a later one, under the same number
    closed = [row for path in paths for row in _closed(path)]
    assert len(closed) == len(set(closed)) == len(ledger)


def _closed(path: Path) -> list[int]:
    with Reader(path) as reader:
        rows = reader.connection().execute("SELECT id FROM connections WHERE closed").fetchall()
    return [row[0] for row in rows]


def test_the_flight_recorder_writes_at_a_signal_on_a_finding_and_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "web.sockscope"
    ring = ("--flight-recorder", "1m", "--on-finding", "queue-overflow", "--keep", 5)
    with (
        servers.start("single") as server,
        _recorder("-o", out, *ring, "--port", server.port) as recorder,
    ):
        load(server.port, "--connections", 300)
        recorder.send_signal(signal.SIGUSR1)
        wait_until(lambda: len(list(tmp_path.glob("web-*"))) == 1, 20, "the file asked for")
        (asked,) = _documents(list(tmp_path.glob("web-*")))
        assert len(asked["connections"]) == 300
        assert asked["servers"][0]["model"] == "single"
        said = _end(recorder)
    assert "SIGUSR1: wrote the last 60 s -> " in said
    assert "the end: wrote the last 60 s -> " in said
    assert not list(tmp_path.glob(".web*"))
    newest = max(tmp_path.glob("web-*"), key=lambda path: path.stat().st_mtime_ns)
    assert len(_closed(newest)) == 300
    assert newest.stat().st_mode & 0o777 == 0o600


def test_a_finding_makes_the_flight_recorder_write_while_the_server_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "web.sockscope"
    ring = ("--flight-recorder", "1m", "--on-finding", "queue-overflow")
    with (
        servers.start("single", backlog=4, work=5000) as server,
        _recorder("-o", out, *ring, "--port", server.port) as recorder,
    ):
        load(server.port, "--connections", 20, "--concurrency", 1)  # nothing to find in these
        load(server.port, "--connections", 60, "--concurrency", 24, "--timeout", 60)
        wait_until(lambda: list(tmp_path.glob("web-*")), 20, "the file of the finding")
        (found,) = _documents(list(tmp_path.glob("web-*")))
        said = _end(recorder)
    assert sum(worker["accepts"] for worker in found["workers"]) >= 20  # what led there is in it
    first = next(line for line in said.splitlines() if "wrote" in line)
    # on a busy machine the cause may be found, that the server waits for a CPU, with this as what it explains
    assert "queue-overflow" in first, said
    assert "queue-overflow" in json.dumps(found["findings"])


def test_behind_pseudonyms_all_is_as_before_but_for_the_addresses(tmp_path: Path) -> None:
    out = tmp_path / "web.sockscope"
    with (
        servers.start("reuseport", workers=3, host="127.9.8.7") as server,
        _recorder("-o", out, "--anonymize", "--events", "--port", server.port) as recorder,
    ):
        load(server.port, "--connections", 400, "--concurrency", 8, host="127.9.8.7")
        _end(recorder)
    content = out.read_bytes()
    for secret in (
        b"127.9.8.7",
        bytes([127, 9, 8, 7]),
        bytes([7, 8, 9, 127]),
        b"--anonymize",
        str(tmp_path).encode(),
    ):
        assert secret not in content.replace(b"(--anonymize)", b""), secret
    (found,) = _documents([out])
    assert len(found["connections"]) == 400
    assert found["servers"][0]["model"] == "reuseport"
    assert {row["local"].rpartition(":")[2] for row in found["connections"]} == {str(server.port)}
    assert len({row["local"] for row in found["connections"]}) == 1
