"""Find SO_REUSEPORT groups: their members, their owners, and what selects among the members."""

from __future__ import annotations

import ctypes
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from sockscope.bpf import syscall
from sockscope.bpf.bcc_module import bcc_identity
from sockscope.bpf.btf import Btf, BtfError
from sockscope.bpf.loader import LoadError, ProgramSpec, load
from sockscope.bpf.maps import Map
from sockscope.bpf.object_cache import CompiledObject, ObjectCache
from sockscope.errors import SockscopeError, UsageError
from sockscope.tracer.bpf_object import probe_directory

#: The program that this package attaches has this name.
PROGRAM_NAME = "sockscope_steer"

IPPROTO_MPTCP = 262
_AF_INET = 2
_PROGRAMS = ("listeners", "epoll_owners")

#: Name of a constant in the BPF C → where the kernel keeps it.
OFFSETS: dict[str, tuple[str, str]] = {
    "FILE_INODE": ("file", "f_inode"),
    "FILE_PRIVATE": ("file", "private_data"),
    "INODE_MODE": ("inode", "i_mode"),
    "INODE_INO": ("inode", "i_ino"),
    "SOCKET_SK": ("socket", "sk"),
    "SKC_STATE": ("sock_common", "skc_state"),
    "SKC_NUM": ("sock_common", "skc_num"),
    "SKC_FAMILY": ("sock_common", "skc_family"),
    "SKC_RCV_SADDR": ("sock_common", "skc_rcv_saddr"),
    "SKC_V6_RCV_SADDR": ("sock_common", "skc_v6_rcv_saddr"),
    "SKC_NET": ("sock_common", "skc_net"),
    "NET_INUM": ("net", "ns.inum"),
    "SK_PROTOCOL": ("sock", "sk_protocol"),
    "SK_ACK_BACKLOG": ("sock", "sk_ack_backlog"),
    "SK_INCOMING_CPU": ("sock_common", "skc_incoming_cpu"),
    "SK_REUSEPORT_CB": ("sock", "sk_reuseport_cb"),
    "SK_WQ": ("sock", "sk_wq"),
    "REUSEPORT_NUM_SOCKS": ("sock_reuseport", "num_socks"),
    "REUSEPORT_PROG": ("sock_reuseport", "prog"),
    "REUSEPORT_SOCKS": ("sock_reuseport", "socks"),
    "PROG_AUX": ("bpf_prog", "aux"),
    "PROG_AUX_ID": ("bpf_prog_aux", "id"),
    "PROG_AUX_NAME": ("bpf_prog_aux", "name"),
    "WQ_WAIT": ("socket_wq", "wait"),
    "WQ_HEAD": ("wait_queue_head", "head"),
    "WAIT_ENTRY": ("wait_queue_entry", "entry"),
    "EPPOLL_WAIT": ("eppoll_entry", "wait"),
    "EPPOLL_WHEAD": ("eppoll_entry", "whead"),
    "EPPOLL_BASE": ("eppoll_entry", "base"),
    "EPITEM_EP": ("epitem", "ep"),
    "EP_WQ": ("eventpoll", "wq"),
    "TASK_TGID": ("task_struct", "tgid"),
}

_MEMBER = np.dtype(
    [
        ("socket", "<u8"),
        ("group", "<u8"),
        ("inode", "<u8"),
        ("sleepers", "<u8"),
        ("epoll", "<u8"),
        ("task", "<u8"),
        ("pid", "<u4"),
        ("fd", "<u4"),
        ("netns", "<u4"),
        ("queue", "<u4"),
        ("members", "<u4"),
        ("position", "<u4"),
        ("program", "<u4"),
        ("program_id", "<u4"),
        ("incoming_cpu", "<i4"),
        ("port", "<u2"),
        ("family", "<u2"),
        ("protocol", "<u2"),
        ("unused", "<u2", 3),
        ("address", "u1", 16),
        ("program_name", "S16"),
    ]
)
_EPOLL_OWNER = np.dtype([("epoll", "<u8"), ("task", "<u8"), ("pid", "<u4"), ("unused", "<u4")])


@dataclass(frozen=True)
class Member:
    """One listening socket of a group.

    :param pid: the process that waits for its connections, else the last that holds a descriptor of it
    :param holder: (pid, descriptor) by which it can be duplicated
    """

    socket: int
    inode: int
    sleepers: int
    task: int
    pid: int
    holder: tuple[int, int]
    queue: int
    position: int
    incoming_cpu: int

    @property
    def comm(self) -> str:
        """Return the name of its process."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text().strip()
        except OSError:
            return ""


@dataclass(frozen=True)
class Group:
    """Listening sockets that share an address and port by SO_REUSEPORT.

    :param size: sockets in the group, as the kernel counts them
    :param program: ``""``, ``cBPF`` or ``eBPF``
    """

    key: int
    netns: int
    address: str
    port: int
    size: int
    program: str
    program_id: int
    program_name: str
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """Return ``address:port``."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def is_ours(self) -> bool:
        """Whether its program is one that sockscope attached."""
        return self.program_name == PROGRAM_NAME

    @property
    def selection(self) -> str:
        """Describe what selects a member, empty for the kernel's hash alone."""
        if self.program == "eBPF":
            return f"eBPF program {self.program_id} {self.program_name}".rstrip()
        if self.program:
            return "a cBPF program"
        cpus = sum(member.incoming_cpu >= 0 for member in self.members)
        return f"SO_INCOMING_CPU on {cpus} of {len(self.members)} members" if cpus else ""


@dataclass(frozen=True)
class Listeners:
    """What one pass over all descriptors found; ``single`` are listeners of no group, by port."""

    groups: tuple[Group, ...]
    single: frozenset[int]
    mptcp: frozenset[int]


def offset_defines(btf: Btf, wanted: dict[str, tuple[str, str]]) -> list[str]:
    """Return ``-DNAME=offset`` for fields of kernel structs.

    :raises BtfError: when the kernel has no such field
    """
    numbers = btf.structs({struct for struct, _ in wanted.values()})
    defines = []
    for name, (struct, path) in wanted.items():
        field = btf.field(numbers[struct], path) if struct in numbers else None
        if field is None:
            raise BtfError(
                f"the kernel's BTF lacks {struct}.{path}",
                hint="this kernel is not supported; please report it",
            )
        defines.append(f"-D{name}={field.offset}")
    return defines


def compile_program(
    name: str, defines: Sequence[str], functions: Sequence[str], maps: Sequence[str]
) -> CompiledObject:
    """Compile ``probes/steer/NAME.bpf.c``, or take it from the cache.

    :raises SockscopeError: when bcc is missing or cannot compile
    """
    file = f"{name}.bpf.c"
    text = f'#line 1 "{file}"\n{(probe_directory() / "steer" / file).read_text()}'
    cache = ObjectCache()
    key = cache.key(text, *defines, bcc_identity())
    image = cache.get(key)
    if image is None:
        from sockscope.bpf.compiler import compile_probes

        image = compile_probes(text, ["-Wno-everything", *defines], functions, maps)
        cache.put(key, image)
    return image


class GroupFinder:
    """The iterators that find groups, loaded.  Use as a context manager.

    :raises SockscopeError: when the kernel does not allow it
    """

    def __init__(self, btf: Btf) -> None:
        number = btf.function("bpf_iter_task_file")
        if number is None:
            raise LoadError("the kernel has no BPF iterator task_file", hint="Linux 5.9 or later is needed")
        functions = [f"bpf_iter__{name}" for name in _PROGRAMS]
        image = compile_program(
            "reuseport_groups", offset_defines(btf, OFFSETS), functions, ["wanted_epolls"]
        )
        self._loaded = load(image, {}, {name: ProgramSpec(name, "iterator", number) for name in functions})
        self._wanted = Map(self._loaded.maps["wanted_epolls"], np.dtype("<u8"), np.dtype("u1"))
        self._owners: dict[int, tuple[int, int]] = {}

    def find(self) -> Listeners:
        """Look at every descriptor of every process once."""
        found = self._read("listeners", _MEMBER)
        found = found[found["pid"] != os.getpid()]
        single = frozenset(int(port) for port in found["port"][found["members"] == 0])
        mptcp = frozenset(int(port) for port in found["port"][found["protocol"] == IPPROTO_MPTCP])
        grouped = found[found["members"] > 0]
        self._find_owners({int(epoll) for epoll in grouped["epoll"] if epoll})
        groups = []
        for key in dict.fromkeys(grouped["group"].tolist()):
            groups.append(self._group(grouped[grouped["group"] == key]))
        return Listeners(tuple(groups), single, mptcp)

    def _group(self, rows: Any) -> Group:
        members = {}
        for row in rows:  # of several holders the last one: a forked worker, not its parent
            task, pid = self._owners.get(int(row["epoll"]), (int(row["task"]), int(row["pid"])))
            members[int(row["socket"])] = Member(
                int(row["socket"]),
                int(row["inode"]),
                int(row["sleepers"]),
                task,
                pid,
                (int(row["pid"]), int(row["fd"])),
                int(row["queue"]),
                int(row["position"]),
                int(row["incoming_cpu"]),
            )
        first = rows[-1]
        raw = first["address"].tobytes()
        address = ipaddress.ip_address(raw[:4] if first["family"] == _AF_INET else raw)
        kind = "" if not first["program"] else "eBPF" if first["program_id"] else "cBPF"
        return Group(
            int(first["group"]),
            int(first["netns"]),
            str(address),
            int(first["port"]),
            int(first["members"]),
            kind,
            int(first["program_id"]),
            first["program_name"].decode("utf-8", "replace") if kind == "eBPF" else "",
            tuple(sorted(members.values(), key=lambda member: member.inode)),
        )

    def _find_owners(self, epolls: set[int]) -> None:
        """Learn which process an epoll instance belongs to; it is asked once for each."""
        if epolls == set(self._owners):
            return
        for epoll in set(self._owners) - epolls:
            del self._owners[epoll]
        fresh = epolls - set(self._owners)
        for epoll in fresh:
            self._wanted.add(epoll, 1)
        for row in self._read("epoll_owners", _EPOLL_OWNER):
            self._owners[int(row["epoll"])] = int(row["task"]), int(row["pid"])
        for epoll in fresh:
            self._wanted.remove(epoll)

    def _read(self, name: str, record: np.dtype[Any]) -> Any:
        return np.frombuffer(syscall.read_iterator(self._loaded.programs[f"bpf_iter__{name}"]), record)

    def close(self) -> None:
        """Give the programs back to the kernel."""
        self._loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def select_group(found: Listeners, port: int, netns: int = 0, address: str = "") -> Group:
    """Return the one group that the options name.

    :param netns: inode of a network namespace; 0: any
    :raises UsageError: when none or several are named, or what is named is no group
    """
    groups = [
        group
        for group in found.groups
        if group.port == port and netns in (0, group.netns) and address in ("", group.address)
    ]
    if len(groups) > 1:
        names = ", ".join(f"{group.name} in namespace {group.netns}" for group in groups)
        raise UsageError(f"{len(groups)} groups have port {port}: {names}", hint="add --address or --netns")
    if groups:
        return groups[0]
    if port in found.mptcp:
        raise UsageError(
            f"the listener of port {port} is an MPTCP socket",
            hint="the kernel attaches no steering program to MPTCP sockets",
        )
    if port in found.single:
        raise UsageError(
            f"the listener of port {port} is not in a SO_REUSEPORT group",
            hint="steering needs one SO_REUSEPORT socket per worker; sockscope listeners shows what listens",
        )
    raise UsageError(f"no socket listens on port {port}", hint="sockscope listeners shows what listens")


_PIDFD_OPEN, _PIDFD_GETFD = 434, 438  # the same on every machine
_libc = ctypes.CDLL(None, use_errno=True)


def duplicate(holder: tuple[int, int]) -> int:
    """Duplicate a descriptor of another process (pidfd_getfd(2), 5.6).

    :raises OSError: when the process or the descriptor is gone, or CAP_SYS_PTRACE is missing
    """
    process = _call(_PIDFD_OPEN, holder[0], 0)
    try:
        return _call(_PIDFD_GETFD, process, holder[1], 0)
    finally:
        os.close(process)


def duplicate_member(member: Member) -> int:
    """Duplicate a member's socket, and check that it is that socket.

    :raises OSError: when it is gone
    """
    descriptor = duplicate(member.holder)
    if os.fstat(descriptor).st_ino != member.inode:
        os.close(descriptor)
        raise ProcessLookupError("the descriptor was reused")
    return descriptor


def set_option(members: Iterable[Member], option: int, value: int) -> None:
    """Set a socket option of the group on the first member that is still there.

    :raises SockscopeError: when the kernel refuses
    """
    import socket

    reason = "no member is left"
    for member in members:
        try:
            with socket.socket(fileno=duplicate_member(member)) as duplicated:
                duplicated.setsockopt(socket.SOL_SOCKET, option, value)
                return
        except OSError as error:
            reason = str(error.strerror or error)
    raise SockscopeError(f"cannot change the group's program ({reason})", hint="steering needs root")


def _call(number: int, *arguments: int) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)
