"""Attach loaded programs: to tracepoints, to kernel functions by BTF, to kernel functions by kprobe.

Every function returns a descriptor; the program stays attached until it is closed or the process exits.  perf_event_open(2), bpf(2); structures in include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from pathlib import Path

from sockscope.bpf import syscall

#: Where the kernel says that perf_event_open can make kprobes (4.17, commit e12f03d7031a).
KPROBES = Path("/sys/bus/event_source/devices/kprobe")

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_PERF_TYPE_SOFTWARE, _PERF_TYPE_TRACEPOINT = 1, 2
_PERF_COUNT_SW_CPU_CLOCK = 0
_PERF_ATTR_FREQUENCY = 1 << 10
_PERF_ATTR_SIZE = 72  # PERF_ATTR_SIZE_VER1
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_SET_BPF, _PERF_ENABLE = 0x40042408, 0x2400
_libc = ctypes.CDLL(None, use_errno=True)


def attach_raw(place: str, program: int) -> int:
    """Attach to the raw tracepoint ``place``."""
    name = ctypes.create_string_buffer(place.encode())
    return syscall.bpf(syscall.RAW_TRACEPOINT_OPEN, struct.pack("<QIxxxx", ctypes.addressof(name), program))


def attach_function(program: int) -> int:
    """Attach an fentry, fexit or typed program to the function or tracepoint that it was loaded for (5.5)."""
    return syscall.bpf(syscall.RAW_TRACEPOINT_OPEN, struct.pack("<QIxxxx", 0, program))


def attach_tracepoint(number: int, program: int) -> int:
    """Attach to the tracepoint with this id, on all CPUs.

    A program set on one event of a tracepoint runs wherever it fires.
    """
    return _attach(_event(_PERF_TYPE_TRACEPOINT, number), program)


def attach_kprobe(function: str, program: int, *, at_return: bool) -> int:
    """Attach to a kernel function's entry or return, on all CPUs."""
    return _attach(open_kprobe(function, at_return=at_return), program)


def open_kprobe(function: str, *, at_return: bool) -> int:
    """Open a kprobe without a program, to check whether the kernel allows it.

    :raises OSError: without kprobes, without such a function, or when it may not be probed
    """
    name = ctypes.create_string_buffer(function.encode())
    kind = int((KPROBES / "type").read_text())
    bit = (KPROBES / "format" / "retprobe").read_text().strip().removeprefix("config:")
    return _event(kind, 1 << int(bit) if at_return else 0, ctypes.addressof(name))


def attach_sampler(hz: int, cpu: int, program: int) -> int:
    """Run a program of type perf_event ``hz`` times per second of the CPU clock of ``cpu``."""
    # struct perf_event_attr: type, size, config, sample_freq, sample_type, read_format, bits
    attributes = struct.pack(
        "<IIQQQQQ",
        _PERF_TYPE_SOFTWARE,
        _PERF_ATTR_SIZE,
        _PERF_COUNT_SW_CPU_CLOCK,
        hz,
        0,
        0,
        _PERF_ATTR_FREQUENCY,
    )
    return _attach(_open(attributes, cpu), program)


def _event(kind: int, config: int, where: int = 0) -> int:
    # struct perf_event_attr: type, size, config, sample_period; config1 at 56
    attributes = struct.pack("<IIQQ", kind, _PERF_ATTR_SIZE, config, 1).ljust(56, b"\0")
    attributes += struct.pack("<QQ", where, 0)
    return _open(attributes, 0)


def _open(attributes: bytes, cpu: int) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(_PERF_ATTR_SIZE, b"\0"), _PERF_ATTR_SIZE)
    event = _libc.syscall(
        _PERF_EVENT_OPEN[platform.machine()], ctypes.byref(buffer), -1, cpu, -1, _PERF_FLAG_FD_CLOEXEC
    )
    if event < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(event)


def _attach(event: int, program: int) -> int:
    try:
        fcntl.ioctl(event, _PERF_SET_BPF, program)
        fcntl.ioctl(event, _PERF_ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    return event
