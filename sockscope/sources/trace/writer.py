"""Recording: batches into a file, a second's worth at a time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from sockscope.errors import SockscopeError
from sockscope.records.batch import Batch, Meta
from sockscope.sources.trace.database import CATALOG, explained, literal, open_memory
from sockscope.sources.trace.footprint import release
from sockscope.sources.trace.interrupts import interrupts_later
from sockscope.sources.trace.objects import escaped
from sockscope.sources.trace.place import drop_log, make_log, place
from sockscope.sources.trace.schema import RAW, SCHEMA, SCHEMA_VERSION
from sockscope.sources.trace.views import view_statements

#: Chosen by measurement (docs/trace.md): small groups of rows keep the memory of a checkpoint small,
#: and DuckDB 1.4, the oldest with long support, can read the file.
LAYOUT = "BLOCK_SIZE 131072, ROW_GROUP_SIZE 10240, STORAGE_VERSION 'v1.4.0'"

#: A guard; what keeps memory bounded is that the file is let go of now and then.
MEMORY_LIMIT = "160MB"

COMMIT_NS = 1_000_000_000

#: After so much, the log is worked into the file, and the file reopened: DuckDB keeps something in
#: memory for every group of rows that it wrote.
REOPEN_BYTES = 8_000_000

#: How much is kept in memory while somebody else has the file open, just as it was to be reopened.
PENDING_BYTES = 64_000_000

#: How long to wait for them at the end.
PATIENCE_S = 10.0

SCHEMA_IN_FILE = f"{CATALOG}.{RAW}"


class Writer:
    """A recording under way.

    The file is there, complete and readable, from the moment that this returns, with the mode 0600
    and, under sudo, owned by the invoking user.  What was committed survives ``kill -9``.

    :param overwrite: replace an earlier recording of that name
    :raises SockscopeError: when the file cannot be made, or exists and ``overwrite`` is false
    """

    def __init__(self, path: Path | str, meta: Meta, *, overwrite: bool = False) -> None:
        self.path = Path(path).absolute()
        self._over: SockscopeError | None = None
        self._tick = 0
        self._in_transaction = False
        self._committed_ns: int | None = None
        self._bytes = 0
        self._pending: list[Batch] = []
        with interrupts_later(), explained(self.path, "write"):
            self._database = open_memory(MEMORY_LIMIT)
            try:
                self._placed = place(self.path, lambda made: self._make(made, meta), overwrite)
                self._attach()
            except BaseException:
                self._database.close()
                raise
            release()

    def write(self, batch: Batch) -> None:
        """Take ``batch`` in; it is safe once committed, at most a second of batch time later.

        :raises SockscopeError: when it cannot be written; what was committed is kept
        """
        with self._careful():
            self._pending.append(batch)
            if not self._attached and not self._try_attach():
                return
            while self._pending:
                self._insert(self._pending.pop(0))
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
            self._wait_to_attach()
            self._commit()
            self._detach()
            self._end(SockscopeError(f"{self.path}: the recording is closed; start another one"))

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
            raise SockscopeError(str(self._over))
        with interrupts_later():
            try:
                with explained(self.path, "write"):
                    yield
            except SockscopeError as error:
                self._end(error)
                raise

    def _end(self, reason: SockscopeError) -> None:
        import duckdb

        self._over = reason
        self._pending.clear()
        with suppress(duckdb.Error):
            self._database.close()

    def _make(self, path: Path, meta: Meta) -> None:
        """An empty recording at ``path``."""
        run = self._database.execute
        run(f"ATTACH {literal(path)} AS {CATALOG} ({LAYOUT})")
        for statement in SCHEMA.statements(CATALOG):
            run(statement)
        rows = {"format": "sockscope", "schema_version": str(SCHEMA_VERSION)}
        lists = {part.field: part for part in SCHEMA.meta_lists}
        for field in dataclasses.fields(meta):
            value = getattr(meta, field.name)
            if field.name not in lists:
                rows[field.name] = escaped(str(value))
            elif value:
                lists[field.name].table.insert(self._database, SCHEMA_IN_FILE, 0, value)
        for row in rows.items():
            run(f"INSERT INTO {SCHEMA_IN_FILE}.meta VALUES (?, ?)", row)
        run(f"USE {CATALOG}")
        for statement in view_statements(RAW):
            run(statement)
        run("USE memory")
        run(f"CHECKPOINT {CATALOG}")
        run(f"DETACH {CATALOG}")

    def _insert(self, batch: Batch) -> None:
        if not self._in_transaction:
            self._database.begin()
            self._in_transaction = True
        SCHEMA.ticks.insert(self._database, SCHEMA_IN_FILE, self._tick, [batch])
        for part in SCHEMA.parts:
            things = part.things(batch)
            if len(things):
                part.table.insert(self._database, SCHEMA_IN_FILE, self._tick, things)
                self._bytes += getattr(things, "nbytes", 200 * len(things))
        self._tick += 1

    def _commit(self) -> None:
        self._placed.check()
        if self._in_transaction:
            self._database.commit()
            self._in_transaction = False
        if self._attached and self._bytes >= REOPEN_BYTES:
            self._detach()
            self._try_attach()
            release()

    def _attach(self) -> None:
        self._database.execute(f"ATTACH {literal(self.path)} AS {CATALOG} ({LAYOUT})")
        make_log(self.path)
        self._attached = True
        self._bytes = 0

    def _detach(self) -> None:
        self._database.execute(f"CHECKPOINT {CATALOG}")
        self._database.execute(f"DETACH {CATALOG}")
        self._attached = False
        drop_log(self.path)

    def _try_attach(self) -> bool:
        """Open the file again, unless somebody opened it that very moment: then it waits in memory."""
        import duckdb

        try:
            self._attach()
        except duckdb.IOException as error:
            waiting = sum(
                records.nbytes
                for batch in self._pending
                for records in vars(batch).values()
                if hasattr(records, "nbytes")
            )
            if "Could not set lock" not in str(error) or waiting > PENDING_BYTES:
                raise
        return self._attached

    def _wait_to_attach(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self._attached and not self._try_attach():
            if time.monotonic() > deadline:
                self._attach()
            time.sleep(0.05)
        while self._pending:
            self._insert(self._pending.pop(0))
