"""The bpf(2) system call, for what bcc does slowly or not at all.

bcc reads a map one element a call and cannot create iterators.  Structures: union bpf_attr in
include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from typing import Any

_NUMBERS = {"x86_64": 321, "aarch64": 280}
_libc = ctypes.CDLL(None, use_errno=True)

MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM = 1, 2, 3
OBJ_GET_INFO_BY_FD = 15
RAW_TRACEPOINT_OPEN = 17
MAP_LOOKUP_BATCH = 24
LINK_CREATE, ENABLE_STATS, ITER_CREATE = 28, 32, 33
TRACE_ITER = 28

# include/uapi/linux/perf_event.h
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_PERF_TYPE_TRACEPOINT = 2
_PERF_ATTR_SIZE = 64  # PERF_ATTR_SIZE_VER0
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_SET_BPF, _PERF_ENABLE = 0x40042408, 0x2400
NO_EXIST = 1


def bpf(command: int, attributes: bytes) -> int:
    """One call; returns what the kernel returns.

    :raises OSError: with the kernel's errno
    """
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return bpf_in_place(command, buffer)


def bpf_in_place(command: int, buffer: Any) -> int:
    """As :func:`bpf`, on a ctypes buffer that the kernel may write answers into."""
    number = _NUMBERS[platform.machine()]
    result = _libc.syscall(number, command, ctypes.byref(buffer), ctypes.sizeof(buffer))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def read_iterator(program: int) -> bytes:
    """Run a BPF iterator program once and return all that it wrote.

    :param program: descriptor of a loaded program of expected attach type BPF_TRACE_ITER
    """
    link = bpf(LINK_CREATE, struct.pack("<IIII", program, 0, TRACE_ITER, 0) + bytes(48))
    try:
        reader = bpf(ITER_CREATE, struct.pack("<II", link, 0))
    finally:
        os.close(link)
    try:
        parts: list[bytes] = []
        while True:
            try:
                part = os.read(reader, 1 << 16)
            except BlockingIOError:  # the kernel paused between two batches of objects: read on
                continue
            if not part:
                return b"".join(parts)
            parts.append(part)
    finally:
        os.close(reader)


def enable_stats() -> int:
    """Switch BPF run-time statistics on until the returned descriptor is closed (5.8)."""
    return bpf(ENABLE_STATS, struct.pack("<I", 0))


def run_time(program: int) -> tuple[int, int]:
    """(nanoseconds, runs) of a program while statistics were on: struct bpf_prog_info."""
    info = ctypes.create_string_buffer(232)
    attributes = ctypes.create_string_buffer(
        struct.pack("<IIQ", program, len(info), ctypes.addressof(info)), 16
    )
    bpf_in_place(OBJ_GET_INFO_BY_FD, attributes)
    run_time_ns, run_count = struct.unpack_from("<QQ", info.raw, 192)
    return run_time_ns, run_count


def attach_raw(place: str, program: int) -> int:
    """Attach to a raw tracepoint until the returned descriptor is closed."""
    name = ctypes.create_string_buffer(place.encode())
    return bpf(RAW_TRACEPOINT_OPEN, struct.pack("<QIxxxx", ctypes.addressof(name), program))


def attach_tracepoint(number: int, program: int) -> int:
    """Attach to the tracepoint of that id, on all CPUs, until the returned descriptor is closed.

    perf_event_open(2): a program set on one event of a tracepoint runs wherever it fires.
    """
    attributes = struct.pack("<IIQQ", _PERF_TYPE_TRACEPOINT, _PERF_ATTR_SIZE, number, 1).ljust(
        _PERF_ATTR_SIZE, b"\0"
    )
    buffer = ctypes.create_string_buffer(attributes, _PERF_ATTR_SIZE)
    event = _libc.syscall(
        _PERF_EVENT_OPEN[platform.machine()], ctypes.byref(buffer), -1, 0, -1, _PERF_FLAG_FD_CLOEXEC
    )
    if event < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    try:
        fcntl.ioctl(event, _PERF_SET_BPF, program)
        fcntl.ioctl(event, _PERF_ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    return int(event)
