"""Trace a reference server under load, and say what was seen and what was true."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import servers
from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Frame
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes

Deeds = dict[str, list[int]]


@dataclass(frozen=True)
class Traced:
    """A run: what the tool saw, what the server wrote down itself, what the client was told."""

    frame: Frame
    seen: dict[str, Any]
    ledger: list[dict[str, Any]]
    client: list[dict[str, Any]]


_leaving: list[threading.Thread] = []


@contextlib.contextmanager
def leaving_at_once(session: LiveSession) -> Iterator[LiveSession]:
    """The session; its probes go, which takes a second, while what comes next has begun."""
    try:
        yield session
    finally:
        _leaving.append(threading.Thread(target=session.close))
        _leaving[-1].start()


def until_all_have_left() -> None:
    """For those who count what is in the kernel."""
    while _leaving:
        _leaving.pop().join()


def load(
    port: int, *options: object, host: str = "127.0.0.1", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """The load generator, to its end."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    command = [sys.executable, "-m", "servers.load", "--connect", address, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def run_traced(
    tmp_path: Path,
    model: str,
    options: dict[str, Any],
    load_options: tuple[object, ...],
    *,
    host: str = "127.0.0.1",
    connect: str = "",
    limits: MapSizes = MapSizes(),  # noqa: B008
    signals: dict[str, str] | None = None,
) -> Traced:
    """Start a server, trace it, load it, stop both; in this order, so that everything was seen."""
    truth, ledger = tmp_path / "client.jsonl", tmp_path / "ledger.jsonl"
    with servers.start(model, ledger=ledger, host=host, **options) as server:
        with leaving_at_once(LiveSession(Target(ports=(server.port,)), limits, signals)) as session:
            session.start()
            state = State()
            load(server.port, *load_options, "--truth", truth, host=connect or host)
            state.apply(session.batch())
            server.stop()
            state.apply(session.stop())
            frame = analyse(session.meta, state.snapshot())
    return Traced(frame, json.loads(json.dumps(document(frame))), _lines(ledger), _lines(truth))


def by_remote(rows: list[dict[str, Any]], key: str = "remote") -> dict[str, list[dict[str, Any]]]:
    """Rows by the client's end; a port may serve several connections, one after another."""
    table: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        table[row[key]].append(row)
    return table


def essence_of_seen(row: dict[str, Any]) -> tuple[Any, ...]:
    """A connection of the report, as the ledger would put it."""
    acceptor = row["acceptor"] or {}
    return (
        row["local"],
        row["listener"],
        (acceptor.get("pid"), acceptor.get("tid")),
        {f"{reader['pid']}/{reader['tid']}": [reader["reads"], reader["bytes"]] for reader in row["readers"]},
        {
            f"{writer['pid']}/{writer['tid']}": [writer["writes"], writer["bytes"]]
            for writer in row["writers"]
        },
    )


def essence_of_ledger(row: dict[str, Any]) -> tuple[Any, ...]:
    """A connection of the server's own ledger."""
    return (row["local"], row["listener"], tuple(row["acceptor"]), row["readers"], row["writers"])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
