"""Two independent ways to get the same signal say the same, to the byte, of the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.sources.target import Target
from tests.kernel.tracing import by_remote, essence_of_seen, load

pytestmark = pytest.mark.kernel

MODELS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("single", {}),
    ("handoff", {"workers": 3}),
    ("handoff", {"workers": 2, "processes": True}),
    ("dispatch", {"workers": 3}),
    ("reuseport", {"workers": 3}),
)


@pytest.mark.parametrize(("model", "options"), MODELS, ids=str)
def test_tracepoints_and_system_calls_see_the_same_reads_and_writes(
    model: str, options: dict[str, Any], tmp_path: Path
) -> None:
    documents = []
    with servers.start(model, **options) as server:
        target = Target(ports=(server.port,))
        by_calls = {"read": "system-calls", "write": "system-calls"}
        with LiveSession(target) as one, LiveSession(target, signals=by_calls) as other:
            sessions = (one, other)
            for session in sessions:
                session.start()
            load(server.port, "--connections", 2000, "--concurrency", 24, "--requests", 3)
            server.stop()
            for session in sessions:
                state = State()
                state.apply(session.stop())
                documents.append(document(analyse(session.meta, state.snapshot())))
    by_tracepoint, by_call = (by_remote(found["connections"]) for found in documents)
    assert by_tracepoint.keys() == by_call.keys()
    for remote, rows in by_tracepoint.items():
        assert sorted(map(repr, map(essence_of_seen, rows))) == sorted(
            map(repr, map(essence_of_seen, by_call[remote]))
        )
    assert sum(len(rows) for rows in by_call.values()) == 2000
    assert "io_uring" in next(
        signal["weaker"] for signal in documents[1]["meta"]["signals"] if signal["name"] == "read"
    )
