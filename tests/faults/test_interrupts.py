"""Check packets that arrive by interrupt while threads, and probes in them, run on the same CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import ReportOutcome
from tests.faults.stand import network, wrong
from tests.faults.threads import recorded
from tests.faults.withheld import withheld_events

pytestmark = pytest.mark.kernel

#: SIOCETHTOOL with ETHTOOL_SGRO: with GRO a veth has a NAPI of its own (since 5.13, commit d3256efd8e8b).
_GRO = """
import ctypes, fcntl, socket, struct, sys
value = ctypes.create_string_buffer(struct.pack("II", 0x2C, 1))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8946, struct.pack("16sQ16x", sys.argv[1].encode(), ctypes.addressof(value)))
"""

Way = tuple[tuple[str, ...], tuple[str, ...]]


def _write(inside: tuple[str, ...], text: str, *paths: str) -> None:
    """Write to files of /sys/class/net as that network sees it."""
    for path in paths:
        subprocess.run([*inside, "sh", "-c", f"echo {text} > /sys/class/net/{path}"], check=True)


def _steered(inside: tuple[str, ...], device: str) -> None:
    everywhere = sum(1 << cpu for cpu in os.sched_getaffinity(0) if cpu < 32)
    _write(inside, f"{everywhere:x}", f"{device}/queues/rx-0/rps_cpus")


@contextmanager
def _loopback() -> Iterator[Way]:
    """On loopback the sender delivers; steered, another CPU is interrupted to do it, as by a network card."""
    with network() as inside:
        _steered(inside, "lo")
        yield inside, ("127.0.0.1", "127.0.0.1")


@contextmanager
def _pair() -> Iterator[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    """The server's network, the clients', and where these two are connected."""
    with network() as server, network() as client:
        peer = f"name near netns {client[3]}"
        subprocess.run(
            [*server, "ip", "link", "add", "far", "type", "veth", "peer", *peer.split()], check=True
        )
        for inside, device, address in ((server, "far", "10.71.0.1"), (client, "near", "10.71.0.2")):
            subprocess.run([*inside, "ip", "address", "add", f"{address}/24", "dev", device], check=True)
            subprocess.run([*inside, "ip", "link", "set", device, "up"], check=True)
        yield server, client, ("10.71.0.1", "10.71.0.2", f"/run/netns/{client[3]}")


@contextmanager
def _steered_pair() -> Iterator[Way]:
    with _pair() as (server, client, where):
        _steered(server, "far")
        _steered(client, "near")
        yield server, where


@contextmanager
def _threaded_pair() -> Iterator[Way]:
    """Each device has a thread of the kernel's that takes its packets."""
    with _pair() as (server, client, where):
        for inside, device in ((server, "far"), (client, "near")):
            subprocess.run([*inside, sys.executable, "-c", _GRO, device], check=True)
            _write(inside, "1", f"{device}/threaded")
        yield server, where


@contextmanager
def _messages() -> Iterator[None]:
    """Two processes, each of which sends itself messages as fast as it can."""
    program = "from socket import *; a, b = socketpair(AF_UNIX, SOCK_DGRAM)\nwhile a.send(b'x'): b.recv(1)"
    senders = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    try:
        yield
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()


_WAYS = {
    "steered on loopback": _loopback,
    "steered on a pair of veth": _steered_pair,
    "by threads of the kernel (threaded NAPI)": _threaded_pair,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", _WAYS)
def test_packets_that_interrupt_threads_are_attributed_correctly(
    way: str, tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    """A program does not run on a CPU where it is at work: what an interrupt brings has the second one."""
    number = 3000
    with _WAYS[way]() as (inside, clients), withheld_events() as withheld:
        seen, answers, rate = recorded(tmp_path, number, 0, inside, clients)
    assert seen["health"]["lost"] == []
    assert wrong(seen, answers) == []
    inexact = _inexact(seen)
    assert inexact <= withheld[0]
    report_outcome(
        f"packets {way}, {rate:,.0f} connections per second",
        f"{number:,} recorded, each with the right thread; {inexact} of them inexact, "
        f"the kernel withheld at most {withheld[0]} events from all BPF programs",
        number,
    )


@pytest.mark.slow
def test_data_arrivals_during_other_socket_messages_are_observed_or_marked_inexact(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    """Bytes of Unix sockets are announced by the same tracepoint, in the thread that sends them."""
    number = 3000
    with _loopback() as (inside, clients), _messages(), withheld_events() as withheld:
        seen, answers, rate = recorded(tmp_path, number, 0, inside, clients)
    unseen = sum(loss["count"] for loss in seen["health"]["lost"] if "(on_data_ready)" in loss["where"])
    assert sum(loss["count"] for loss in seen["health"]["lost"]) == unseen
    assert wrong(seen, answers) == []
    inexact = _inexact(seen)
    assert inexact <= withheld[0] + unseen
    report_outcome(
        f"packets steered on loopback during messages on Unix sockets, {rate:,.0f} connections per second",
        f"{number:,} recorded, each with the right thread; {inexact} of them inexact, {unseen} data arrivals on "
        f"any socket counted as lost; at most {withheld[0]} events withheld",
        number,
    )


def _inexact(seen: dict[str, Any]) -> int:
    """Return the number of inexact connections; assert that the others are complete."""
    exact = [row for row in seen["connections"] if row["exact"]]
    assert all(row["queue_wait_ns"] is not None and row["first_read_wait_ns"] is not None for row in exact)
    assert all(row["closed_ns"] for row in exact)
    accepts = sum(listener["accepts"] for listener in seen["listeners"])
    assert accepts == len(seen["connections"])
    return len(seen["connections"]) - len(exact)
