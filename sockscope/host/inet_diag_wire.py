"""The wire format of inet_diag: requests as bytes, replies as arrays.

A library that creates one object per message decodes some 7,000 per second; a listener under a
SYN flood has more than that. Here all messages of one layout become one array.
Formats: include/uapi/linux/inet_diag.h, sock_diag.h and netlink.h of Linux (the host's byte order,
but ports and addresses in that of the network).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

import numpy as np

from sockscope.records.batch import Records

AF_INET, AF_INET6 = 2, 10
SYN_RECV, LISTEN = 3, 10
SOCK_DIAG_BY_FAMILY, NLMSG_ERROR, NLMSG_DONE = 20, 2, 3

#: A socket as reported by inet_diag: ``address`` is 16 bytes, IPv4 as IPv4-mapped; of a listener
#: ``queue`` and ``backlog`` are its accept queue's length and limit; ``drops`` is 0 where the
#: kernel sent none; ``interface`` is the device it is bound to (SO_BINDTODEVICE) or 0.
SOCKET = np.dtype(
    [
        ("cookie", "<u8"),
        ("inode", "<u4"),
        ("uid", "<u4"),
        ("interface", "<u4"),
        ("address", "u1", 16),
        ("port", "<u2"),
        ("family", "u1"),
        ("state", "u1"),
        ("queue", "<u4"),
        ("backlog", "<u4"),
        ("drops", "<u4"),
    ]
)

_HEADER = struct.Struct("=IHHII")
_LENGTH = struct.Struct("=I")
_REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2 with an empty inet_diag_sockid
_ANSWER = np.dtype(
    [
        ("header", "u1", 16),
        ("family", "u1"),
        ("state", "u1"),
        ("timers", "u1", 2),
        ("port", ">u2"),
        ("remote_port", ">u2"),
        ("address", "u1", 16),
        ("remote", "u1", 16),
        ("interface", "=u4"),
        ("cookie", "=u8"),
        ("expires", "=u4"),
        ("queue", "=u4"),
        ("backlog", "=u4"),
        ("uid", "=u4"),
        ("inode", "=u4"),
    ]
)
_TCP = 6
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_INET_DIAG_REQ_BYTECODE = 1
_INET_DIAG_SKMEMINFO = 7
_SK_MEMINFO_DROPS = 8 * 4
_JMP, _SOURCE_PORT_IS = 1, 11


def question(family: int, states: int, sequence: int, ports: Collection[int] = ()) -> bytes:
    """Return the request for a dump of TCP sockets of ``family`` in ``states`` (bits), on local ``ports`` if given."""
    body = _REQUEST.pack(family, _TCP, 1 << (_INET_DIAG_SKMEMINFO - 1), states)
    if ports:
        program = _one_of(sorted(set(ports)))
        body += struct.pack("=HH", 4 + len(program), _INET_DIAG_REQ_BYTECODE) + program
    return _HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, _DUMP, sequence, 0) + body


def _one_of(ports: list[int]) -> bytes:
    """Return a filter for the kernel, of {code, offset if true, offset if false}; the third has a port.

    Reaching the end accepts a socket, jumping four bytes beyond the end rejects it.
    INET_DIAG_BC_S_EQ: be1f190d0f8c "inet_diag: Add equal-operator for ports", Linux 4.16.
    """
    operation = struct.Struct("=BBH").pack
    program = b""
    for left, port in zip(range(len(ports), 0, -1), ports, strict=True):
        program += operation(_SOURCE_PORT_IS, 8, 12 if left > 1 else 16) + operation(0, 0, port)
        program += operation(_JMP, 4, 12 * left - 8)
    return program


def runs(chunk: bytes) -> Iterator[Records]:
    """Yield the messages of one ``recv`` as rows of bytes, one run of messages of equal length at a time.

    :raises ValueError: when a message is truncated
    """
    octets: Records = np.frombuffer(chunk, np.uint8)
    at = 0
    while at < len(octets):
        length = _LENGTH.unpack_from(chunk, at)[0] if at + 4 <= len(octets) else 0
        stride = length + 3 & ~3
        if length < _HEADER.size or at + length > len(octets):
            raise ValueError(f"message of {length} bytes with {len(octets) - at} left")
        rows = octets[at : at + length].reshape(1, length)
        if stride <= len(octets) - at:
            several = octets[at : len(octets) - (len(octets) - at) % stride].reshape(-1, stride)
            alike = (several[:, :12] == several[0, :12]).all(axis=1)  # length, type, flags, sequence
            rows = several[: len(several) if alike.all() else int(alike.argmin()), :length]
        yield rows
        at += len(rows) * stride


def heading(rows: Records) -> tuple[int, int, int]:
    """Return type and sequence number of the messages of a run, and the status that ends a dump (0 or -errno)."""
    _, kind, _, sequence, _ = _HEADER.unpack_from(rows[0].tobytes())
    told = rows[0, _HEADER.size : _HEADER.size + 4].tobytes()
    return kind, sequence, struct.unpack("=i", told)[0] if len(told) == 4 else 0


def sockets(rows: Records) -> Records:
    """Return SOCKET records of messages of one length.

    :raises ValueError: when the messages are too short for a socket
    """
    if rows.shape[1] < _ANSWER.itemsize:
        raise ValueError(f"inet_diag message of {rows.shape[1]} bytes")
    told = np.ascontiguousarray(rows[:, : _ANSWER.itemsize]).view(_ANSWER)[:, 0]
    found = np.zeros(len(rows), SOCKET)
    for name in ("cookie", "inode", "uid", "interface", "port", "family", "state", "queue", "backlog"):
        found[name] = told[name]
    found["address"] = told["address"]
    v4 = told["family"] == AF_INET
    if v4.any():
        found["address"][v4, :10] = 0
        found["address"][v4, 10:12] = 0xFF
        found["address"][v4, 12:] = told["address"][v4, :4]
    found["drops"] = _drops(rows)
    return found


def _drops(rows: Records) -> Records:
    """Return sk_drops from the attributes of each message, whose layout is nearly always the same."""
    drops = np.zeros(len(rows), np.uint32)
    alike = np.ones(len(rows), bool)
    at, end = _ANSWER.itemsize, rows.shape[1]
    while at + 4 <= end:
        heads = np.ascontiguousarray(rows[:, at : at + 4])
        alike &= (heads == heads[0]).all(axis=1)
        length, kind = heads[0].view("=u2").tolist()
        if kind == _INET_DIAG_SKMEMINFO and length >= 8 + _SK_MEMINFO_DROPS and at + length <= end:
            value = rows[:, at + 4 + _SK_MEMINFO_DROPS : at + 8 + _SK_MEMINFO_DROPS]
            drops[:] = np.ascontiguousarray(value).view("=u4")[:, 0]
            break
        if length < 4:
            break
        at += length + 3 & ~3
    if not alike.all():
        drops[~alike] = _drops(rows[~alike])
    return drops
