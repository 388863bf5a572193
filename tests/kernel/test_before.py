"""What was there before tracing began is found, and marked as such."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.records.layout import WorkerFlag
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.conftest import wait_until
from tests.kernel.tracing import leaving_at_once

pytestmark = pytest.mark.kernel

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def _ask(client: socket.socket) -> str:
    client.sendall(REQUEST)
    answer = client.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 200")
    return answer


@contextlib.contextmanager
def _report_of(session: LiveSession) -> Iterator[dict[str, Any]]:
    """The report of what happens inside the with block."""
    found: dict[str, Any] = {}
    session.start()
    yield found
    state = State()
    state.apply(session.stop())
    found.update(
        document(analyse(session.meta, state.snapshot())), frame=analyse(session.meta, state.snapshot())
    )


def test_connections_that_were_open_are_traced_from_now_on_and_say_so() -> None:
    with servers.start("handoff", workers=2) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            remote = f"127.0.0.1:{client.getsockname()[1]}"
            _ask(client)
            with (
                leaving_at_once(LiveSession(Target(ports=(server.port,)))) as session,
                _report_of(session) as found,
            ):
                answer = _ask(client)
    (connection,) = found["connections"]
    assert connection["remote"] == remote
    assert not connection["exact"]
    assert connection["inexact"] == ["open before tracing started"]
    assert connection["acceptor"] is None
    assert connection["established_ns"] is None
    (reader,) = connection["readers"]
    assert f"X-Reader: {reader['pid']}/{reader['tid']}" in answer
    assert reader["reads"] == 1
    (listener,) = found["listeners"]
    assert connection["listener"] == listener["inode"]


def test_connections_in_the_accept_queue_get_their_acceptor() -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=8)
    with listening, socket.create_connection(listening.getsockname()):
        target = Target(ports=(listening.getsockname()[1],))
        pid = os.fork()
        if not pid:  # our own process is never traced, so another one accepts
            with contextlib.suppress(BaseException):
                signal_from_parent = os.read(_GATE[0], 1)
                accepted, _ = listening.accept()
                accepted.sendall(signal_from_parent)
                os.read(_GATE[0], 1)
            os._exit(0)
        try:
            with leaving_at_once(LiveSession(target)) as session:
                session.start()
                os.write(_GATE[1], b"a")
                state = State()

                def accepted() -> bool:
                    state.apply(session.batch())
                    rows = document(analyse(session.meta, state.snapshot()))["connections"]
                    return len(rows) == 1 and rows[0]["acceptor"] is not None

                wait_until(accepted, what="the acceptance of the queued connection")
                state.apply(session.stop())
                (connection,) = document(analyse(session.meta, state.snapshot()))["connections"]
        finally:
            os.write(_GATE[1], b"e")
            os.waitpid(pid, 0)
    assert connection["acceptor"]["tid"] == pid
    assert connection["inexact"] == [
        "open before tracing started",
        "in the accept queue before tracing started",
    ]
    assert connection["queue_wait_ns"] is None


_GATE = os.pipe()


def test_a_thread_already_blocked_in_accept_is_the_acceptor_it_is() -> None:
    with servers.start("shared", workers=2, wait="accept", threads=True) as server:
        with (
            leaving_at_once(LiveSession(Target(ports=(server.port,)))) as session,
            _report_of(session) as found,
        ):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                answer = _ask(client)
    (connection,) = found["connections"]
    assert f"X-Acceptor: {connection['acceptor']['pid']}/{connection['acceptor']['tid']}" in answer
    assert connection["exact"]


def test_threads_already_waiting_and_processes_that_only_hold_the_listener_are_known() -> None:
    with servers.start("shared", workers=3) as server:
        with (
            leaving_at_once(LiveSession(Target(ports=(server.port,)))) as session,
            _report_of(session) as found,
        ):
            pass
    workers = [
        worker for worker in found["frame"].snapshot.workers.values() if worker.parent_pid == server.pid
    ]
    assert len(workers) == 3
    assert all(WorkerFlag.IN_WAIT in worker.flags and WorkerFlag.SEEDED in worker.flags for worker in workers)
    (listener,) = found["listeners"]
    assert {held["pid"] for held in listener["owners"]} >= {worker.pid for worker in workers}
    assert listener["accepts"] == 0
    assert found["servers"][0]["model"] == "unknown"
    assert "too few connections" in found["servers"][0]["why"]


def test_a_listener_that_opens_later_is_seen_with_the_thread_that_listened() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with leaving_at_once(LiveSession(Target(ports=(port,)))) as session, _report_of(session) as found:
        with servers.start("single", port=port) as server:
            with socket.create_connection(("127.0.0.1", port)) as client:
                _ask(client)
    (listener,) = found["listeners"]
    assert listener["listened_by"]["pid"] == server.pid
    assert listener["listened_ns"]
    assert listener["closed_ns"]
    assert listener["accepts"] == 1
    assert found["connections"][0]["exact"]
