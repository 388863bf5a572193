"""What strace says that the threads of a running server did: accepts, bytes read, bytes written."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.real_servers import Started, program
from tests.straced import whole_calls

_READS = ("read", "readv", "recvfrom", "recvmsg", "recv")
_WRITES = ("write", "writev", "sendto", "sendmsg", "send", "sendfile", "sendfile64")
# -yy marks descriptors: accept4(5<TCP:[127.0.0.1:80]>, ...) = 7<TCP:[127.0.0.1:80->127.0.0.1:4000]>
_CALL = re.compile(r"^(\d+) +(\w+)\(\d+<TCP(?:v6)?:\[(.*?)\]>.*\) += (-?\d+)(?:<TCP(?:v6)?:\[(.*?)\]>)?")


@dataclass
class Deeds:
    """By (tid, the client's end): how many accepts, and how many bytes."""

    accepts: Counter[tuple[int, str]] = field(default_factory=Counter)
    read: Counter[tuple[int, str]] = field(default_factory=Counter)
    written: Counter[tuple[int, str]] = field(default_factory=Counter)


@contextlib.contextmanager
def straced(started: Started) -> Iterator[Path]:
    """strace on all of the server's threads, and those to come; the file is complete afterwards."""
    log = started.place / "strace.txt"
    calls = ",".join(
        [
            "accept",
            "accept4",
            *(name for name in (*_READS, *_WRITES) if name not in ("recv", "send", "sendfile64")),
        ]
    )
    pids = [word for pid in started.pids() for word in ("-p", str(pid))]
    command = [program("strace"), "-f", "-yy", "-s", "0", "-e", f"trace={calls}", "-o", str(log), *pids]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 10
            while not _all_traced(started) and time.monotonic() < deadline:
                time.sleep(0.02)
            yield log
        finally:
            process.terminate()  # strace lets go of the server and ends
            process.wait(20)


def _all_traced(started: Started) -> bool:
    for pid in started.pids():
        with contextlib.suppress(OSError):
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                if "TracerPid:\t0\n" in status.read_text():
                    return False
    return True


def told_by(log: Path, port: int) -> Deeds:
    connection_io = Deeds()
    for line in whole_calls(log.read_text(errors="replace")):
        call = _CALL.match(line)
        if not call or f":{port}" not in call[3].split("->")[0]:
            continue
        tid, name, result = int(call[1]), call[2], int(call[4])
        if name.startswith("accept") and result >= 0 and call[5]:
            connection_io.accepts[tid, _client(call[5])] += 1
        elif name in _READS and result > 0 and "MSG_PEEK" not in line:
            connection_io.read[tid, _client(call[3])] += result
        elif name in _WRITES and result > 0:
            connection_io.written[tid, _client(call[3])] += result
    return connection_io


def seen_by(connections: Iterable[dict[str, Any]]) -> Deeds:
    """The same, of connections of a report."""
    connection_io = Deeds()
    for row in connections:
        if row["acceptor"]:
            connection_io.accepts[row["acceptor"]["tid"], row["remote"]] += 1
        for reader in row["readers"]:
            connection_io.read[reader["tid"], row["remote"]] += reader["bytes"]
        for writer in row["writers"]:
            connection_io.written[writer["tid"], row["remote"]] += writer["bytes"]
    return connection_io


def _client(ends: str) -> str:
    """The other end of a connection; an IPv4 client of an IPv6 socket by its IPv4 address."""
    return ends.partition("->")[2].replace("[::ffff:127.0.0.1]", "127.0.0.1")
