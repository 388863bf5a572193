"""Tracing that begins and ends under load: what was seen is whole, and nothing is called lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
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
            exact = [row for row in found["connections"] if row["exact"]]
            assert sum(listener["established"] for listener in found["listeners"]) == len(exact)
            for deed, plural in (("readers", "reads"), ("writers", "writes")):
                assert sum(done[plural] for row in found["connections"] for done in row[deed]) == sum(
                    worker[plural] for worker in found["workers"]
                )
            assert len({row["remote"] + str(row["established_ns"]) for row in closed}) == len(closed)


def test_a_session_that_begins_under_load_calls_nothing_lost() -> None:
    with servers.start("reuseport", workers=3) as server:
        load = [
            sys.executable, "-m", "servers.load", "--connect", f"127.0.0.1:{server.port}", "--duration", "60",
            "--connections", "10000000", "--concurrency", "64", "--requests", "1",
        ]  # fmt: skip
        with subprocess.Popen(load, stdout=subprocess.DEVNULL) as client:
            try:
                for _ in range(6):
                    with LiveSession(Target(ports=(server.port,))) as session:
                        session.start()
                        state = State()

                        def enough(session: LiveSession = session, state: State = state) -> bool:
                            state.apply(session.batch())
                            return len(state.snapshot().connections) > 300

                        wait_until(enough, within_s=30, what="traffic")
                        state.apply(session.stop())
                    found = document(analyse(session.meta, state.snapshot()))
                    assert found["health"]["lost"] == []
                    # what was queued before tracing began is told apart, and who accepted it is known
                    for row in found["connections"]:
                        assert (
                            row["exact"] or row["acceptor"] or "open before tracing started" in row["inexact"]
                        )
            finally:
                client.terminate()
