"""Who waits for a listener: which threads, at how many of the arrivals that were looked at."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sockscope.model.snapshot import Snapshot

#: Fewer looks at a wait queue than this tell nothing.
MIN_SAMPLES = 8


@dataclass(frozen=True)
class WorkerSamples:
    """How often one worker waited.  ``times`` of ``samples`` at the listeners that it ever waited for."""

    times: int
    samples: int

    @property
    def part(self) -> float:
        """0 to 1."""
        return self.times / self.samples if self.samples else 0.0


@dataclass(frozen=True)
class WaiterSamples:
    """What the looks at some listeners found.

    :param looks: arrivals at which one of them was looked at
    :param by_worker: worker id → how often it waited
    :param unnamed: looks at which some waited that could not be named
    """

    samples: int
    by_worker: dict[int, WorkerSamples]
    unnamed: int

    @property
    def tells(self) -> bool:
        """Whether it is enough to tell anything."""
        return self.samples >= MIN_SAMPLES and bool(self.by_worker)

    @property
    def at_a_time(self) -> float:
        """How many named threads waited at a look, on average."""
        return sum(waited.times for waited in self.by_worker.values()) / self.samples if self.samples else 0.0


def sample_waiters(snapshot: Snapshot, listeners: Collection[int]) -> WaiterSamples:
    """Who waited for the listeners with these ids."""
    looks = {listener.id: listener.samples for listener in snapshot.listeners if listener.id in listeners}
    found: dict[int, WorkerSamples] = {}
    unnamed = 0
    for waiting in snapshot.waiting:
        if waiting.listener not in looks:
            continue
        if not waiting.worker:
            unnamed += waiting.samples
            continue
        before = found.get(waiting.worker, WorkerSamples(0, 0))
        found[waiting.worker] = WorkerSamples(
            before.times + waiting.samples, before.samples + looks[waiting.listener]
        )
    return WaiterSamples(sum(looks.values()), found, unnamed)
