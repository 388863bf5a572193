"""Trace a real server, and put what was seen beside its clients' books."""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.kernel.tracing import leaving_at_once
from tests.servers.real_clients import Booked, drive
from tests.servers.real_servers import Started


@dataclass(frozen=True)
class Watched:
    """A traced run: the report, and every connection as its client knows it."""

    seen: dict[str, Any]
    books: list[Booked]

    @property
    def verdict(self) -> dict[str, Any]:
        (server,) = (row for row in self.seen["servers"] if row["connections"])
        return dict(server)


class Watching:
    """A server that is being traced, and its clients' books so far."""

    def __init__(self, session: LiveSession, started: Started) -> None:
        self.books: list[Booked] = []
        self._session, self._started = session, started
        self._state = State()
        session.start()
        self._state.apply(session.batch())

    def drive(self, connections: int, concurrency: int = 16) -> list[Booked]:
        """Clients come and go; back when the server has closed all their connections too."""
        real = self._started.real
        books = drive(self._started.port, real.talk, connections, concurrency, spread=real.spread)
        self.books += books
        self.until_closed()
        return books

    def until_closed(self) -> None:
        """Clients are through before servers are: wait for the last close, but not for ever."""
        deadline = time.monotonic() + 3
        while self._state.snapshot().closed_total < len(self.books) and time.monotonic() < deadline:
            time.sleep(0.02)
            self._state.apply(self._session.batch())

    def end(self) -> Watched:
        """Stop tracing, and tell."""
        self._state.apply(self._session.stop())
        seen = document(analyse(self._session.meta, self._state.snapshot()))
        return Watched(json.loads(json.dumps(seen)), self.books)


@contextlib.contextmanager
def watching(started: Started, target: Target | None = None) -> Iterator[Watching]:
    """The server, traced."""
    with leaving_at_once(LiveSession(target or Target(ports=(started.port,)))) as session:
        yield Watching(session, started)


def watch(
    started: Started,
    connections: int,
    concurrency: int = 16,
    meanwhile: Callable[[], None] | None = None,
    target: Target | None = None,
) -> Watched:
    """Trace the server while clients talk to it."""
    with watching(started, target) as run:
        run.drive(connections, concurrency)
        if meanwhile:
            meanwhile()
            run.until_closed()
        return run.end()


def complaints(watched: Watched) -> list[str]:
    """Everything in which the report differs from the clients' books; empty when it is exact."""
    said = []
    if watched.seen["health"]["lost"]:
        said.append(f"lost: {watched.seen['health']['lost']}")
    # a client's port may serve again within a run: what is compared is all that happened on a port
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    books: dict[str, list[Booked]] = defaultdict(list)
    for row in watched.seen["connections"]:
        rows[row["remote"]].append(row)
    for booked in watched.books:
        books[booked.local].append(booked)
    if {end: len(mine) for end, mine in rows.items()} != {end: len(mine) for end, mine in books.items()}:
        said.append(f"{len(watched.seen['connections'])} connections seen, {len(watched.books)} made")
    for end, booked_here in books.items():
        seen_bytes = sorted(
            (sum(deed["bytes"] for deed in row["readers"]), sum(deed["bytes"] for deed in row["writers"]))
            for row in rows[end]
        )
        if seen_bytes != sorted((booked.sent, booked.received) for booked in booked_here):
            said.append(f"{end}: read and written {seen_bytes}; its client says {booked_here}")
    for row in watched.seen["connections"]:
        threads = [row["acceptor"] or {}, *row["readers"], *row["writers"]]
        if row["listener"] is None or not row["exact"] or not row["readers"] or not row["writers"]:
            said.append(f"{row['remote']}: not explained: {row}")
        if not all(thread.get("tid") and thread.get("comm") for thread in threads):
            said.append(f"{row['remote']}: a thread without a name: {threads}")
    accepts = sum(listener["accepts"] for listener in watched.seen["listeners"])
    by_workers = sum(worker["accepts"] for worker in watched.seen["workers"])
    if not accepts == by_workers == len(watched.books):
        said.append(f"{accepts} accepts by listeners, {by_workers} by threads, {len(watched.books)} made")
    return said
