"""Recording: batches into a file, a second's worth at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from sockscope.errors import SockscopeError
from sockscope.records.batch import Batch, Meta
from sockscope.store.create import attach, detach, make_blank
from sockscope.store.database import TABLES, open_memory, translated_errors
from sockscope.store.deferred_signals import defer_signals
from sockscope.store.memory_trim import trim_memory
from sockscope.store.schema import SCHEMA
from sockscope.store.secure_file import create_secure_file, drop_log, make_log

COMMIT_NS = 1_000_000_000

#: A guard; what keeps memory small is that the file is let go of now and then.
MEMORY_LIMIT = "160MB"

#: After so much the log is worked into the file, and the file is reopened: of every group of rows
#: that it wrote, DuckDB keeps something in memory.
REOPEN_BYTES = 8_000_000

#: How much waits in memory while somebody else has the file open, just as it was to be reopened.
WAITING_BYTES = 64_000_000

#: How long to wait for them at the end.
PATIENCE_S = 10.0


class Writer:
    """A recording under way.

    The file is there, readable, from the moment that this returns, with the mode 0600 and, under
    sudo, owned by the invoking user.  What was committed survives ``kill -9``.

    :param overwrite: replace an earlier recording of that name
    :raises SockscopeError: when the file cannot be made, or exists and ``overwrite`` is false
    """

    def __init__(self, path: Path | str, meta: Meta, *, overwrite: bool = False) -> None:
        self.path = Path(path).absolute()
        self._over: SockscopeError | None = None
        self._tick = 0
        self._attached = self._in_transaction = False
        self._committed_ns: int | None = None
        self._bytes = 0
        self._waiting: list[Batch] = []
        with defer_signals(), translated_errors(self.path, "make"):
            self._database = open_memory(MEMORY_LIMIT)
            try:
                made = create_secure_file(
                    self.path, lambda there: make_blank(self._database, there, meta), overwrite
                )
                self._placed = made
                self._attach()
            except BaseException:
                self._database.close()
                raise
            trim_memory()

    def write(self, batch: Batch) -> None:
        """Take ``batch`` in; it is safe once committed, at most a second of batch time later.

        :raises SockscopeError: when it cannot be written; what was committed is kept
        """
        with self._careful():
            self._waiting.append(batch)
            if not self._attached and not self._try_attach():
                return
            self._insert_waiting()
            if self._committed_ns is None:
                self._committed_ns = batch.time_ns
            if batch.time_ns - self._committed_ns >= COMMIT_NS:
                self._commit()
                self._committed_ns = batch.time_ns

    def commit(self) -> None:
        """Make safe what was written so far.

        :raises SockscopeError: when that is not possible, or the file is gone
        """
        with self._careful():
            self._commit()

    def close(self) -> None:
        """Commit, and leave one file that is complete in itself; a second time, do nothing.

        :raises SockscopeError: when that is not possible; what was committed is kept
        """
        if self._over:
            return
        with self._careful():
            deadline = time.monotonic() + PATIENCE_S
            while not self._attached and not self._try_attach(give_up=time.monotonic() > deadline):
                time.sleep(0.05)
            self._insert_waiting()
            self._commit()
            if self._attached:
                self._detach()
            self._end(SockscopeError(f"{self.path}: the recording is closed", hint="start another one"))

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """No interrupt half-way; and after a failure, no further harm."""
        if self._over:
            raise SockscopeError(self._over.message, hint=self._over.hint)
        with defer_signals():
            try:
                with translated_errors(self.path, "write"):
                    yield
            except BaseException as error:
                self._end(error if isinstance(error, SockscopeError) else SockscopeError(str(error)))
                raise

    def _end(self, reason: SockscopeError) -> None:
        import duckdb

        self._over = reason
        self._waiting.clear()
        with suppress(duckdb.Error):
            self._database.close()

    def _insert_waiting(self) -> None:
        while self._waiting:
            self._insert(self._waiting.pop(0))

    def _insert(self, batch: Batch) -> None:
        if not self._in_transaction:
            self._database.begin()
            self._in_transaction = True
        SCHEMA.ticks.insert(self._database, TABLES, self._tick, [batch])
        for part in SCHEMA.parts:
            things = part.things(batch)
            if len(things):
                part.table.insert(self._database, TABLES, self._tick, things)
                self._bytes += getattr(things, "nbytes", 200 * len(things))
        self._tick += 1

    def _commit(self) -> None:
        self._placed.check()
        if self._in_transaction:
            self._database.commit()
            self._in_transaction = False
            if self._bytes >= REOPEN_BYTES:
                self._detach()
                self._try_attach()
            trim_memory()

    def _attach(self) -> None:
        attach(self._database, self.path)
        make_log(self.path)
        self._attached = True
        self._bytes = 0

    def _detach(self) -> None:
        detach(self._database)
        self._attached = False
        drop_log(self.path)

    def _try_attach(self, give_up: bool = False) -> bool:
        """Open the file, unless somebody opened it that very moment: then what comes waits in memory."""
        import duckdb

        try:
            self._attach()
        except duckdb.IOException as error:
            parts = (part for batch in self._waiting for part in vars(batch).values())
            waiting = sum(getattr(part, "nbytes", 0) for part in parts)
            if "Could not set lock" not in str(error) or waiting > WAITING_BYTES or give_up:
                raise
        return self._attached
