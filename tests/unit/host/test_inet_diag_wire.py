"""inet_diag's bytes, made up: decoding in bulk says what decoding one by one says."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockscope.host import inet_diag_wire

#: An emulated machine is slow, and that is no fault.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SEQUENCE = 7
u32 = st.integers(0, 2**32 - 1)


@dataclass
class Told:
    """One socket as a test says it."""

    family: int
    state: int
    port: int
    address: bytes
    interface: int
    cookie: int
    queue: int
    backlog: int
    uid: int
    inode: int
    drops: int | None
    before: list[tuple[int, bytes]] = field(default_factory=list)
    behind: list[tuple[int, bytes]] = field(default_factory=list)

    def message(self) -> bytes:
        body = struct.pack("=BBBB", self.family, self.state, 0, 0)
        body += struct.pack(">HH", self.port, 0) + self.address.ljust(16, b"\0") + bytes(16)
        body += struct.pack("=IQI", self.interface, self.cookie, 0)
        body += struct.pack("=IIII", self.queue, self.backlog, self.uid, self.inode)
        memory = [(7, bytes(32) + struct.pack("=I", self.drops))] if self.drops is not None else []
        for kind, payload in [*self.before, *memory, *self.behind]:
            body += struct.pack("=HH", 4 + len(payload), kind) + payload.ljust(
                -(-len(payload) // 4) * 4, b"\0"
            )
        return message(inet_diag_wire.SOCK_DIAG_BY_FAMILY, body)


def message(kind: int, body: bytes, sequence: int = SEQUENCE) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, sequence, 0) + body.ljust(
        -(-len(body) // 4) * 4, b"\0"
    )


attribute = st.tuples(st.sampled_from([1, 2, 4, 8, 11, 15, 17, 21, 22]), st.binary(max_size=12))


@st.composite
def told_sockets(draw: st.DrawFn) -> Told:
    family = draw(st.sampled_from([socket.AF_INET, socket.AF_INET6]))
    size = 4 if family == socket.AF_INET else 16
    return Told(
        family=family,
        state=draw(st.sampled_from([inet_diag_wire.LISTEN, inet_diag_wire.SYN_RECV])),
        port=draw(st.integers(0, 65535)),
        address=draw(st.binary(min_size=size, max_size=size)),
        interface=draw(u32),
        cookie=draw(st.integers(0, 2**64 - 1)),
        queue=draw(u32),
        backlog=draw(u32),
        uid=draw(u32),
        inode=draw(u32),
        drops=draw(st.none() | u32),
        before=draw(st.lists(attribute, max_size=3)),
        behind=draw(st.lists(attribute, max_size=2)),
    )


# most real dumps are long runs of one shape with a few others between
some_sockets = st.lists(
    st.tuples(told_sockets(), st.integers(1, 4)).map(lambda pair: [pair[0]] * pair[1]), max_size=8
).map(lambda parts: [told for part in parts for told in part])


@patient
@given(some_sockets)
def test_bulk_decoding_keeps_every_field_of_every_socket(told: list[Told]) -> None:
    rows = list(inet_diag_wire.runs(b"".join(each.message() for each in told)))
    found = [socket for run in rows for socket in inet_diag_wire.sockets(run)]
    assert len(found) == len(told)
    for got, said in zip(found, told, strict=True):
        for name in ("family", "state", "port", "interface", "cookie", "queue", "backlog", "uid", "inode"):
            assert got[name] == getattr(said, name), name
        mapped = bytes(10) + b"\xff\xff" + said.address if said.family == socket.AF_INET else said.address
        assert got["address"].tobytes() == mapped
        assert got["drops"] == (said.drops or 0)


@patient
@given(some_sockets)
def test_messages_of_one_length_decode_together_whatever_their_attributes(told: list[Told]) -> None:
    by_length: dict[int, list[bytes]] = {}
    for each in told:
        by_length.setdefault(len(each.message()), []).append(each.message())
    for same in by_length.values():
        rows = np.frombuffer(b"".join(same), np.uint8).reshape(len(same), -1)
        alone = np.concatenate([inet_diag_wire.sockets(row.reshape(1, -1)) for row in rows])
        assert inet_diag_wire.sockets(rows).tobytes() == alone.tobytes()


@patient
@given(st.binary(max_size=300))
def test_garbage_is_refused_or_cut_into_rows_but_never_loops_or_reads_beyond(garbage: bytes) -> None:
    taken = 0
    try:
        for rows in inet_diag_wire.runs(garbage):
            taken += rows.size
            inet_diag_wire.heading(rows)
            if rows.shape[1] >= 88:
                assert len(inet_diag_wire.sockets(rows)) == len(rows)
    except ValueError:
        pass
    assert taken <= len(garbage)


@patient
@given(told_sockets(), st.data())
def test_a_message_cut_short_is_refused(told: Told, data: st.DataObject) -> None:
    whole = told.message()
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(ValueError, match="message of"):
        list(inet_diag_wire.runs(whole[:cut]))


def test_a_message_too_short_for_a_socket_is_refused() -> None:
    (rows,) = inet_diag_wire.runs(message(inet_diag_wire.SOCK_DIAG_BY_FAMILY, bytes(20)))
    with pytest.raises(ValueError, match="36 bytes"):
        inet_diag_wire.sockets(rows)


def test_the_end_of_a_dump_tells_its_status() -> None:
    chunk = message(inet_diag_wire.NLMSG_DONE, struct.pack("=i", -2)) + message(
        inet_diag_wire.NLMSG_DONE, struct.pack("=i", 0)
    )
    (rows,) = inet_diag_wire.runs(chunk)
    assert inet_diag_wire.heading(rows) == (inet_diag_wire.NLMSG_DONE, SEQUENCE, -2)
    assert inet_diag_wire.heading(rows[1:]) == (inet_diag_wire.NLMSG_DONE, SEQUENCE, 0)


def test_the_question_is_the_one_that_pyroute2_would_ask() -> None:
    from pyroute2.netlink.diag import inet_diag_req

    request = inet_diag_req(inet_diag_wire.question(socket.AF_INET6, 1 << 10, 99))
    request.decode()
    assert request["header"]["type"] == 20
    assert request["header"]["flags"] == 0x301
    assert request["header"]["sequence_number"] == 99
    assert request["sdiag_family"] == socket.AF_INET6
    assert request["sdiag_protocol"] == socket.IPPROTO_TCP
    assert request["idiag_ext"] == 1 << 6
    assert request["idiag_states"] == 1 << 10
    assert request["idiag_sport"] == request["idiag_dport"] == 0


@patient
@given(st.sets(st.integers(1, 65535), min_size=1, max_size=30), st.data())
def test_the_filter_takes_its_ports_and_no_other(ports: set[int], data: st.DataObject) -> None:
    asked = inet_diag_wire.question(socket.AF_INET, 1 << 10, 1, ports)
    plain = inet_diag_wire.question(socket.AF_INET, 1 << 10, 1)
    length, kind = struct.unpack_from("=HH", asked, len(plain))
    assert (len(plain) + length, kind) == (len(asked), 1)
    program = asked[len(plain) + 4 :]
    assert audited(program)
    for port in data.draw(st.sets(st.integers(1, 65535), max_size=30)) | ports:
        assert accepted(program, port) == (port in ports)


def accepted(program: bytes, port: int) -> bool:
    """inet_diag_bc_run of net/ipv4/inet_diag.c, as far as these operations go."""
    at = 0
    while len(program) - at > 0:
        code, yes, no = struct.unpack_from("=BBH", program, at)
        if code == 11:
            holds = struct.unpack_from("=BBH", program, at + 4)[2] == port
        else:
            assert code == 1
            holds = False
        at += yes if holds else no
    return at == len(program)


def audited(program: bytes) -> bool:
    """inet_diag_bc_audit of net/ipv4/inet_diag.c."""
    at, starts = 0, []
    while at < len(program):
        starts.append(at)
        code, yes, no = struct.unpack_from("=BBH", program, at)
        least, left = (8 if code == 11 else 4), len(program) - at
        if any(step < least or step > left + 4 or step % 4 for step in (yes, no)):
            return False
        at += yes
    targets = [at + struct.unpack_from("=BBH", program, at)[2] for at in starts]
    return at == len(program) and all(target in starts for target in targets if target < len(program))
