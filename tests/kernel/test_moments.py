"""When a connection was read and answered: within the server's own call."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import pytest

from sockscope.model.state import State
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.kernel.timekeeper import WAYS
from tests.kernel.tracing import leaving_at_once

pytestmark = pytest.mark.kernel

_OF_EACH = 6


def _talk(port: int, way: str) -> None:
    """What the server reads comes in two parts, the second one late; what it writes is not always read."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        if way == "greeting":
            client.recv(16)
        client.sendall(b"first ")
        time.sleep(0.005)
        client.sendall(b"second")
        client.recv(16)


def test_reads_and_answers_happen_within_the_servers_calls() -> None:
    ways = list(WAYS) * _OF_EACH
    command = [sys.executable, "-m", "tests.kernel.timekeeper", *ways]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with leaving_at_once(LiveSession(Target(ports=(port,)))) as session:
            session.start()
            ledger = {}
            for way in ways:
                _talk(port, way)
                line = json.loads(server.stdout.readline())
                ledger[line["peer"]] = way, line
            state = State()
            state.apply(session.stop())
    records = state.snapshot().connections
    assert len(records) == len(ledger) == len(ways)
    for record in records:
        way, line = ledger[int(record["remote_port"])]
        for deed in ("read", "write"):
            before, after = line[deed]
            assert before <= record[f"first_{deed}_ns"] <= after, (way, deed)
