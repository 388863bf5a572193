"""Tracing that ends under load: what was seen until then is whole, and nothing is called lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.sources.target import Target
from tests.conftest import wait_until

pytestmark = pytest.mark.kernel

REQUESTS = 2


@pytest.mark.parametrize("model", ["reuseport", "handoff"])
def test_a_session_that_ends_under_load_has_whole_connections_and_no_loss(model: str) -> None:
    with servers.start(model, workers=3) as server:
        load = [
            sys.executable, "-m", "servers.load", "--connect", f"127.0.0.1:{server.port}", "--duration", "60",
            "--connections", "10000000", "--concurrency", "16", "--requests", str(REQUESTS),
        ]  # fmt: skip
        for _ in range(3):
            with LiveSession(Target(ports=(server.port,))) as session:
                session.start()
                state = State()
                state.apply(session.batch())
                with subprocess.Popen(load, stdout=subprocess.DEVNULL) as client:
                    try:

                        def enough(session: LiveSession = session, state: State = state) -> bool:
                            state.apply(session.batch())
                            return len(state.snapshot().connections) > 500

                        wait_until(enough, within_s=30, what="traffic")
                        state.apply(session.stop())
                    finally:
                        client.terminate()
            found = document(analyse(session.meta, state.snapshot()))
            assert found["health"]["lost"] == []
            closed = [row for row in found["connections"] if row["closed_ns"] and row["exact"]]
            assert len(closed) > 400
            # the client that was terminated last time may have left some cut short
            whole = [row for row in closed if sum(reader["reads"] for reader in row["readers"]) == REQUESTS]
            assert len(whole) >= len(closed) - 16
            for row in whole:
                assert sum(writer["writes"] for writer in row["writers"]) == REQUESTS, row
            assert len({row["remote"] + str(row["established_ns"]) for row in closed}) == len(closed)
