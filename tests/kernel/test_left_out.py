"""Signals that are left out: their programs are not in the kernel, and what remains is as exact as ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.kernel.programs import held_by
from tests.kernel.tracing import leaving_at_once, load, until_all_have_left

pytestmark = pytest.mark.kernel

_CONNECTIONS = 200


def test_without_reads_writes_and_waits_a_request_meets_no_program_and_accepts_stay_exact(
    tmp_path: Path,
) -> None:
    until_all_have_left()
    ledger = tmp_path / "ledger.jsonl"
    off = dict.fromkeys(("read", "write", "wait"), "off")
    with servers.start("shared", workers=2, ledger=ledger) as server:
        with leaving_at_once(LiveSession(Target(ports=(server.port,)), signals=off)) as session:
            session.start()
            loaded = set(held_by("self").values())
            load(server.port, "--connections", _CONNECTIONS, "--requests", 3)
            server.stop()
            state = State()
            state.apply(session.stop())
            plain = document(analyse(session.meta, state.snapshot()))
    assert {"on_state", "on_destroy", "on_accept"} <= loaded
    assert loaded.isdisjoint(
        {"on_recv", "on_send", "on_data_ready", "on_wait_enter", "on_wait_exit", "on_waking"}
    )
    truth = sorted(
        (row["remote"], *row["acceptor"]) for row in map(json.loads, ledger.read_text().splitlines())
    )
    seen = sorted(
        (row["remote"], row["acceptor"]["pid"], row["acceptor"]["tid"]) for row in plain["connections"]
    )
    assert len(seen) == _CONNECTIONS
    assert seen == truth
    assert all(row["readers"] is None and row["writers"] is None for row in plain["connections"])
    assert all(row["queue_wait_ns"] is not None for row in plain["connections"])
    assert {worker["reads"] for worker in plain["workers"]} == {None}
    assert plain["servers"][0]["model"] == "unknown"
    missing = {
        signal["name"]: signal["limitations"] for signal in plain["meta"]["signals"] if not signal["method"]
    }
    assert missing.keys() == {"read", "data-ready", "wake", "write", "wait"}
    assert all(words.startswith("left out: ") for words in missing.values())
