"""What to trace, as the user says it: ports, processes, names, cgroups, network namespaces.

A target picks *listeners*: those on the given ports, in the given namespace, held by (or accepted
from by) the given processes.  All connections of a picked listener are traced, whoever accepts
them: shares mean nothing when part of the sharers is left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Every part given must hold; within ``ports`` and ``pids`` any one; nothing given is all.

    ``pids`` includes the threads and the children, present and future, of each.  ``cgroup`` is a
    directory of the cgroup v2 hierarchy (its children belong to it); ``netns`` a name, path, pid
    or inode; ``container`` a name or id, which stands for its cgroup.
    """

    ports: tuple[int, ...] = ()
    pids: tuple[int, ...] = ()
    comm: str = ""
    cgroup: str = ""
    netns: str = ""
    container: str = ""

    def __str__(self) -> str:
        parts = [f"port {port}" for port in self.ports]
        parts += [f"pid {pid}" for pid in self.pids]
        for word in ("comm", "cgroup", "netns", "container"):
            if getattr(self, word):
                parts.append(f"{word} {getattr(self, word)}")
        return ", ".join(parts) or "every listener of this host"
