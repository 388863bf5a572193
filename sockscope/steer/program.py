"""The SK_REUSEPORT program: compiled for a policy, loaded, and its state mapped."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import time
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from sockscope.bpf import attaching, syscall
from sockscope.bpf.btf import Btf
from sockscope.bpf.loader import ProgramSpec, load
from sockscope.bpf.maps import Map
from sockscope.bpf.object_cache import Function
from sockscope.errors import SockscopeError
from sockscope.steer.groups import PROGRAM_NAME, compile_program, offset_defines

#: Policy → (its number in the BPF C, what it does).
POLICIES: dict[str, tuple[int, str]] = {
    "least-loaded": (
        1,
        "the member with the fewest queued, starting and running jobs, then open connections",
    ),
    "avoid-stalled": (2, "the hash, without members that have been away from their event loop for --stall"),
    "cpu-local": (3, "a member whose worker last ran on the CPU that received the SYN"),
    "weighted": (4, "shares by --weight"),
}
MEMBERS_MAX = 64

_OFFSETS = {
    "SK_ACK_BACKLOG": ("sock", "sk_ack_backlog"),
    "SYN_QUEUE": ("inet_connection_sock", "icsk_accept_queue.qlen"),
    "LISTENER_LINK": ("tcp_sock", "tsq_node"),
}
_TASK_CPU = (("task_struct", "thread_info.cpu"), ("task_struct", "cpu"), ("task_struct", "wake_cpu"))

_MEMBER = np.dtype(
    [
        ("socket", "<u8"),
        ("sleepers", "<u8"),
        ("task", "<u8"),
        ("picked", "<u8"),
        ("turn", "<u8"),
        ("turn_step", "<u8"),
        ("progress_ns", "<u8"),
        ("sampled_ns", "<u8"),
        ("accepted", "<u8"),
        ("busy_samples", "<u8"),
        ("samples", "<u8"),
        ("open", "<i8"),
        ("arrivals", "<u8"),
        ("busy", "<u4"),
        ("absent", "<u4"),
    ]
)
_CONTROL = np.dtype(
    [
        ("lease_ns", "<u8"),
        ("stall_ns", "<u8"),
        ("count", "<u4"),
        ("sockets", "<u4"),
        ("steered", "<u8"),
        ("fallback_lease", "<u8"),
        ("fallback_eligible", "<u8"),
        ("fallback_select", "<u8"),
        ("children_full", "<u8"),
        ("unused", "<u8"),
        ("by_hash", "<u8", MEMBERS_MAX),
        ("member", _MEMBER, MEMBERS_MAX),
    ]
)
_SOCKARRAY = 0x736F636B61727279  # SOCKARRAY in steer.bpf.c
_MAP_REUSEPORT_SOCKARRAY = 20
_PROG_GET_FD_BY_ID, _MAP_GET_FD_BY_ID = 13, 14
#: A map that was given up is freed a moment later, and until then its sockets cannot be in another.
_BUSY_S = 3.0


class SteeringProgram:
    """The program and its maps, loaded and not attached.  Use as a context manager.

    :raises SockscopeError: when the kernel refuses
    """

    def __init__(self, btf: Btf, policy: str) -> None:
        defines = [f"-DPOLICY={POLICIES[policy][0]}", *offset_defines(btf, _OFFSETS), _task_cpu(btf)]
        image = compile_program(
            "steer", defines, [PROGRAM_NAME, "on_state"], ["control", "member_of", "children"]
        )
        self.sockarray = syscall.create_map("steer_members", _MAP_REUSEPORT_SOCKARRAY, 4, 8, MEMBERS_MAX, 0)
        try:
            functions = dict(image.functions)
            functions[PROGRAM_NAME] = _with_sockarray(functions[PROGRAM_NAME], self.sockarray)
            self._loaded = load(
                replace(image, functions=functions),
                {},
                {
                    PROGRAM_NAME: ProgramSpec(PROGRAM_NAME, "sk_reuseport"),
                    "on_state": ProgramSpec("on_state", "raw"),
                },
            )
        except BaseException:
            os.close(self.sockarray)
            raise
        self.fd = self._loaded.programs[PROGRAM_NAME]
        self.id = program_id(self.fd)
        self.member_of = Map(self._loaded.maps["member_of"], np.dtype("<u8"), np.dtype("<u4"))
        self._mapped = mmap.mmap(self._loaded.maps["control"], _pages(_CONTROL.itemsize))
        self.control: Any = np.frombuffer(self._mapped, _CONTROL, 1)[0]
        self._links: list[int] = []

    def count_open(self) -> None:
        """Begin to count connections per member."""
        self._links.append(attaching.attach_raw("inet_sock_set_state", self._loaded.programs["on_state"]))

    def put(self, slot: int, descriptor: int) -> None:
        """Put a socket into the sockarray.

        :raises SockscopeError: when the socket is in that of another program
        """
        deadline = time.monotonic() + _BUSY_S
        key, value = np.array([slot], "<u4"), np.array([descriptor], "<u8")
        attributes = struct.pack("<IIQQQ", self.sockarray, 0, key.ctypes.data, value.ctypes.data, 0)
        while True:
            try:
                syscall.bpf(syscall.MAP_UPDATE_ELEM, attributes)
                return
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                if time.monotonic() > deadline:
                    raise SockscopeError(
                        "a member is in the socket array of another program",
                        hint="another steering program is loaded; bpftool map lists it",
                    ) from None
                time.sleep(0.05)

    def run_time(self) -> tuple[int, int]:
        """Return (nanoseconds, runs) of the selecting program while BPF statistics were on."""
        return syscall.run_time(self.fd)[:2]

    def close(self) -> None:
        """Give everything back to the kernel."""
        for link in self._links:
            os.close(link)
        self._links = []
        del self.control
        with contextlib.suppress(BufferError):  # somebody holds a view: it is unmapped with that
            self._mapped.close()
        self._loaded.close()
        os.close(self.sockarray)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def program_id(descriptor: int) -> int:
    """Return the id of a loaded program."""
    return int(struct.unpack_from("<I", _info(descriptor, 232), 4)[0])


def lease_of(number: int) -> int:
    """Return until when the steering program with this id selects (CLOCK_MONOTONIC), 0 if unknown."""
    try:
        program = syscall.bpf(_PROG_GET_FD_BY_ID, struct.pack("<IIII", number, 0, 0, 0))
    except OSError:
        return 0
    try:
        ids = np.zeros(8, "<u4")
        info = bytearray(232)
        struct.pack_into("<I", info, 52, len(ids))  # nr_map_ids
        struct.pack_into("<Q", info, 56, ids.ctypes.data)  # map_ids
        _info(program, 232, bytes(info))
    finally:
        os.close(program)
    for map_number in ids.tolist():
        try:
            held = syscall.bpf(_MAP_GET_FD_BY_ID, struct.pack("<IIII", map_number, 0, 0, 0))
        except OSError:
            continue
        try:
            _, key_size, value_size, _, _ = syscall.map_info(held)
            if key_size == 4 and value_size == _CONTROL.itemsize:
                value = Map(held, np.dtype("<u4"), _CONTROL).get(0)
                return 0 if value is None else int(value["lease_ns"])
        finally:
            os.close(held)
    return 0


def _info(descriptor: int, size: int, given: bytes = b"") -> bytes:
    import ctypes

    info = ctypes.create_string_buffer(given, size)
    syscall.bpf(syscall.OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", descriptor, size, ctypes.addressof(info)))
    return info.raw


def _with_sockarray(function: Function, descriptor: int) -> Function:
    """Replace the placeholder in the byte code by a reference to the sockarray."""
    code = bytearray(function.code)
    low, high = _SOCKARRAY & 0xFFFFFFFF, _SOCKARRAY >> 32
    for at in range(0, len(code) - 8, 8):
        if code[at] == 0x18 and (
            struct.unpack_from("<I", code, at + 4)[0],
            struct.unpack_from("<I", code, at + 12)[0],
        ) == (low, high):
            code[at + 1] |= 1 << 4  # BPF_PSEUDO_MAP_FD
            struct.pack_into("<I", code, at + 4, descriptor)
            struct.pack_into("<I", code, at + 12, 0)
    return Function(bytes(code), function.maps)


def _task_cpu(btf: Btf) -> str:
    number = btf.structs(["task_struct"])["task_struct"]
    for _, path in _TASK_CPU:
        field = btf.field(number, path)
        if field is not None:
            return f"-DTASK_CPU={field.offset}"
    raise SockscopeError("the kernel's BTF lacks the CPU of a task", hint="please report it")


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
