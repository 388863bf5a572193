"""Trace a real server, and put what was seen beside its clients' books."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.sources.target import Target
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


def watch(
    started: Started,
    connections: int,
    concurrency: int = 16,
    meanwhile: Callable[[], None] | None = None,
    target: Target | None = None,
) -> Watched:
    """Trace the server while clients talk to it."""
    with LiveSession(target or Target(ports=(started.port,))) as session:
        session.start()
        state = State()
        state.apply(session.batch())
        books = drive(started.port, started.real.talk, connections, concurrency)
        if meanwhile:
            meanwhile()
        seen = _until_closed(session, state, connections)
        state.apply(session.stop())
        seen = document(analyse(session.meta, state.snapshot()))
    return Watched(json.loads(json.dumps(seen)), books)


def _until_closed(session: LiveSession, state: State, connections: int) -> dict[str, Any]:
    """Clients are through before servers are: wait for the last close, but not for ever."""
    deadline = time.monotonic() + 3
    while True:
        state.apply(session.batch())
        if state.snapshot().closed_total >= connections or time.monotonic() > deadline:
            return {}
        time.sleep(0.02)


def complaints(watched: Watched) -> list[str]:
    """Everything in which the report differs from the clients' books; empty when it is exact."""
    said = []
    if watched.seen["health"]["lost"]:
        said.append(f"lost: {watched.seen['health']['lost']}")
    rows = {row["remote"]: row for row in watched.seen["connections"]}
    if len(rows) != len(watched.seen["connections"]) or rows.keys() != {
        booked.local for booked in watched.books
    }:
        said.append(f"{len(watched.seen['connections'])} connections seen, {len(watched.books)} made")
    for booked in watched.books:
        row = rows.get(booked.local)
        if row is None:
            continue
        read = sum(reader["bytes"] for reader in row["readers"])
        written = sum(writer["bytes"] for writer in row["writers"])
        threads = [row["acceptor"] or {}, *row["readers"], *row["writers"]]
        if (read, written) != (booked.sent, booked.received):
            said.append(f"{booked.local}: read {read}, written {written}; its client says {booked}")
        if row["listener"] is None or not row["exact"] or not row["readers"] or not row["writers"]:
            said.append(f"{booked.local}: not explained: {row}")
        if not all(thread.get("tid") and thread.get("comm") for thread in threads):
            said.append(f"{booked.local}: a thread without a name: {threads}")
    accepts = sum(listener["accepts"] for listener in watched.seen["listeners"])
    by_workers = sum(worker["accepts"] for worker in watched.seen["workers"])
    if not accepts == by_workers == len(watched.books):
        said.append(f"{accepts} accepts by listeners, {by_workers} by threads, {len(watched.books)} made")
    return said
