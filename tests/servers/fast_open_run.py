"""TCP Fast Open, traced; to be run in a network namespace of its own (test_ways_in.py does)."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sockscope.records.layout import ConnectionFlag
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.servers.real_servers import Real, running


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("1543")  # both halves, neither asks for a cookie
    script = str(Path(__file__).with_name("ways_server.py"))
    real = Real("", "", "", (), (), lambda _, port: [sys.executable, script, "fast-open", str(port)], "")
    with running(real) as started, LiveSession(Target(ports=(started.port,))) as session:
        session.start()
        for _ in range(64):
            with socket.socket() as client:
                client.sendto(b"hello", socket.MSG_FASTOPEN, ("127.0.0.1", started.port))
                assert client.recv(100) == b"hello"
        batch = session.stop()
    records = batch.connections
    assert len(records) == 64, len(records)
    (listener,) = batch.listeners
    # four arrivals were to be looked at, each when the next child on its CPU was established
    assert 1 <= listener["samples"] <= 4, listener["samples"]
    for record in records:
        assert record["flags"] & ConnectionFlag.FAST_OPEN, hex(record["flags"])
        assert record["acceptor"], record
        assert record["listener"], record
        assert sum(record["io"]["bytes_read"]) == 5, record["io"]
        assert record["established_ns"] <= record["accepted_ns"] <= record["first_read_ns"], record
        assert 0 < record["first_data_ns"] <= record["first_read_ns"], record


main()
