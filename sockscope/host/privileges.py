"""Capabilities of this process: query, require and drop them.

See capabilities(7), capset(2). Since Linux 5.8 CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from sockscope.errors import SockscopeError

_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS = 8
_libc = ctypes.CDLL(None, use_errno=True)


class Capability(IntEnum):
    """Bits of include/uapi/linux/capability.h."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    KILL = 5
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    PERFMON = 38
    BPF = 39

    def __str__(self) -> str:
        return f"CAP_{self.name}"


@dataclass(frozen=True)
class Need:
    """What a capability is needed for; without one that is not ``needed`` tracing works with limitations."""

    capability: Capability
    why: str
    needed: bool


NEEDS = (
    Need(Capability.BPF, "load the probes and read their maps", True),
    Need(Capability.PERFMON, "attach them, and let them read kernel memory", True),
    Need(Capability.DAC_READ_SEARCH, "look up tracepoints in tracefs, which is root's", True),
    Need(Capability.SYS_PTRACE, "see which sockets and namespaces other users' processes have", False),
    Need(Capability.SYS_ADMIN, "measure what the probes cost, and ask other network namespaces", False),
)

#: Capabilities that a running tracer keeps.
KEPT = frozenset({Capability.BPF, Capability.PERFMON, Capability.SYS_PTRACE})
#: Kept as well, but only effective while used (:func:`raised`).
AT_MOMENTS = frozenset({Capability.SYS_ADMIN})


def effective() -> frozenset[Capability]:
    """Return the effective capabilities of this thread that are listed here."""
    return _in(_masks()[0])


def missing() -> list[Need]:
    """Return the needs of tracing that this thread lacks."""
    held = effective()
    stood_in = {Capability.BPF, Capability.PERFMON} if Capability.SYS_ADMIN in held else set()
    return [need for need in NEEDS if need.capability not in held | stood_in]


def require() -> None:
    """Check that tracing is possible.

    :raises SockscopeError: otherwise, with the missing capabilities
    """
    lacking = [need for need in missing() if need.needed]
    if lacking and not _tracefs_is_enough(lacking):
        names = ", ".join(str(need.capability) for need in lacking)
        raise SockscopeError(
            f"tracing needs root or {names}", hint="run with sudo, or see docs/privileges.md"
        )


def _tracefs_is_enough(lacking: list[Need]) -> bool:
    """Return whether only a capability for files is missing, and those files are readable anyway."""
    names = {need.capability for need in lacking}
    return names == {Capability.DAC_READ_SEARCH} and os.access("/sys/kernel/tracing/events", os.X_OK)


@contextlib.contextmanager
def raised(capability: Capability) -> Iterator[None]:
    """Raise ``capability`` for this thread within a context, if it is permitted."""
    now, permitted, inherited = _masks()
    bit = 1 << capability
    if now & bit or not permitted & bit:
        yield
        return
    _set(now | bit, permitted, inherited)
    try:
        yield
    finally:
        _set(now, permitted, inherited)


def readable_without(capabilities: Iterable[Capability], path: Path) -> bool:
    """Return whether this process could read ``path`` without ``capabilities``."""
    now, permitted, inherited = _masks()
    _set(now & ~_mask(capabilities), permitted, inherited)
    try:
        return os.access(path, os.R_OK, effective_ids=True)
    finally:
        _set(now, permitted, inherited)


def invoker() -> pwd.struct_passwd | None:
    """Return the user who called sudo, if this process is root because of it."""
    number = os.environ.get("SUDO_UID", "")
    if os.geteuid() != 0 or not number.isdecimal() or number == "0":
        return None
    try:
        return pwd.getpwuid(int(number))
    except KeyError:
        return None


def may(user: pwd.struct_passwd, path: Path, how: int) -> bool:
    """Return whether ``user`` has access ``how`` to ``path`` (access(2), which checks the real user)."""
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setresgid(user.pw_gid, -1, -1)
    os.setresuid(user.pw_uid, -1, -1)
    try:
        return os.access(path, how)
    finally:
        os.setresuid(0, -1, -1)
        os.setresgid(0, -1, -1)
        os.setgroups(groups)


def give_up(user: pwd.struct_passwd | None, more: Iterable[Capability] = (), *, tracing: bool = True) -> None:
    """Drop all capabilities but those that a running tracer uses; with ``user``, change to that user.

    Call this before other threads start: they inherit what this one keeps. Existing threads lose
    everything if the user changes, and keep everything otherwise.

    :param more: capabilities to keep besides
    :param tracing: whether tracing continues; if not, only ``more`` is kept
    """
    if user is not None:
        _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        _libc.prctl(_PR_SET_KEEPCAPS, 0, 0, 0, 0)
        os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    permitted = _masks()[1]
    if not tracing:
        now = permitted & _mask(more)
        _set(now, now, 0)
        return
    now = permitted & _mask((*KEPT, *more))
    if _mask((Capability.BPF, Capability.PERFMON)) & ~permitted:
        now |= permitted & _mask(AT_MOMENTS)  # it stands in for them
    _set(now, permitted & (now | _mask(AT_MOMENTS)), 0)


def _mask(capabilities: Iterable[Capability]) -> int:
    return sum(1 << capability for capability in set(capabilities))


def _in(mask: int) -> frozenset[Capability]:
    return frozenset(capability for capability in Capability if mask >> capability & 1)


def _masks() -> tuple[int, int, int]:
    """Return (effective, permitted, inheritable) of this thread."""
    data = ctypes.create_string_buffer(24)
    _call(_libc.capget, data)
    low, high = struct.unpack_from("<3I", data.raw), struct.unpack_from("<3I", data.raw, 12)
    first, second, third = (below | above << 32 for below, above in zip(low, high, strict=True))
    return first, second, third


def _set(now: int, permitted: int, inheritable: int) -> None:
    masks = (now, permitted, inheritable)
    words = [mask & 0xFFFFFFFF for mask in masks] + [mask >> 32 for mask in masks]
    _call(_libc.capset, ctypes.create_string_buffer(struct.pack("<6I", *words), 24))


def _call(function: object, data: ctypes.Array[ctypes.c_char]) -> None:
    head = ctypes.create_string_buffer(struct.pack("<Ii", _VERSION_3, 0), 8)
    if function(head, data):  # type: ignore[operator]
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
