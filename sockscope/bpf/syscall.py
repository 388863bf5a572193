"""The bpf(2) system call, for what bcc does slowly or not at all.

bcc reads maps one element per call and cannot create iterators. Structures: union bpf_attr in
include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Any

_NUMBERS = {"x86_64": 321, "aarch64": 280}
_libc = ctypes.CDLL(None, use_errno=True)

MAP_CREATE, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM, PROG_LOAD = 0, 1, 2, 3, 5
PROG_TEST_RUN, OBJ_GET_INFO_BY_FD = 10, 15
RAW_TRACEPOINT_OPEN = 17
MAP_LOOKUP_AND_DELETE_ELEM = 21
MAP_LOOKUP_BATCH = 24
LINK_CREATE, ENABLE_STATS, ITER_CREATE = 28, 32, 33
TRACE_ITER = 28

NO_EXIST = 1

#: GPL-2.0-only OR MIT, in the kernel's terms (include/linux/license.h): the probes call helpers
#: that only programs under the GPL are given.
LICENCE = b"Dual MIT/GPL"
_NAME_ROOM = 15
_LOG_ROOM = 1 << 20

# enum bpf_prog_type
_PROGRAM_TYPES = {
    "kprobe": 2,
    "kretprobe": 2,
    "tracepoint": 5,
    "perf_event": 7,
    "raw": 17,
    "sk_reuseport": 21,
    "typed": 26,
    "iterator": 26,
    "fentry": 26,
    "fexit": 26,
}
# enum bpf_attach_type of those that BTF leads to their kernel function, or to their tracepoint
_ATTACH_TYPES = {"sk_reuseport": 39, "typed": 23, "fentry": 24, "fexit": 25, "iterator": TRACE_ITER}


class VerifierError(Exception):
    """The last line of the verifier about a program that it refused."""


def bpf(command: int, attributes: bytes) -> int:
    """Call bpf(2) and return its result.

    :raises OSError: with the kernel's errno
    """
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return bpf_in_place(command, buffer)


def bpf_in_place(command: int, buffer: Any) -> int:
    """Call bpf(2) on a ctypes buffer that the kernel writes results to."""
    number = _NUMBERS[platform.machine()]
    result = _libc.syscall(number, command, ctypes.byref(buffer), ctypes.sizeof(buffer))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def create_map(name: str, kind: int, key_size: int, value_size: int, max_entries: int, flags: int) -> int:
    """Create a map and return its descriptor."""
    head = struct.pack("<IIIIIII", kind, key_size, value_size, max_entries, flags, 0, 0)
    return bpf(MAP_CREATE, head + name.encode()[:_NAME_ROOM].ljust(16, b"\0"))


def map_info(descriptor: int) -> tuple[int, int, int, int, int]:
    """Return (kind, key size, value size, maximum entries, flags) of a map: struct bpf_map_info."""
    info = ctypes.create_string_buffer(80)
    attributes = struct.pack("<IIQ", descriptor, len(info), ctypes.addressof(info))
    bpf(OBJ_GET_INFO_BY_FD, attributes)
    kind, _, key_size, value_size, max_entries, flags = struct.unpack_from("<IIIIII", info.raw)
    return kind, key_size, value_size, max_entries, flags


def load_program(name: str, kind: str, code: bytes, function: int = 0) -> int:
    """Load a program and return its descriptor.

    :param kind: a key of ``_PROGRAM_TYPES``
    :param function: BTF id of the kernel function, for kinds that are bound to one (an iterator has one)
    :raises VerifierError: with the verifier's last line, or the kernel's errno in words
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(LICENCE)

    def attempt(log: Any) -> int:
        level, room, where = (1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)
        attributes = struct.pack(
            "<IIQQIIQII16sIIIIQIIQII",
            _PROGRAM_TYPES[kind],
            len(code) // 8,
            ctypes.addressof(instructions),
            ctypes.addressof(licence),
            level,
            room,
            where,
            0,  # kern_version
            0,  # prog_flags
            name.encode()[:_NAME_ROOM],
            0,  # prog_ifindex
            _ATTACH_TYPES.get(kind, 0),
            *(0, 0, 0, 0, 0, 0, 0),  # BTF of the program itself: none
            function,
        )
        return bpf(PROG_LOAD, attributes)

    try:
        return attempt(None)
    except OSError as refused:
        log = ctypes.create_string_buffer(_LOG_ROOM)
        try:
            return attempt(log)  # again, with the log of the verifier
        except OSError:
            said = [line for line in log.value.decode("utf-8", "replace").splitlines() if line.strip()]
            messages = [line for line in said if not line.startswith(("processed ", "verification time"))]
            raise VerifierError(messages[-1] if messages else str(refused.strerror)) from refused


def read_iterator(program: int) -> bytes:
    """Run a BPF iterator program once and return all that it wrote.

    :param program: descriptor of a loaded program of expected attach type BPF_TRACE_ITER
    """
    link = bpf(LINK_CREATE, struct.pack("<IIIIQI", program, 0, TRACE_ITER, 0, 0, 0) + bytes(36))
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


def run_program(program: int, *arguments: int) -> int:
    """Run the program of a raw tracepoint once and return its result (32 bits).

    BPF_PROG_TEST_RUN of such programs: Linux 5.10, commit 1b4d60ec162f.

    :param arguments: ``ctx->args`` of the program, 64 bits each: at least as many as it reads
    :raises OSError: when the kernel does not run it
    """
    context = ctypes.create_string_buffer(struct.pack(f"<{len(arguments)}Q", *arguments), 8 * len(arguments))
    attributes = ctypes.create_string_buffer(
        struct.pack(
            "<IIIIQQIIIIQQIII4x",
            program,
            *(0, 0, 0, 0, 0, 0, 0),  # retval, data in and out, repeat, duration
            len(context),
            0,
            ctypes.addressof(context),
            *(0, 0, 0, 0),  # context out, flags, CPU, size of a batch
        )
    )
    bpf_in_place(PROG_TEST_RUN, attributes)
    return int(struct.unpack_from("<I", attributes.raw, 4)[0])


def enable_stats() -> int:
    """Switch BPF run-time statistics on until the returned descriptor is closed (5.8)."""
    return bpf(ENABLE_STATS, struct.pack("<I", 0))


def run_time(program: int) -> tuple[int, int, int]:
    """Return (nanoseconds, runs, misses) of a program: struct bpf_prog_info.

    The first two count only while statistics are enabled. A miss is a run that the kernel skipped
    because of BPF program recursion on the same CPU (5.12, commit 9ed9e9ba2337).
    """
    info = ctypes.create_string_buffer(232)
    attributes = ctypes.create_string_buffer(
        struct.pack("<IIQ", program, len(info), ctypes.addressof(info)), 16
    )
    bpf_in_place(OBJ_GET_INFO_BY_FD, attributes)
    run_time_ns, run_count, misses = struct.unpack_from("<QQQ", info.raw, 192)
    return run_time_ns, run_count, misses
