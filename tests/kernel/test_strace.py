"""A smaller run against strace -f: the system calls themselves are the truth."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.kernel.tracing import load
from tests.straced import whole_calls

pytestmark = pytest.mark.kernel

CONNECTIONS = 300
MODELS: tuple[tuple[str, ...], ...] = (
    ("single",),
    ("handoff", "--workers", "3"),
    ("handoff", "--workers", "2", "--processes"),
    ("dispatch", "--workers", "3"),
    ("shared", "--workers", "3"),
    ("shared", "--workers", "3", "--wait", "epoll"),
    ("reuseport", "--workers", "3"),
)

# strace -f -yy marks descriptors: accept4(5<TCP:[127.0.0.1:80]>, ...) = 7<TCP:[127.0.0.1:80->127.0.0.1:4000]>
_CALL = re.compile(r"^(\d+) +(\w+)\(\d+<TCP(?:v6)?:\[([^\]]*)\]>.*\) += (-?\d+)(?:<TCP(?:v6)?:\[(.*?)\]>)?")
_READS, _WRITES = {"read", "readv", "recvfrom", "recvmsg"}, {"write", "writev", "sendto", "sendmsg"}


def _truth(text: str, port: int) -> dict[str, Counter[Any]]:
    told: dict[str, Counter[Any]] = {
        name: Counter() for name in ("accepts", "empty", "reads", "bytes_read", "writes", "bytes_written")
    }
    for line in whole_calls(text):
        call = _CALL.match(line)
        if not call:
            continue
        tid, name, ends, result = int(call[1]), call[2], call[3], int(call[4])
        if f":{port}" not in ends.split("->")[0]:
            continue
        if name.startswith("accept"):
            if result >= 0:
                told["accepts"][tid, call[5].split("->")[1]] += 1
            elif "EAGAIN" in line:
                told["empty"][tid] += 1
        elif name in _READS and result > 0:
            told["reads"][tid, ends.split("->")[1]] += 1
            told["bytes_read"][tid, ends.split("->")[1]] += result
        elif name in _WRITES and result > 0:
            told["writes"][tid, ends.split("->")[1]] += 1
            told["bytes_written"][tid, ends.split("->")[1]] += result
    return told


def _seen(found: dict[str, Any]) -> dict[str, Counter[Any]]:
    seen: dict[str, Counter[Any]] = {
        name: Counter() for name in ("accepts", "empty", "reads", "bytes_read", "writes", "bytes_written")
    }
    for row in found["connections"]:
        seen["accepts"][row["acceptor"]["tid"], row["remote"]] += 1
        for reader in row["readers"]:
            seen["reads"][reader["tid"], row["remote"]] += reader["reads"]
            seen["bytes_read"][reader["tid"], row["remote"]] += reader["bytes"]
        for writer in row["writers"]:
            seen["writes"][writer["tid"], row["remote"]] += writer["writes"]
            seen["bytes_written"][writer["tid"], row["remote"]] += writer["bytes"]
    for worker in found["workers"]:
        if worker["accepts_eagain"]:
            seen["empty"][worker["tid"]] = worker["accepts_eagain"]
    return seen


@pytest.mark.parametrize("words", MODELS, ids=" ".join)
def test_every_accept_read_and_write_is_the_one_that_strace_saw(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    assert shutil.which("strace"), "apt install strace"
    log = tmp_path / "strace.txt"
    calls = ",".join(sorted({"accept", "accept4", *_READS, *_WRITES}))
    command = [
        "strace",
        "-f",
        "-yy",
        "-qq",
        "-e",
        f"trace={calls}",
        "-o",
        str(log),
        sys.executable,
        "-m",
        "servers",
        *words,
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2])
        with LiveSession(Target(ports=(port,))) as session:
            session.start()
            load(port, "--connections", CONNECTIONS, "--concurrency", 16, "--requests", 3)
            state = State()
            state.apply(session.batch())
            child = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0]
            subprocess.run(["kill", "-TERM", child], check=True)
            server.wait(timeout=20)
            state.apply(session.stop())
    truth, seen = _truth(log.read_text(), port), _seen(document(analyse(session.meta, state.snapshot())))
    assert sum(truth["accepts"].values()) == CONNECTIONS
    assert sum(truth["reads"].values()) == 3 * CONNECTIONS
    for name, counted in truth.items():
        assert seen[name] == counted, name
