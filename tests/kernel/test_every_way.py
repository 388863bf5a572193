"""Every way to a signal that loads here says what the server's own books say, in one and the same run."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.event_sources import SIGNALS
from sockscope.tracer.feature_probe import FeatureProbe
from sockscope.tracer.map_defs import MapSizes
from sockscope.tracer.selection import select_methods
from tests.kernel.tracing import by_remote, essence_of_ledger, essence_of_seen, load

pytestmark = pytest.mark.kernel

CONNECTIONS = int(os.environ.get("SOCKSCOPE_TEST_CONNECTIONS", "1000"))

MODELS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("single", {}, "127.0.0.1"),
    ("handoff", {"workers": 3}, "127.0.0.1"),
    ("handoff", {"workers": 2, "processes": True}, "127.0.0.1"),
    ("dispatch", {"workers": 3}, "127.0.0.1"),
    ("shared", {"workers": 3, "wait": "accept"}, "127.0.0.1"),  # blocked in accept when tracing begins
    ("reuseport", {"workers": 3}, "::1"),
)

#: What a way is asked for by: all signals that have a way of one of these names take it.
RUNGS = (("tracepoint", "system-calls"), ("fentry",), ("kprobe",), ("state-changes", "system-calls"))
VARIED = ("data-ready", "accept", "read", "write")


def ladder() -> Iterator[dict[str, str]]:
    """For each rung the ways that load here, as ``--attach`` would ask for them; none twice."""
    available = FeatureProbe.of_running_kernel()
    asked = []
    for names in RUNGS:
        wishes = {}
        for signal in SIGNALS:
            for way in signal.methods:
                if signal.name in VARIED and way.name in names and not available.why_not_method(way):
                    wishes.setdefault(signal.name, way.name)
        best = {name: way.name for name, way in select_methods(available, wishes).items() if way}
        if best not in asked:
            asked.append(best)
            yield wishes


@pytest.mark.parametrize(("model", "options", "host"), MODELS, ids=str)
def test_every_way_says_what_the_server_itself_says(
    model: str,
    options: dict[str, Any],
    host: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    books, documents = tmp_path / "ledger.jsonl", []
    with servers.start(model, ledger=books, host=host, **options) as server, contextlib.ExitStack() as stack:
        limits = MapSizes(connections=8192, workers=1024, io_overflow=8192)
        sessions = [
            stack.enter_context(LiveSession(Target(ports=(server.port,)), limits, wishes))
            for wishes in ladder()
        ]
        for session in sessions:
            session.start()
        load(
            server.port, "--connections", CONNECTIONS, "--concurrency", 24, "--requests", 3,
            "--timeout", 60, host=host, timeout=300,
        )  # fmt: skip
        server.stop()
        for session in sessions:
            state = State()
            state.apply(session.stop())
            documents.append(document(analyse(session.meta, state.snapshot())))
    ledger = [json.loads(line) for line in books.read_text().splitlines()]
    assert len(ledger) == CONNECTIONS
    found = [
        {
            "ways": {signal["name"]: signal["method"] for signal in seen["meta"]["signals"]},
            "connections": len(ledger),
            "complaints": complaints(seen, ledger),
        }
        for seen in documents
    ]
    record_property("found", json.dumps(found))
    assert [entry for entry in found if entry["complaints"]] == []
    assert len(sessions) > 1


def complaints(seen: dict[str, Any], ledger: list[dict[str, Any]]) -> list[str]:
    """What is wrong with a report, by the server's books."""
    told = [f"lost: {what}" for what in seen["health"]["lost"]]
    mine, true = by_remote(seen["connections"]), by_remote(ledger)
    if mine.keys() != true.keys():
        told.append(
            f"{len(true.keys() - mine.keys())} peers not seen, {len(mine.keys() - true.keys())} invented"
        )
    wrong = [
        remote
        for remote, rows in true.items()
        if sorted(_plain(essence_of_ledger(row)) for row in rows)
        != sorted(_plain(essence_of_seen(row)) for row in mine.get(remote, []))
    ]
    if wrong:
        first = [essence_of_seen(row) for row in mine.get(wrong[0], [])]
        told.append(f"{len(wrong)} peers told wrong, as {first} for {true[wrong[0]]}")
    for wait in ("queue_wait_ns", "first_read_wait_ns"):
        missing = sum(row[wait] is None for row in seen["connections"])
        if missing:
            told.append(f"{missing} connections without {wait}")
    return told + _waits(seen, ledger) + _wakes(seen, ledger) + _labels(seen)


def _waits(seen: dict[str, Any], ledger: list[dict[str, Any]]) -> list[str]:
    """Who takes connections or bytes waits for them by system calls, who is handed requests does not."""
    waits = {(row["pid"], row["tid"]): row["waits"] for row in seen["workers"]}
    taking = {tuple(row["acceptor"]) for row in ledger} | {
        one for row in ledger for one in _in(row, "readers")
    }
    handed = {one for row in ledger for one in _in(row, "writers")} - taking
    return [f"{one} is told without a wait" for one in sorted(taking) if not waits.get(one)] + [
        f"{one} is told with {waits[one]} waits and sleeps until it is woken"
        for one in sorted(handed)
        if waits.get(one)
    ]


def _wakes(seen: dict[str, Any], ledger: list[dict[str, Any]]) -> list[str]:
    """Who hands on to a sleeping thread of its process wakes it; where there is one thread nobody does."""
    woken = {
        ((row["pid"], row["tid"]), (row["pid"], wake["tid"]))
        for row in seen["workers"]
        for wake in row["wakes"]
    }
    pairs = [
        pair
        for row in ledger
        for pair in (
            *product([tuple(row["acceptor"])], _in(row, "readers")),
            *product(_in(row, "readers"), _in(row, "writers")),
        )
    ]
    handed = {(one, other) for one, other in pairs if one != other and one[0] == other[0]}
    several = {one[0] for one, _ in handed}
    return [
        f"{one} handed on to {other} and is not told to wake it" for one, other in sorted(handed - woken)
    ] + [
        f"{one} is told to wake {other}, of one thread"
        for one, other in sorted(woken)
        if one[0] not in several
    ]


def _in(row: dict[str, Any], role: str) -> list[tuple[int, ...]]:
    """The threads of a role in a line of the books, as (pid, tid)."""
    return [tuple(int(number) for number in name.split("/")) for name in row[role]]


def _plain(essence: tuple[Any, ...]) -> str:
    return json.dumps(essence, sort_keys=True)


def _labels(seen: dict[str, Any]) -> list[str]:
    """A signal that can err marks every connection, and none is marked without one."""
    weak = [
        signal["name"]
        for signal in seen["meta"]["signals"]
        if signal["limitations"].startswith("best effort")
    ]
    marked = {row["exact"] for row in seen["connections"]}
    return [] if marked == {not weak} else [f"exact is {marked}, with {weak} by best effort"]
