"""Driven by the clients that people use, and compared with what server and client say themselves."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.kernel.tracing import leaving_at_once
from tests.servers.real_servers import REAL, Started, is_there, program, running

pytestmark = [pytest.mark.kernel, pytest.mark.servers]


def _traced(name: str, use: Callable[[Started], Any]) -> tuple[dict[str, Any], Any]:
    """The report of a real server while ``use`` drives it, and what ``use`` returns."""
    real = next(real for real in REAL if real.name == name)
    if not is_there(real) and not os.environ.get("CI"):
        pytest.skip(f"{real.software} is not installed")
    with running(real) as started, leaving_at_once(LiveSession(Target(ports=(started.port,)))) as session:
        session.start()
        told = use(started)
        state = State()
        state.apply(session.stop())
    found = document(analyse(session.meta, state.snapshot()))
    assert found["health"]["lost"] == []
    assert all(row["exact"] and row["acceptor"] for row in found["connections"])
    return found, told


def _said(*words: object) -> str:
    command = [program(str(words[0])), *map(str, words[1:])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_redis_counts_as_many_connections_and_commands_as_were_traced() -> None:
    def use(started: Started) -> dict[str, int]:
        _said("redis-benchmark", "-p", started.port, "-t", "ping_mbulk", "-n", 500, "-c", 10, "-k", 0, "-q")
        # its own INFO is a connection, and the bytes of it are in neither count
        info = _said("redis-cli", "-p", started.port, "info", "stats")
        return {name: int(value) for name, value in re.findall(r"^(\w+):(\d+)\s*$", info, re.MULTILINE)}

    found, told = _traced("redis", use)
    traced = len(found["connections"])
    (server,) = found["servers"]
    assert server["model"] == "single", server["evidence"]
    # the one who started it asked for nothing but a connection, before it was traced
    assert 500 < traced <= told["total_connections_received"] <= traced + 3
    read = sum(reader["bytes"] for row in found["connections"] for reader in row["readers"])
    assert read > 500 * len(b"*1\r\n$4\r\nPING\r\n")


def test_each_curl_is_one_connection_of_nginx_with_the_bytes_that_curl_counts() -> None:
    def use(started: Started) -> list[tuple[int, int]]:
        url = f"http://127.0.0.1:{started.port}/"
        answers = [
            _said("curl", "-s", "-o", "/dev/null", "-w", "%{local_port} %{size_header} %{size_download}", url)
            for _ in range(40)
        ]
        return [
            (int(port), int(head) + int(body)) for port, head, body in (answer.split() for answer in answers)
        ]

    found, told = _traced("nginx", use)
    seen = [
        (int(row["remote"].rpartition(":")[2]), sum(writer["bytes"] for writer in row["writers"]))
        for row in found["connections"]
    ]
    assert sorted(seen) == sorted(told)


def test_wrk_and_the_trace_count_the_same_answers_of_nginx() -> None:
    def use(started: Started) -> int:
        said = _said("wrk", "-t", 1, "-c", 8, "-d", "1s", f"http://127.0.0.1:{started.port}/")
        return int(re.findall(r"(\d+) requests in", said)[0])

    found, told = _traced("nginx-reuseport", use)
    (server,) = [server for server in found["servers"] if server["connections"]]
    assert server["model"] == "reuseport", server["evidence"]
    writes = sum(writer["writes"] for row in found["connections"] for writer in row["writers"])
    # wrk counts what it has finished when its time is up: each connection may have one more under way
    assert told <= writes <= told + 8
    assert len(found["connections"]) in (8, 9)  # it tries one before it begins


def test_each_psql_is_one_process_of_postgresql() -> None:
    def use(started: Started) -> list[int]:
        question = [
            "-h",
            "127.0.0.1",
            "-p",
            started.port,
            "-U",
            "postgres",
            "-d",
            "postgres",
            "-At",
            "-c",
            "SELECT pg_backend_pid()",
        ]
        return [int(_said("psql", *question)) for _ in range(12)]

    found, told = _traced("postgresql", use)
    (server,) = found["servers"]
    assert (server["model"], server["handoff"]) == ("handoff", "fork"), server["evidence"]
    readers = [reader["pid"] for row in found["connections"] for reader in row["readers"]]
    assert sorted(readers) == sorted(told)
