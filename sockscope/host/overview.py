"""A snapshot of all TCP listeners, taken without BPF."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from sockscope import formatting
from sockscope.errors import SockscopeError
from sockscope.host import netns, procfs
from sockscope.host.inet_diag import InetDiag
from sockscope.host.netns_counters import NetnsCounters
from sockscope.host.processes import process
from sockscope.host.requested_backlog import RequestedBacklog, requested_backlog
from sockscope.host.socket_owners import SocketOwners, find_socket_owners
from sockscope.records.batch import QUEUE, HostCounters, Records

_FAMILIES = {2: "ipv4", 10: "ipv6"}


@dataclass(frozen=True)
class Owner:
    """A process that owns a listener, with its descriptors; names are as found in /proc."""

    pid: int
    comm: str
    command: str
    container: str
    fds: tuple[int, ...]


@dataclass(frozen=True)
class Listening:
    """A listening socket.

    ``group`` is the number of listeners of this address and port, ``queue`` the length of the accept
    queue, ``backlog`` the effective limit, ``requested_backlog`` the argument of listen(), ``syn_queue``
    the half-open handshakes (of the whole group), ``drops`` all drops since it was created, ``uid`` its
    creator.
    """

    netns: int
    netns_name: str
    inode: int
    address: str
    port: int
    family: str
    group: int
    queue: int
    backlog: int
    requested_backlog: RequestedBacklog
    syn_queue: int
    drops: int
    uid: int
    owners: tuple[Owner, ...]


@dataclass(frozen=True)
class NotVisible:
    """What was not visible to this process; all empty if everything was.

    ``descriptors``: processes whose descriptors are hidden, so that listeners may have more
    owners; ``namespaces_of``: processes whose network namespace is hidden; ``namespaces``: those
    that exist and must not be entered; ``outside``: why whole processes are hidden;
    ``without_owner``: listeners without a visible owner.
    """

    descriptors: int
    namespaces_of: int
    namespaces: tuple[str, ...]
    outside: tuple[str, ...]
    without_owner: int


@dataclass(frozen=True)
class Overview:
    """The listeners of one or all network namespaces.

    ``time_ns`` is since 1970, ``own`` the own network namespace, ``names`` the names of all namespaces.
    Listeners of the own namespace come first, then sorted by name, port and address.
    """

    time_ns: int
    own: int
    names: dict[int, str]
    listeners: tuple[Listening, ...]
    hosts: tuple[HostCounters, ...]
    unseen: NotVisible


def overview(ports: Collection[int] = (), namespace: str = "") -> Overview:
    """List the listeners of one network namespace, or of all that can be entered.

    :param ports: only listeners on these; none means all
    :param namespace: a name, path, pid or inode; empty for all
    :raises UsageError: when there is no such namespace
    :raises SockscopeError: when it, or our own, cannot be inspected
    """
    now, own = time.time_ns(), netns.own()
    places, names, refused = _one(namespace, own) if namespace else _all(own)
    parts: list[Records] = [np.empty(0, QUEUE)]
    owners: dict[int, int] = {}
    hosts: list[HostCounters] = []
    closed: list[str] = []
    for place in places:
        try:
            with InetDiag(place, ports) as queues, NetnsCounters(place) as host:
                parts.append(queues.sample())
                owners |= queues.owners()
                hosts.append(host.read())
        except netns.NamespaceGoneError:
            if namespace:
                raise
            names.pop(place.inode)
        except SockscopeError:
            if namespace or place == own:
                raise
            closed.append(names.pop(place.inode))
    found = np.concatenate(parts)
    held = find_socket_owners(dict(zip(found["inode"].tolist(), found["netns"].tolist(), strict=True)))
    listeners = _joined(found, owners, held, names, {host.netns: host.somaxconn for host in hosts})
    return Overview(
        time_ns=now,
        own=own.inode,
        names=names,
        listeners=tuple(sorted(listeners, key=lambda it: (it.netns != own.inode, *_place(it), it.inode))),
        hosts=tuple(hosts),
        unseen=NotVisible(
            descriptors=len(held.refused),
            namespaces_of=refused,
            namespaces=tuple(closed),
            outside=procfs.hidepid_reasons(),
            without_owner=sum(not listening.owners for listening in listeners),
        ),
    )


def _joined(
    queues: Records,
    owners: dict[int, int],
    held: SocketOwners,
    names: dict[int, str],
    somaxconn: dict[int, int],
) -> list[Listening]:
    fds: dict[int, dict[int, list[int]]] = {}
    for _, inode, pid, fd in held.rows.tolist():
        fds.setdefault(inode, {}).setdefault(pid, []).append(fd)
    processes = {pid: process(pid) for pid in {pid for by_pid in fds.values() for pid in by_pid}}
    owners_of = {
        inode: tuple(
            Owner(pid, it.comm, it.command, it.container, tuple(sorted(by_pid[pid])))
            for pid in sorted(by_pid)
            if (it := processes[pid])
        )
        for inode, by_pid in fds.items()
    }
    places = [(row[0], row[2].tobytes(), row[3]) for row in queues.tolist()]
    sizes = Counter(places)
    return [
        Listening(
            netns=place[0],
            netns_name=names[place[0]],
            inode=inode,
            address=formatting.address(place[1]),
            port=place[2],
            family=_FAMILIES.get(family, "unknown"),
            group=sizes[place],
            queue=queue,
            backlog=backlog,
            requested_backlog=requested_backlog(backlog, somaxconn[place[0]]),
            syn_queue=syn_queue,
            drops=drops,
            uid=owners[inode],
            owners=owners_of.get(inode, ()),
        )
        for place, (_, inode, _, _, family, queue, backlog, drops, syn_queue) in zip(
            places, queues.tolist(), strict=True
        )
    ]


def _place(listening: Listening) -> tuple[str, int, str]:
    return listening.netns_name, listening.port, listening.address


def _one(text: str, own: netns.Namespace) -> tuple[list[netns.Namespace], dict[int, str], int]:
    place, mounts = netns.resolve(text), netns.named()
    name = "own" if place.inode == own.inode else _name(mounts.get(place.inode, text))
    return [place], {place.inode: name}, 0


def _all(own: netns.Namespace) -> tuple[list[netns.Namespace], dict[int, str], int]:
    """Return the own and all other known namespaces, their names, and how many processes hide theirs."""
    census, mounts = netns.census(), netns.named()
    paths = {inode: f"{procfs.PROC}/{pid}/ns/net" for inode, pid in census.pids.items()} | mounts
    names = {inode: f"pid {pid}" for inode, pid in census.pids.items()}
    names |= {inode: _name(path) for inode, path in mounts.items()} | {own.inode: "own"}
    others = [netns.Namespace(inode, paths[inode]) for inode in sorted(paths) if inode != own.inode]
    return [own, *others], names, census.refused


def _name(path: str) -> str:
    return path.removeprefix(f"{netns.NAMES}/")
