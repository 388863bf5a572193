"""Which threads wait for a listener, sampled at arrivals of connections."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sockscope.model.snapshot import Snapshot

#: Samples of a wait queue from which the shares mean something.
MIN_SAMPLES = 8


@dataclass(frozen=True)
class WorkerSamples:
    """How often one worker waited: ``times`` of the ``samples`` at the listeners that it waited for."""

    times: int
    samples: int

    @property
    def part(self) -> float:
        """Return the share of the samples, 0 to 1."""
        return self.times / self.samples if self.samples else 0.0


@dataclass(frozen=True)
class WaiterSamples:
    """Samples of the wait queues of some listeners.

    :param samples: number of sampled arrivals
    :param by_worker: worker id → how often it waited
    :param unnamed: samples at which some waiting threads could not be identified
    """

    samples: int
    by_worker: dict[int, WorkerSamples]
    unnamed: int

    @property
    def is_sufficient(self) -> bool:
        """Return whether there are enough samples to show."""
        return self.samples >= MIN_SAMPLES and bool(self.by_worker)

    @property
    def at_a_time(self) -> float:
        """Return the mean number of identified threads waiting at a sample."""
        return sum(waited.times for waited in self.by_worker.values()) / self.samples if self.samples else 0.0


def sample_waiters(snapshot: Snapshot, listeners: Collection[int]) -> WaiterSamples:
    """Return which workers waited for the listeners with these ids."""
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
