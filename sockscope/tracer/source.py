"""The kernel as a source: probes on, maps and rings drained into batches, probes off."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.bpf import syscall
from sockscope.bpf.delta_maps import DeltaMaps
from sockscope.errors import SockscopeError
from sockscope.host import clock, pid_namespace, privileges
from sockscope.records import layout
from sockscope.records.batch import OWNER, Batch, Cost, Health
from sockscope.records.batch import AttachedSignal as SignalInUse
from sockscope.records.layout import Phase
from sockscope.records.structured import concat
from sockscope.target import Target
from sockscope.tracer import compat, drops, initial_scan, unix_listeners, untraced_listeners
from sockscope.tracer.bpf_object import BpfObject
from sockscope.tracer.event_sources import SIGNALS
from sockscope.tracer.feature_probe import FeatureProbe
from sockscope.tracer.map_defs import MapSizes
from sockscope.tracer.reaper import Reaper
from sockscope.tracer.selection import get_hooks, is_disabled, select_methods
from sockscope.tracer.socket_liveness import find_gone_sockets
from sockscope.tracer.target_filter import resolve_target

#: Statistics cost every probe a little, so they are on in one tick of this many.
_SAMPLED_TICKS = 8
_HOLDERS_TICKS = 5
_NOTES_TICKS = 50
_OVERLAP_NS = 50_000_000

_OTHER_PROCESSES = (
    "sockscope ran in a PID namespace: pids are those of the host; names are the kernel's (15 characters), command "
    "lines and CPU times are not known, and listeners that existed before are known from their first accept on"
)

#: Probes that have begun end within microseconds, unless their CPU was taken away.
_UNDER_WAY_S = 0.005


class KernelSource:
    """Trace ``target`` until :meth:`stop`.

    :param limits: room in the kernel
    :param forced: signal → way (``--attach``)
    :param detail: every deed of a thread as an event too
    :raises SockscopeError: when this kernel, this process or the target does not allow it
    """

    def __init__(
        self,
        target: Target,
        limits: MapSizes,
        forced: Mapping[str, str] | None = None,
        *,
        detail: bool = False,
    ) -> None:
        privileges.require()
        self._scope = resolve_target(target)
        self._availability = FeatureProbe.of_running_kernel()
        self._chosen = select_methods(self._availability, forced)
        self._unwanted = is_disabled(forced)
        for signal in SIGNALS:
            if signal.needed and self._chosen[signal.name] is None and signal.name not in self._unwanted:
                raise SockscopeError(
                    f"this kernel has no attach method for {signal.reports}",
                    hint="sockscope doctor shows why",
                )
        self._best_effort = any(method is not None and not method.exact for method in self._chosen.values())
        self._hooks = get_hooks(self._chosen, self._availability)
        accepts = self._chosen["accept"]
        self._follows_32_bit = (
            compat.is_supported() and accepts is not None and accepts.name == "system-calls"
        )
        loaded = [*self._hooks, *([compat.COMPAT_ACCEPTS] if self._follows_32_bit else [])]
        self._program = BpfObject(self._availability.btf, limits, loaded, detail=detail)
        self._programs_32_bit: set[int] = set()
        self._pairs = DeltaMaps(self._program.maps, limits.wakes)
        self._unseen_ends = Reaper(
            self._program.places["connections"], partial(find_gone_sockets, self._program)
        )
        self._left_out: Counter[layout.Loss] = Counter()  # what had no room before tracing began
        self._started_ns, self._cpu_before_ns = clock.now_ns(), _own_cpu_ns()
        self._last_ns = 0
        self._ticks = 0
        self._stats: int | None = None
        self._stats_since = 0
        self._sampled_ns = 0
        self._sampled_reads = self._reads_since = 0
        self._holders = np.empty(0, OWNER)
        self._listeners_known: set[int] = set()
        self._notes: tuple[str, ...] = ()

    def signals(self) -> tuple[SignalInUse, ...]:
        """How each signal is got here."""
        told = []
        for signal in SIGNALS:
            method = self._chosen[signal.name]
            without = f"left out: {signal.without}" if signal.name in self._unwanted else signal.without
            told.append(
                SignalInUse(
                    signal.name, method.name if method else "", method.limitations if method else without
                )
            )
        return tuple(told)

    def start(self) -> int:
        """Attach, then learn what is there already; how many of the target's listeners are."""
        maps, scope = self._program.maps, self._scope
        for port in scope.ports:
            maps["target_ports"].put(port, 1)
        for pid in scope.pids:
            if not maps["target_pids"].add(pid, 1):
                self._left_out[layout.Loss.PROCESSES_FULL] += 1
        self._enter(Phase.INITIAL_SCAN)
        for hook in self._hooks:
            self._program.attach(hook)
        held = initial_scan.scan_existing(self._program, scope, self._left_out)
        self._enter(Phase.TRACING)
        self._keep_holders(held)
        self._refresh_notes()
        return len(np.unique(held["listener"]))

    def target_has_ended(self) -> bool:
        """Whether the target was given by pid and none of those processes, nor a child, is left."""
        if not self._scope.pids:
            return False
        pids = self._program.maps["target_pids"].read_all()[0]
        return not any(_is_alive(int(pid)) for pid in pids)

    def batch(self, *, whole: bool = False, final: bool = False) -> Batch:
        """What changed since the last batch, or all that is in the maps (``whole``).

        Rings are read before maps: what closes in between is in the next batch; in a ``whole`` one,
        and in the last (``final``), they are read once more.  The deeds in ``io_overflow`` come last.
        """
        program = self._program
        if whole:
            self._last_ns = 0
            self._pairs.reset()
        now = clock.now_ns()
        if final:
            self._unseen_ends.look_at_all()
        else:
            self._unseen_ends.look(now)
        closed, ended, shut = self._ended_things()
        events = program.rings["events"].drain() if "events" in program.rings else np.empty(0, layout.EVENT)
        # a little overlap: a record may have been stamped just before and changed just after
        since = self._last_ns - _OVERLAP_NS
        connections = program.places["connections"].changed(since)
        workers = program.places["workers"].changed(since)
        waiting = self._pairs.waiting(ended, shut)  # before the listeners: no more than these count
        listeners = program.maps["listeners"].read_all()[1]
        if whole or final:
            late = self._ended_things()
            closed, ended, shut = map(concat, zip((closed, ended, shut), late, strict=True))
            connections, workers, listeners = map(
                _still_there, (connections, workers, listeners), (closed, ended, shut)
            )
        closed, connections = self._unseen_ends.tell(closed, connections)
        for records in (closed, connections):
            if self._best_effort:
                records["flags"] |= int(layout.ConnectionFlag.BEST_EFFORT)
            elif self._chosen["data-ready"] is not None:
                records["flags"][_unannounced(records)] |= int(layout.ConnectionFlag.BEST_EFFORT)
        io_overflow = self._pairs.io_overflow(closed)
        self._refresh_holders(listeners, final)
        self._sample_statistics(now)
        self._ticks += 1
        self._last_ns = now
        return Batch(
            time_ns=now,
            connections=concat([closed, connections]),
            io_overflow=io_overflow,
            workers=concat([workers, ended]),
            listeners=concat([listeners, shut]),
            wakes=self._pairs.wakes(ended),
            waiting=waiting,
            accept_errors=self._pairs.accept_errors(ended, shut),
            owners=self._holders,
            events=events,
            health=self._health(now),
            final=final,
        )

    def pressure(self) -> float:
        """How full the fullest ring is, 0 to 1: when to drain before the next tick is due."""
        return max(ring.fill() for ring in self._program.rings.values())

    def stop(self) -> Batch:
        """The last batch, and detach: exact for all that was seen.

        Probes go one after another, which takes a tenth of a second in which some would count what
        others no longer see.  So first nothing counts any more, then all is read, then they go.
        """
        self._enter(Phase.ENDING)
        time.sleep(_UNDER_WAY_S)
        batch = self.batch(whole=True, final=True)
        self._program.detach()
        return batch

    def _enter(self, phase: Phase) -> None:
        record = self._scope.record()
        record["phase"] = phase
        self._program.maps["target"].put(0, record)

    def _ended_things(self) -> tuple[Any, Any, Any]:
        """Final records of connections, threads and listeners that have come since the last time."""
        rings = self._program.rings
        return (
            rings["closed_connections"].drain(),
            rings["exited_threads"].drain(),
            rings["closed_listeners"].drain(),
        )

    def close(self) -> None:
        """Give everything back to the kernel."""
        if self._stats is not None:
            os.close(self._stats)
            self._stats = None
        self._program.close()

    def _refresh_holders(self, listeners: Any, final: bool) -> None:
        """Who holds the listeners: anew when a listener appears, else now and then."""
        known = {int(number) for number in listeners["id"]}
        if final or known != self._listeners_known or self._ticks % _HOLDERS_TICKS == 0:
            self._listeners_known = known
            if known:
                self._keep_holders(initial_scan.find_owners(self._program))
            if final or self._ticks % _NOTES_TICKS == 0:
                self._refresh_notes()

    def _keep_holders(self, held: Any) -> None:
        rows = np.empty(len(held), OWNER)
        for name in ("netns", "inode", "pid", "fd"):
            rows[name] = held[name]
        fresh = set(rows["pid"].tolist()) - set(self._holders["pid"].tolist())
        self._holders = rows
        if fresh:
            self._follow_32_bit(fresh)
            initial_scan.adopt(self._program, fresh, self._left_out)

    def _follow_32_bit(self, pids: set[int]) -> None:
        """Attach what 32-bit programs need as soon as one of them owns a listener."""
        found = compat.find_32_bit(pids) if pid_namespace.is_initial() else []
        if found and not self._programs_32_bit and self._follows_32_bit:
            self._program.attach(compat.COMPAT_ACCEPTS)
        self._programs_32_bit.update(found)

    def _refresh_notes(self) -> None:
        """What of the target is out of reach: of the processes it names, else of those that serve."""
        if not pid_namespace.is_initial():
            self._notes = (_OTHER_PROCESSES,)
            return
        scope = self._scope
        named = bool(scope.pids or scope.comm or scope.cgroup_path)
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")] if named else []
        belonging = [pid for pid in pids if scope.holds(pid)]
        pids = belonging or self._holders["pid"].tolist()
        found = self._program.iterate("task_file", layout.SOCKET_OWNER)
        about_32_bit = (compat.note(self._programs_32_bit),) if self._programs_32_bit else ()
        self._notes = (
            *about_32_bit,
            *unix_listeners.notes(pids),
            *untraced_listeners.notes(found, set(pids), scope.ports),
        )

    def _sample_statistics(self, now: int) -> None:
        if self._stats is not None:
            os.close(self._stats)
            self._stats = None
            self._sampled_ns += now - self._stats_since
            self._sampled_reads += max(self._reads() - self._reads_since, 0)
        elif self._ticks % _SAMPLED_TICKS == 1:
            try:
                with privileges.raised(privileges.Capability.SYS_ADMIN):
                    self._stats = syscall.enable_stats()
                self._stats_since, self._reads_since = now, self._reads()
            except OSError:  # older than 5.8, or not allowed: the cost stays unknown
                self._stats = None

    def _reads(self) -> int:
        """By all threads that live."""
        return int(self._program.places["workers"].changed(0)["reads"].sum())

    def _health(self, now: int) -> Health:
        counts = self._program.maps["losses"].read_array(len(layout.Loss))
        numbers = {reason: int(counts[reason]) + self._left_out[reason] for reason in layout.Loss}
        lost = drops.describe_drops(numbers, self._program.misses())
        probe_ns, probe_runs = self._program.run_time()
        cost = Cost(
            probe_ns=probe_ns,
            probe_runs=probe_runs,
            sampled_ns=self._sampled_ns,
            sampled_reads=self._sampled_reads,
            elapsed_ns=now - self._started_ns,
            user_cpu_ns=_own_cpu_ns() - self._cpu_before_ns,
            resident_bytes=_resident(),
        )
        return Health(lost, cost, (*self._notes, *self._unseen_ends.notes))


def _unannounced(records: Any) -> Any:
    """Those that were read, and their first bytes not seen to come, though they were seen from the beginning."""
    begun_before = int(layout.ConnectionFlag.OPEN_BEFORE | layout.ConnectionFlag.LATE)
    seen = (records["first_data_ns"] > 0) | (records["flags"] & begun_before > 0)
    return (records["first_read_ns"] > 0) & ~seen


def _still_there(records: Any, gone: Any) -> Any:
    """``records`` without those whose final record came while they were read."""
    return records[~np.isin(records["id"], gone["id"])] if len(gone) else records


def _own_cpu_ns() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def _is_alive(pid: int) -> bool:
    """Whether it runs; a zombie, which nobody has waited for yet, does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
