"""What the fault tests share: a server that knows the truth, and what a tracer holds in the kernel."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sockscope.bpf import syscall
from tests.faults.replying import Answer

#: BPF_*_GET_FD_BY_ID of enum bpf_cmd
_BY_ID = {"prog_id": 13, "map_id": 14, "link_id": 30}


@contextmanager
def replying(how: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server of tests/faults/replying.py: (process, port)."""
    command = [sys.executable, "-m", "tests.faults.replying", how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def network() -> Iterator[tuple[str, ...]]:
    """A network namespace of its own: what to put before a command that is to run there."""
    name = f"sockscope-{time.monotonic_ns() % 10**9}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ("ip", "netns", "exec", name)
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def held_in_the_kernel(pid: int) -> set[tuple[str, int]]:
    """The BPF programs, maps and links that a process holds, by kind and number."""
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):
            found |= {
                (kind, int(number)) for kind, number in re.findall(r"(\w+_id):\t(\d+)", entry.read_text())
            }
    return {(kind, number) for kind, number in found if kind in _BY_ID}


def is_in_the_kernel(kind: str, number: int) -> bool:
    try:
        os.close(syscall.bpf(_BY_ID[kind], struct.pack("<III", number, 0, 0)))
    except FileNotFoundError:
        return False
    return True


def lost(seen: dict[str, Any]) -> int:
    """How many connections the tracer says it could not record."""
    return sum(entry["count"] for entry in seen["health"]["lost"] if entry["what"] == "connections")


def wrong(seen: dict[str, Any], answers: Iterable[Answer]) -> list[str]:
    """Return every connection on which the report disagrees with the server; none, if all is correct.

    Connections from one port are compared in the order in which they came.
    """
    reported: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(seen["connections"], key=lambda row: row["established_ns"] or 0):
        reported[row["remote"]].append(
            [(reader["pid"], reader["tid"], reader["bytes"]) for reader in row["readers"]]
        )
    true: dict[str, list[Any]] = defaultdict(list)
    for answer in answers:
        true[answer.remote].append([(answer.pid, answer.tid, answer.octets)])
    return [
        f"{remote}: reported {reported[remote]}, true {true[remote]}"
        for remote in sorted(reported.keys() | true.keys())
        if reported[remote] != true[remote]
    ]
