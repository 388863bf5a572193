"""Steer one group: attach, keep the lease and the members up to date, detach."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from sockscope.bpf.btf import Btf
from sockscope.errors import SockscopeError, UsageError
from sockscope.host import clock
from sockscope.steer.groups import (
    Group,
    GroupFinder,
    Member,
    duplicate_member,
    select_group,
    set_option,
)
from sockscope.steer.program import MEMBERS_MAX, SteeringProgram, lease_of

SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF = 52, 68

LEASE_NS = 1_000_000_000
_KEEP_S = 0.2
_TURN_LIMIT = 1 << 38
_TURN_UNIT = 6400

#: An action and its details, in the order in which they happened.
Log = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True)
class Wanted:
    """What to steer, and how."""

    port: int
    policy: str
    netns: int = 0
    address: str = ""
    stall_ns: int = 20_000_000
    weights: Mapping[int, int] | None = None


@dataclass(frozen=True)
class MemberView:
    """A member now; shares are of the connections since steering began."""

    slot: int
    pid: int
    comm: str
    inode: int
    picked: int
    arrivals: int
    share: float
    hash_share: float
    queue: int
    busy: float
    open: int


@dataclass(frozen=True)
class View:
    """The state of a steered group.

    :param hashed: reason → connections that the kernel's hash placed
    """

    steered: int
    hashed: Mapping[str, int]
    members: tuple[MemberView, ...]
    uncounted: int


def check_group(group: Group) -> None:
    """Check that a group can be steered.

    :raises UsageError: with the reason when it cannot
    """
    if group.program and group.is_ours:
        if lease_of(group.program_id) > clock.now_ns():
            raise UsageError(
                f"{group.name} is being steered by another sockscope (program {group.program_id})",
                hint="stop it first; only one can steer a group",
            )
    elif group.program:
        raise UsageError(
            f"{group.name} is already steered: {group.selection}",
            hint="sockscope replaces no program of others; the server or a tool such as udpgrm attached it",
        )
    if group.size < 2:
        raise UsageError(f"{group.name} has one member", hint="steering needs two or more workers")
    if group.size > MEMBERS_MAX:
        raise UsageError(f"{group.name} has {group.size} members", hint=f"steering supports {MEMBERS_MAX}")
    if len(group.members) < 2:
        raise UsageError(
            f"only {len(group.members)} of {group.size} members of {group.name} belong to a visible process",
            hint="run as root in the host's PID namespace",
        )


def weights_of(group: Group, given: Mapping[int, int] | None) -> dict[int, int]:
    """Return the weight per position in ``group.members``; 1 where none was given.

    :raises UsageError: for an unknown member, or when too few members have a weight
    """
    weights = dict.fromkeys(range(len(group.members)), 1)
    for index, weight in (given or {}).items():
        if index not in weights:
            raise UsageError(
                f"--weight {index}={weight}: no such member", hint=f"members are 0 to {len(weights) - 1}"
            )
        weights[index] = weight
    left = sum(weight > 0 for weight in weights.values())
    if left < min(2, len(weights)):
        raise UsageError("fewer than two members have a weight above 0", hint="leave at least two")
    return weights


class Steering:
    """Steer a group from entering the context until leaving it.

    A thread renews the lease and follows the members; :attr:`ended` gives the reason when steering ended by
    itself.

    :raises SockscopeError: when the group cannot be steered
    """

    def __init__(self, wanted: Wanted, log: Log, btf: Btf | None = None) -> None:
        self._wanted, self._log = wanted, log
        self._btf = btf or Btf.of_running_kernel()
        self._finder = GroupFinder(self._btf)
        self._program: SteeringProgram | None = None
        self._slots: dict[int, int] = {}
        self._members: dict[int, Member] = {}
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None
        self._attached = False
        self._final: View | None = None
        self.ended = ""

    def find(self) -> Group:
        """Return the group as it is now.

        :raises UsageError: when there is none
        """
        wanted = self._wanted
        return select_group(self._finder.find(), wanted.port, wanted.netns, wanted.address)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def _start(self) -> None:
        group = self.find()
        check_group(group)
        weights = weights_of(group, self._wanted.weights)
        if group.program:
            set_option(group.members, SO_DETACH_REUSEPORT_BPF, 0)
            self._log("detach", {"program": group.program_id, "reason": "left by a steering that was killed"})
        self._program = program = SteeringProgram(self._btf, self._wanted.policy)
        program.control["stall_ns"] = self._wanted.stall_ns
        for index, member in enumerate(group.members):
            self._add(member, weights[index])
        self._update(group)
        program.count_open()
        self._renew()
        if self.find().program:  # somebody was faster
            raise SockscopeError(f"another program was attached to {group.name} meanwhile", hint="try again")
        set_option(group.members, SO_ATTACH_REUSEPORT_EBPF, program.fd)
        self._attached = True
        self._log("attach", {"program": program.id, "group": group.name, "policy": self._wanted.policy})
        self._keeper = threading.Thread(target=self._keep, name="sockscope-lease", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._stop.wait(_KEEP_S):
            try:
                group = self.find()
                self._follow(group)
            except Exception as error:  # whatever it is, the lease must not be renewed after it
                self.ended = str(error)
                self._log("end", {"reason": self.ended})
                return
            self._renew()

    def _follow(self, group: Group) -> None:
        assert self._program is not None
        if group.program_id != self._program.id:
            self._attached = False  # what is attached now is not ours to detach
            raise SockscopeError("the group's program was replaced or detached by others")
        if group.size > MEMBERS_MAX:
            raise SockscopeError(f"the group has grown to {group.size} members; {MEMBERS_MAX} are supported")
        here = {member.socket for member in group.members}
        for socket in set(self._slots) - here:
            self._remove(socket)
        for member in group.members:
            if member.socket not in self._slots:
                self._add(member, 1)
        self._update(group)

    def _add(self, member: Member, weight: int) -> None:
        assert self._program is not None
        table = self._program.control["member"]
        slot = next(slot for slot in range(MEMBERS_MAX) if slot not in self._slots.values())
        try:
            descriptor = duplicate_member(member)
        except ProcessLookupError:
            return  # gone since it was found; the next round decides
        except OSError as error:
            if error.errno == errno.EBADF:
                return  # closed since it was found
            raise SockscopeError(
                f"cannot duplicate the listening socket of process {member.holder[0]} ({error.strerror})",
                hint="steering needs CAP_SYS_PTRACE",
            ) from error
        try:
            self._program.put(slot, descriptor)
        except OSError:  # it has left the group since; if it has not, the next round tries again
            return
        finally:
            os.close(descriptor)  # a duplicate that stays open keeps a closed member listening
        used = [table[other]["turn"] for other in self._slots.values() if table[other]["turn_step"]]
        row = np.zeros(1, table.dtype)[0]
        row["socket"], row["sleepers"], row["task"] = member.socket, member.sleepers, member.task
        row["turn"] = min(used, default=0)
        row["turn_step"] = _TURN_UNIT // weight if weight else 0
        row["accepted"] = row["arrivals"] = member.queue
        table[slot] = row
        self._slots[member.socket] = slot
        self._program.member_of.put(member.socket, slot)
        self._log("add", {"slot": slot, "pid": member.pid, "inode": member.inode})

    def _remove(self, socket: int) -> None:
        assert self._program is not None
        slot = self._slots.pop(socket)
        self._program.control["member"]["absent"][slot] = 1
        self._program.member_of.remove(socket)
        self._log("remove", {"slot": slot, "inode": self._members[socket].inode})

    def _update(self, group: Group) -> None:
        """Write what may have changed of members that stay: a reload gives a socket another epoll instance."""
        assert self._program is not None
        control = self._program.control
        table = control["member"]
        self._members = {member.socket: member for member in group.members if member.socket in self._slots}
        for socket, member in self._members.items():
            slot = self._slots[socket]
            table["sleepers"][slot], table["task"][slot] = member.sleepers, member.task
        for slot in set(range(MEMBERS_MAX)) - set(self._slots.values()):
            table["absent"][slot] = 1
        control["sockets"] = group.size
        control["count"] = max(self._slots.values(), default=-1) + 1
        turns = [table["turn"][slot] for slot in self._slots.values()]
        if turns and min(turns) > _TURN_LIMIT:
            for slot in self._slots.values():
                table["turn"][slot] -= min(turns)

    def _renew(self) -> None:
        assert self._program is not None
        self._program.control["lease_ns"] = clock.now_ns() + LEASE_NS

    def view(self) -> View:
        """Return the members and their shares now, or as they were at the end."""
        if self._program is None:
            return self._final or View(0, {}, (), 0)
        control = self._program.control.copy()
        table, by_hash = control["member"], control["by_hash"]
        arrivals, hashed = max(int(control["steered"]), 1), max(int(by_hash.sum()), 1)
        members = []
        for socket, member in list(self._members.items()):
            slot = self._slots.get(socket)
            if slot is None:
                continue
            row = table[slot]
            by = int(by_hash[member.position]) if member.position < MEMBERS_MAX else 0
            samples = max(int(row["samples"]), 1)
            members.append(
                MemberView(
                    slot,
                    member.pid,
                    member.comm,
                    member.inode,
                    int(row["picked"]),
                    int(row["arrivals"]),
                    int(row["picked"]) / arrivals,
                    by / hashed,
                    member.queue,
                    int(row["busy_samples"]) / samples,
                    max(int(row["open"]), 0),
                )
            )
        reasons = {
            "lease expired": int(control["fallback_lease"]),
            "too few eligible members": int(control["fallback_eligible"]),
            "selected member had closed": int(control["fallback_select"]),
        }
        return View(int(control["steered"]), reasons, tuple(members), int(control["children_full"]))

    def run_time(self) -> tuple[int, int]:
        """Return (nanoseconds, runs) of the program while BPF statistics were on."""
        return self._program.run_time() if self._program is not None else (0, 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._stop.set()
        try:
            if self._keeper is not None:
                self._keeper.join()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        try:
            if self._program is not None:
                self._final = self.view()
                self._program.control["lease_ns"] = 0
                if self._attached:
                    self._detach()
        finally:
            if self._program is not None:
                self._program.close()
                self._program = None
            self._finder.close()

    def _detach(self) -> None:
        assert self._program is not None
        try:
            group = self.find()
        except UsageError:  # the server has ended
            return
        if group.program_id == self._program.id:
            set_option(group.members, SO_DETACH_REUSEPORT_BPF, 0)
            self._log("detach", {"program": self._program.id, "reason": "end of steering"})


def release(port: int, netns: int, address: str, log: Log) -> str:
    """Detach what a killed steering left; return what was done, in words.

    :raises UsageError: when the program is not sockscope's, or is in use
    """
    with GroupFinder(Btf.of_running_kernel()) as finder:
        group = select_group(finder.find(), port, netns, address)
        if not group.program:
            return f"{group.name} has no steering program"
        if not group.is_ours:
            raise UsageError(
                f"{group.name} is steered by {group.selection}, not by sockscope", hint="left as it is"
            )
        if lease_of(group.program_id) > clock.now_ns():
            raise UsageError(
                f"{group.name} is being steered by a running sockscope",
                hint="stop that process; a killed one releases its lease within 1 s",
            )
        set_option(group.members, SO_DETACH_REUSEPORT_BPF, 0)
        log("detach", {"program": group.program_id, "reason": "--release"})
        return f"{group.name}: detached program {group.program_id}"
