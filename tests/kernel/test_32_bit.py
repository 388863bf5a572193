"""32-bit servers: the tracepoints of system calls are not raised for them, and yet the acceptor is known."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes
from tests.kernel.tracing import leaving_at_once

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="needs 32-bit system calls of x86"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    source, path = Path(__file__).with_name("accept32.c"), tmp_path_factory.mktemp("compat") / "accept32"
    options = ["-m32", "-O1", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-fno-pie"]
    subprocess.run([compiler, *options, "-no-pie", source, "-o", path], check=True, timeout=60)
    return path


@pytest.mark.parametrize("how", ["socketcall", "accept4"])
def test_each_connection_has_its_acceptor(how: str, program: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()

    def inherit() -> None:
        os.dup2(listener.fileno(), 3)

    server = subprocess.Popen([program, how], preexec_fn=inherit, pass_fds=(3,))
    listener.close()
    replies = {}
    with leaving_at_once(LiveSession(Target(ports=(address[1],)), MapSizes())) as session:
        session.start()
        for _ in range(50):
            with socket.create_connection(address) as client:
                client.sendall(b"x")
                replies[f"127.0.0.1:{client.getsockname()[1]}"] = int(client.recv(16))
        state = State()
        state.apply(session.stop())
        seen = json.loads(json.dumps(document(analyse(session.meta, state.snapshot()))))
    server.kill()
    server.wait()
    assert set(replies.values()) == {server.pid}
    assert {row["remote"]: (row["acceptor"] or {}).get("pid") for row in seen["connections"]} == replies
    # the very first may have been waited for since before tracing began
    assert sum(row["exact"] for row in seen["connections"]) >= 49
    assert any("32-bit program" in note for note in seen["health"]["notes"])
    assert sum(worker["accepts"] for worker in seen["workers"]) == 50
