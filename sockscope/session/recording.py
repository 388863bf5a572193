"""Batches into a file, with a count of what went in."""

from __future__ import annotations

from pathlib import Path

from sockscope.records.batch import Batch, Meta
from sockscope.records.layout import ConnectionFlag
from sockscope.sources.trace import Writer


class Recording:
    """A recording under way; as a context manager it is closed whatever happens.

    :raises SockscopeError: when the file cannot be written, or exists and ``overwrite`` is false
    """

    def __init__(self, path: Path, meta: Meta, overwrite: bool = False) -> None:
        self._writer = Writer(path, meta, overwrite=overwrite)
        self._workers: set[int] = set()
        self.connections_closed = 0
        self.listeners_seen = False
        self.lost: tuple[tuple[str, int], ...] = ()

    @property
    def workers_seen(self) -> int:
        """Threads that did something."""
        return len(self._workers)

    def take(self, batch: Batch) -> None:
        """Write one batch, for good."""
        self._writer.write(batch)
        self._writer.commit()
        self.connections_closed += int(((batch.connections["flags"] & int(ConnectionFlag.CLOSED)) != 0).sum())
        workers = batch.workers
        self._workers.update(
            workers["id"][(workers["accepts"] + workers["reads"] + workers["writes"]) > 0].tolist()
        )
        self.listeners_seen = self.listeners_seen or len(batch.listeners) > 0
        self.lost = batch.health.lost

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
