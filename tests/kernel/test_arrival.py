"""When bytes could be read: between the client's send and the server's read, by either kind of program."""

from __future__ import annotations

import socket
import time

import pytest

import servers
from sockscope.bpf import syscall
from sockscope.model.state import State
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.kernel.tracing import leaving_at_once

pytestmark = pytest.mark.kernel

_CONNECTIONS = 40
_REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "plain"])
def test_bytes_arrive_after_the_client_sends_and_before_the_server_reads(
    typed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = syscall.load_program

    def refusing(name: str, kind: str, code: bytes, function: int = 0) -> int:
        if kind == "typed":
            raise syscall.VerifierError("not on this kernel")
        return load(name, kind, code, function)

    if not typed:
        monkeypatch.setattr(syscall, "load_program", refusing)
    sent: dict[int, tuple[int, int]] = {}
    with servers.start("single") as server:
        with leaving_at_once(LiveSession(Target(ports=(server.port,)))) as session:
            kinds = session._source._program._loaded.typed
            ways = {signal.name: signal.method for signal in session.meta.signals}
            session.start()
            for _ in range(_CONNECTIONS):
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    before = time.monotonic_ns()
                    client.sendall(_REQUEST)
                    assert client.recv(4096).startswith(b"HTTP/1.1 200")
                    sent[client.getsockname()[1]] = before, time.monotonic_ns()
            state = State()
            state.apply(session.stop())
    records = state.snapshot().connections
    assert kinds == ({"on_data_ready"} if typed and ways["data-ready"] == "tracepoint" else set())
    assert sorted(records["remote_port"].tolist()) == sorted(sent)
    for record in records:
        before, answered = sent[int(record["remote_port"])]
        assert before <= record["first_data_ns"] <= record["first_read_ns"] <= answered
        assert record["data_wait_max_ns"] == record["first_read_ns"] - record["first_data_ns"]
    measured = sum(int(worker.data_wait.sum()) for worker in state.snapshot().workers.values())
    assert measured >= _CONNECTIONS
