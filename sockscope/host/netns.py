"""Network namespaces: list them, resolve their names, and run code inside one.

A namespace belongs to a thread, so another one is entered by a thread that ends afterwards: no other
thread and no later code can run in the wrong namespace.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sockscope.errors import SockscopeError, UsageError
from sockscope.host import privileges, procfs

NAMES = "/run/netns"  # where `ip netns` keeps them

_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703
_LARGEST_PID = 1 << 22  # inode numbers of namespaces begin at 0xf0000000

Result = TypeVar("Result")


class NamespaceGoneError(UsageError):
    """The network namespace does not exist, or no longer."""


@dataclass(frozen=True)
class Namespace:
    """A network namespace: its inode number (its identity) and a file that refers to it."""

    inode: int
    path: str


@dataclass(frozen=True)
class Census:
    """The namespaces of all processes: ``{inode: lowest pid in it}``, and how many processes could not be inspected."""

    pids: dict[int, int]
    refused: int


def own() -> Namespace:
    """Return the namespace of the calling thread."""
    path = Path("/proc/thread-self/ns/net")
    return Namespace(path.stat().st_ino, str(path))


def census(proc: str = procfs.PROC) -> Census:
    """Return the namespaces of all processes, from /proc/PID/ns/net (of the first thread of each)."""
    found: dict[int, int] = {}
    refused = 0
    for pid in procfs.pids(proc):
        try:
            text = str(Path(f"{proc}/{pid}/ns/net").readlink())
        except PermissionError:
            refused += 1
        except OSError:
            continue  # it ended
        else:
            found.setdefault(_inode_in(text), pid)
    found.pop(0, None)
    return Census(found, refused)


def named() -> dict[int, str]:
    """Return ``{inode: path}`` of the namespaces that are bind-mounted, from /proc/self/mountinfo.

    ``ip netns`` and container runtimes mount them; they exist without a process inside.
    """
    found: dict[int, str] = {}
    for line in (procfs.read(f"{procfs.PROC}/self/mountinfo") or b"").splitlines():
        fields = line.split(b" ")
        if len(fields) > 4 and (inode := _inode_in(os.fsdecode(fields[3]))):
            path = os.fsdecode(fields[4].decode("unicode_escape").encode("latin-1"))
            if inode not in found or path.startswith(NAMES + "/"):
                found[inode] = path
    return found


def resolve(text: str) -> Namespace:
    """Resolve ``text`` to a namespace: a name of ``ip netns``, a path, a pid, or an inode number.

    A number is an inode when it is larger than any pid can be, and a name comes first.

    :raises UsageError: when there is no such namespace (NamespaceGoneError: where the text leads)
    :raises SockscopeError: when access is denied
    """
    if "/" in text:
        return _at(text)
    if os.path.lexists(f"{NAMES}/{text}") and text not in ("", ".", ".."):
        return _at(f"{NAMES}/{text}")
    number = int(text) if text.isascii() and text.isdigit() else _inode_in(text)
    if 0 < number <= _LARGEST_PID:
        return _at(f"{procfs.PROC}/{number}/ns/net", f"no process {number}")
    if not number:
        raise UsageError(
            f"no network namespace {text!r}", hint="give a name of ip netns, a path, a pid or an inode"
        )
    if number == (here := own()).inode:
        return here
    everyone = census()
    if number in everyone.pids:
        return Namespace(number, f"{procfs.PROC}/{everyone.pids[number]}/ns/net")
    if number in (mounts := named()):
        return Namespace(number, mounts[number])
    hint = "check that it still exists"
    if everyone.refused:
        hint = f"{everyone.refused} processes could not be inspected; run as root"
    raise UsageError(f"no network namespace with inode {number}", hint=hint)


def inside(namespace: Namespace | None, action: Callable[[], Result]) -> Result:
    """Run ``action`` in a new thread inside ``namespace``, and return or raise what it does.

    :param namespace: None for the namespace of the caller
    :raises NamespaceGoneError: when it no longer exists
    :raises SockscopeError: when it must not be entered
    """
    from concurrent.futures import ThreadPoolExecutor

    def run() -> Result:
        if namespace is not None:
            _enter(namespace)
        return action()

    with ThreadPoolExecutor(1, thread_name_prefix="sockscope-netns") as thread:
        return thread.submit(run).result()


def _enter(namespace: Namespace) -> None:
    import ctypes

    if namespace.inode == own().inode:
        return
    descriptor = _open(namespace.path)
    try:
        if os.fstat(descriptor).st_ino != namespace.inode:
            raise NamespaceGoneError(
                f"network namespace {namespace.inode} no longer exists",
                hint="check that its process still runs",
            )
        libc = ctypes.CDLL(None, use_errno=True)
        with privileges.raised(privileges.Capability.SYS_ADMIN):
            refused = libc.setns(descriptor, _CLONE_NEWNET)  # os.setns came with Python 3.12
            reason = os.strerror(ctypes.get_errno())
        if refused:
            raise SockscopeError(
                f"cannot enter network namespace {namespace.inode} ({reason})", hint="run as root"
            )
    finally:
        os.close(descriptor)


def _at(path: str, missing: str = "") -> Namespace:
    descriptor = _open(path, missing)
    try:
        return Namespace(os.fstat(descriptor).st_ino, path)
    finally:
        os.close(descriptor)


def _open(path: str, missing: str = "") -> int:
    """Open the namespace at ``path`` after checking that it is one."""
    import fcntl

    try:
        regular = stat.S_ISREG(
            Path(path).stat().st_mode
        )  # check first: opening a device may have side effects
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if regular else -1
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        raise NamespaceGoneError(
            missing or f"no network namespace at {path!r}", hint="check that it still exists"
        ) from None
    except OSError as error:
        hint = "run as root" if isinstance(error, PermissionError) else "check the path"
        raise SockscopeError(f"cannot open {path!r} ({error.strerror})", hint=hint) from None
    try:
        kind = fcntl.ioctl(descriptor, _NS_GET_NSTYPE) if regular else 0
    except OSError:  # a file of another file system
        kind = 0
    if kind != _CLONE_NEWNET:
        if regular:
            os.close(descriptor)
        raise UsageError(
            f"{path!r} is not a network namespace", hint="for example a name of ip netns, or /proc/PID/ns/net"
        )
    return descriptor


def _inode_in(text: str) -> int:
    """Return the number in ``net:[4026531840]``, 0 for another text."""
    number = text.removeprefix("net:[").removesuffix("]")
    return int(number) if text == f"net:[{number}]" and number.isascii() and number.isdigit() else 0
