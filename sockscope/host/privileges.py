"""Capabilities of this process: which it has, which tracing needs for what, and giving them up.

capabilities(7), capset(2).  Since 5.8 CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON.
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
    """What a capability is for; without one that is not ``needed`` something is missing, not all."""

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

#: What a tracer that has started goes on with.
KEPT = frozenset({Capability.BPF, Capability.PERFMON, Capability.SYS_PTRACE})
#: As well, but only in the moments in which it is used (:func:`raised`).
AT_MOMENTS = frozenset({Capability.SYS_ADMIN})


def effective() -> frozenset[Capability]:
    """The capabilities in force for this thread, of those that have a name here."""
    return _in(_masks()[0])


def missing() -> list[Need]:
    """What tracing needs and this thread lacks."""
    held = effective()
    stood_in = {Capability.BPF, Capability.PERFMON} if Capability.SYS_ADMIN in held else set()
    return [need for need in NEEDS if need.capability not in held | stood_in]


def require() -> None:
    """
    :raises SockscopeError: when tracing cannot work, naming what is missing
    """
    lacking = [need for need in missing() if need.needed]
    if lacking and not _tracefs_is_enough(lacking):
        names = ", ".join(str(need.capability) for need in lacking)
        raise SockscopeError(
            f"tracing needs root or {names}", hint="run with sudo, or see docs/privileges.md"
        )


def _tracefs_is_enough(lacking: list[Need]) -> bool:
    """Whether the one that is missing is for files that can be read anyhow."""
    names = {need.capability for need in lacking}
    return names == {Capability.DAC_READ_SEARCH} and os.access("/sys/kernel/tracing/events", os.X_OK)


@contextlib.contextmanager
def raised(capability: Capability) -> Iterator[None]:
    """With ``capability`` in force for this thread, if it may have it."""
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
    """Whether this process could read ``path`` without ``capabilities``."""
    now, permitted, inherited = _masks()
    _set(now & ~_mask(capabilities), permitted, inherited)
    try:
        return os.access(path, os.R_OK, effective_ids=True)
    finally:
        _set(now, permitted, inherited)


def invoker() -> pwd.struct_passwd | None:
    """Who called sudo, when this process is root by it."""
    number = os.environ.get("SUDO_UID", "")
    if os.geteuid() != 0 or not number.isdecimal() or number == "0":
        return None
    try:
        return pwd.getpwuid(int(number))
    except KeyError:
        return None


def may(user: pwd.struct_passwd, path: Path, how: int) -> bool:
    """Whether ``user`` may do to ``path`` what ``how`` says (access(2), which asks for the real user)."""
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
    """Keep only what a running tracer uses, for good; with ``user``, be that user from now on.

    To be called before other threads start: they inherit what this one keeps.  Those that are there
    already lose everything when the user changes, and keep all they have when it does not.

    :param more: capabilities to keep besides
    :param tracing: whether it goes on to trace; if not, ``more`` is all that stays
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
    """(effective, permitted, inheritable) of this thread."""
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
