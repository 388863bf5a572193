"""Recording: batches into a file, a second's worth at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sockscope.records.batch import Batch, Meta
from sockscope.records.layout import ConnectionFlag
from sockscope.store import Writer
from sockscope.store.deferred_signals import closing_after
from sockscope.store.wall_clock import describe_clock_steps


class Sink(Protocol):
    """Where the batches of a session go: a file, several, or the last minutes of them."""

    tally: Tally

    def take(self, batch: Batch) -> None:
        """Write one batch, for good."""

    def wants_whole(self) -> bool:
        """Whether the next batch shall tell everything that is open, changed or not."""

    def written(self) -> tuple[Path, ...]:
        """The files that are there now."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tally:
    """What a session has seen so far."""

    def __init__(self) -> None:
        self._workers: set[int] = set()  # that live
        self._ended = 0
        self.connections_closed = 0
        self.listeners_seen = False
        self.lost: tuple[tuple[str, int], ...] = ()
        self.clock = ""  # what was done to the machine's clock

    @property
    def workers_seen(self) -> int:
        """Threads that did something."""
        return len(self._workers) + self._ended

    def count(self, batch: Batch) -> None:
        """Take note of a batch."""
        self.connections_closed += int(((batch.connections["flags"] & int(ConnectionFlag.CLOSED)) != 0).sum())
        workers = batch.workers
        did = workers[(workers["accepts"] + workers["reads"] + workers["writes"]) > 0]
        ended = did["ended_ns"] > 0
        self._workers.update(did["id"][~ended].tolist())
        self._workers.difference_update(did["id"][ended].tolist())
        self._ended += int(ended.sum())
        self.listeners_seen = self.listeners_seen or len(batch.listeners) > 0
        self.lost = batch.health.lost


class RecordingSink:
    """A recording under way; as a context manager it is closed whatever happens.

    :raises SockscopeError: when the file cannot be written, or exists and ``overwrite`` is false
    """

    def __init__(self, path: Path, meta: Meta, overwrite: bool = False) -> None:
        self._writer = Writer(path, meta, overwrite=overwrite)
        self.path = path
        self._offset_ns = meta.monotonic_offset_ns
        self.tally = Tally()

    def take(self, batch: Batch) -> None:
        """Write one batch, for good; if the machine's clock was set since the beginning, it says so."""
        said = describe_clock_steps(self._offset_ns)
        if said:
            self.tally.clock = said
            health = replace(batch.health, notes=(*batch.health.notes, said))
            batch = replace(batch, health=health)
        self._writer.write(batch)
        self._writer.commit()
        self.tally.count(batch)

    def wants_whole(self) -> bool:
        return False

    def written(self) -> tuple[Path, ...]:
        return (self.path,)

    def __enter__(self) -> RecordingSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        with closing_after(error):
            self._writer.close()
