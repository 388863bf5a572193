"""Check that a connection whose close event was withheld from the probes is closed by the reaper, marked inexact."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest

import servers
from sockscope.bpf.maps import Map
from sockscope.bpf.slot_array import _KEYS_A_BUCKET
from sockscope.records.batch import Batch
from sockscope.records.layout import ConnectionFlag
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.bpf_object import BpfObject
from sockscope.tracer.source import KernelSource
from tests.conftest import wait_until
from tests.faults.conftest import ReportOutcome
from tests.kernel.tracing import leaving_at_once

pytestmark = pytest.mark.kernel

_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_SPILLED = 12 * _KEYS_A_BUCKET  # behind the keys and their places
_BUCKET = np.dtype(
    {
        "names": ["keys", "places", "spilled"],
        "formats": [("<u8", _KEYS_A_BUCKET), ("<u4", _KEYS_A_BUCKET), "<u4"],
        "offsets": [0, 8 * _KEYS_A_BUCKET, _SPILLED],
        "itemsize": 64,
    }
)
_SOCKETS = 1 << 63  # from there on keys are sockets
_END = ("on_destroy", "on_destroy_again")
_ALL_STEPS = (*_END, "on_state", "on_state_again")


def _asked(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(_REQUEST)
    assert client.recv(65536).startswith(b"HTTP/1.1 200")
    return client


def _server_has_it(port: int, peer: int) -> bool:
    """Whether the server's side of the connection is there."""
    with open("/proc/net/tcp") as table:
        ends = [line.split()[1:3] for line in table][1:]
    return any((local[-4:], remote[-4:]) == (f"{port:04X}", f"{peer:04X}") for local, remote in ends)


def _blind(source: KernelSource, functions: tuple[str, ...]) -> None:
    """Detach the probes of these events, as if the kernel withheld them."""
    where = [index for index, hook in enumerate(source._hooks) if hook.function in functions]
    assert len(where) == len(functions)
    for index in reversed(where):
        os.close(source._program._links.pop(index))


def _crowd(program: BpfObject) -> None:
    """Move all connections out of their buckets to where those go that find no room in one."""
    buckets = Map(program._loaded.maps["buckets"], np.dtype("<u4"), _BUCKET)
    crowded = Map(program._loaded.maps["slot_overflow"], np.dtype("<u8"), np.dtype("<u4"))
    numbers, held = buckets.read_all()
    for number, bucket in zip(numbers, held, strict=True):
        bucket["spilled"] = 1
        for index in np.flatnonzero(bucket["keys"] >= _SOCKETS):
            crowded.put(bucket["keys"][index], bucket["places"][index])
            bucket["keys"][index] = 0
        buckets.put(number, bucket)


def _flags_of(batch: Batch, peer: int) -> list[ConnectionFlag]:
    rows = batch.connections[batch.connections["remote_port"] == peer]
    return [
        ConnectionFlag(int(flags)) & (ConnectionFlag.CLOSED | ConnectionFlag.BEST_EFFORT)
        for flags in rows["flags"]
    ]


@pytest.mark.parametrize("crowded", [False, True], ids=["in its bucket", "crowded out of it"])
@pytest.mark.parametrize("functions", [_END, _ALL_STEPS], ids=["the end", "every step to it"])
def test_missed_close_event_is_found_and_reported_once(
    functions: tuple[str, ...], crowded: bool, report_outcome: ReportOutcome
) -> None:
    gone = ConnectionFlag.CLOSED | ConnectionFlag.BEST_EFFORT
    with (
        servers.start("single", workers=1) as server,
        leaving_at_once(LiveSession(Target(ports=(server.port,)))) as session,
    ):
        session.start()
        source = session._source
        with _asked(server.port) as stays:
            leaving = [_asked(server.port), _asked(server.port)]
            peers = [client.getsockname()[1] for client in leaving]
            open_peer = stays.getsockname()[1]
            session.batch()
            if crowded:
                _crowd(source._program)
            _blind(source, functions)
            leaving[0].close()
            wait_until(lambda: not _server_has_it(server.port, peers[0]))
            source._unseen_ends.look_at_all()
            assert _flags_of(session.batch(), peers[0]) == [gone]
            whole = session.batch(whole=True)
            assert [_flags_of(whole, peer) for peer in (peers[0], peers[1], open_peer)] == [[], [0], [0]]
            leaving[1].close()
            wait_until(lambda: not _server_has_it(server.port, peers[1]))
            last = session.stop()
    assert [_flags_of(last, peer) for peer in (peers[0], peers[1], open_peer)] == [[], [gone], [0]]
    row = last.connections[last.connections["remote_port"] == peers[1]][0]
    assert row["first_write_ns"] <= row["closed_ns"] <= last.time_ns
    report_outcome(
        f"{'all events of the close' if functions is _ALL_STEPS else 'close event'} of a connection withheld from the probes"
        + (", its record in the overflow map" if crowded else ""),
        "found during tracing and at its end: reported once as closed and inexact; the open connection stays open and exact",
        2,
    )


def test_missed_close_event_with_a_reused_address_is_reported_once(report_outcome: ReportOutcome) -> None:
    with (
        servers.start("single", workers=1) as server,
        leaving_at_once(LiveSession(Target(ports=(server.port,)))) as session,
    ):
        session.start()
        source = session._source
        first = _asked(server.port)
        peer = first.getsockname()[1]
        session.batch()
        _blind(source, _END)
        first.close()
        wait_until(lambda: not _server_has_it(server.port, peer))
        source._unseen_ends.look_at_all()
        batches = [session.batch()]
        (number,) = batches[0].connections["id"]

        # the kernel takes what was given back last: soon a socket is where the first one was
        def is_used_again() -> bool:
            for _ in range(20):
                _asked(server.port).close()
            return not len(source._program.places["connections"].of([number]))

        wait_until(is_used_again)
        batches += [session.batch(), session.stop()]
    found = [flags for batch in batches for flags in _flags_of(batch, peer)]
    assert found == [ConnectionFlag.CLOSED | ConnectionFlag.BEST_EFFORT]
    report_outcome("close event withheld, and the socket address reused", "reported once")
