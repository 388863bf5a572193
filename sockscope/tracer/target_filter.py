"""Resolve a target of the user to what the probes compare with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.errors import SockscopeError, UsageError
from sockscope.host import pid_namespace
from sockscope.records import layout
from sockscope.target import Target

_COMM_ROOM = 15


class TargetError(SockscopeError):
    """The target names something that does not exist."""


@dataclass(frozen=True)
class TargetFilter:
    """A target, resolved on this host."""

    ports: frozenset[int]
    pids: frozenset[int]
    comm: str
    cgroup_path: str
    cgroup_id: int
    cgroup_level: int
    netns: int

    def record(self) -> Any:
        """The element of the map ``target``."""
        held = np.zeros(1, layout.TARGET)
        held["cgroup"], held["cgroup_level"] = self.cgroup_id, self.cgroup_level
        held["netns"] = self.netns
        held["by_port"], held["by_pid"], held["by_comm"] = bool(self.ports), bool(self.pids), bool(self.comm)
        held["tracer"] = os.getpid() if pid_namespace.is_initial() else 0
        name = np.frombuffer(self.comm.encode(), np.uint8)
        held["comm"][0, : len(name)] = name
        return held[0]

    def holds(self, pid: int) -> bool:
        """Whether a process belongs to the target now."""
        if pid == os.getpid() and pid_namespace.is_initial():
            return False
        if self.pids and pid not in self.pids:
            return False
        if self.comm and _read(f"/proc/{pid}/comm").rstrip("\n") != self.comm:
            return False
        return not self.cgroup_path or _below(_cgroup_of(pid), self.cgroup_path)


def resolve_target(target: Target) -> TargetFilter:
    """Resolve a target.

    :raises UsageError: for values that cannot be right
    :raises TargetError: for a process, cgroup or namespace that does not exist
    """
    for port in target.ports:
        if not 0 < port < 65536:
            raise UsageError(f"port {port} is out of range", hint="ports are 1 to 65535")
    if len(target.comm.encode()) > _COMM_ROOM:
        raise UsageError(
            f"{target.comm!r} is too long: the kernel keeps {_COMM_ROOM} bytes of a name",
            hint=f"use {target.comm[:_COMM_ROOM]!r}",
        )
    if not pid_namespace.is_initial() and (target.pids or target.comm or target.cgroup or target.container):
        raise UsageError(
            "processes cannot be selected from within a PID namespace: their numbers are others in the kernel",
            hint="share the host's (docker run --pid=host, hostPID: true), or select by --port or --netns",
        )
    for pid in target.pids:
        if not Path(f"/proc/{pid}").exists():
            raise TargetError(f"no process {pid}", hint="ps -e lists running processes")
    if target.cgroup and target.container:
        raise UsageError("--cgroup and --container are mutually exclusive", hint="a container is a cgroup")
    cgroup = _container(target.container) if target.container else target.cgroup
    path, number, level = _cgroup(cgroup) if cgroup else ("", 0, 0)
    netns = _netns(target.netns) if target.netns else 0
    return TargetFilter(
        frozenset(target.ports),
        frozenset(_with_children(target.pids)),
        target.comm,
        path,
        number,
        level,
        netns,
    )


def _with_children(pids: Iterable[int]) -> set[int]:
    wanted = set(pids)
    if not wanted:
        return wanted
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            stat = _read(f"/proc/{entry.name}/stat")
            if stat:
                children.setdefault(int(stat[stat.rindex(")") + 2 :].split()[1]), []).append(int(entry.name))
    waiting = list(wanted)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in wanted:
                wanted.add(child)
                waiting.append(child)
    return wanted


def _cgroup_root() -> Path:
    for line in _read("/proc/self/mounts").splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "cgroup2":
            return Path(fields[1].replace("\\040", " "))
    raise TargetError(
        "no cgroup v2 hierarchy is mounted",
        hint="mount -t cgroup2 none /sys/fs/cgroup/unified, or select by --pid",
    )


def _cgroup(name: str) -> tuple[str, int, int]:
    root = _cgroup_root()
    path = Path(name) if name.startswith(str(root)) else root / name.lstrip("/")
    try:
        number = path.stat().st_ino
    except OSError as error:
        raise TargetError(f"no cgroup at {path} ({error.strerror})", hint="systemd-cgls lists them") from None
    below = path.resolve().relative_to(root.resolve())
    return "/" + str(below).lstrip("./"), number, len(below.parts)


def _cgroup_of(pid: int) -> str:
    for line in _read(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    return ""


def _below(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")


def _netns(name: str) -> int:
    from sockscope.host.netns import resolve as resolve_netns

    return resolve_netns(name).inode


def _container(name: str) -> str:
    from sockscope.host.container_lookup import cgroup_of_container

    return cgroup_of_container(name)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:  # the process has ended, or is not ours to see
        return ""
