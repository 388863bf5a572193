"""docs/report.md and the JSON report name the same keys."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.model.connection_ends import END_COUNT
from sockscope.model.snapshot import AcceptError, Waiting
from sockscope.report.json import document, render
from tests.unit.report.conftest import SCENARIOS, frames, shown

DOCS = Path(__file__).resolve().parents[3] / "docs" / "report.md"

#: Parts of a document that name what they hold: their keys are data.
FREE = {"findings[].evidence"}


def keys_of(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            at = f"{path}.{name}" if path else name
            yield at
            if at not in FREE:
                yield from keys_of(inner, at)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, f"{path}[]")


def written() -> set[str]:
    """The keys of several documents, which between them have every key."""
    found: set[str] = set()
    for frame, history in map(shown, SCENARIOS):
        snapshot = frame.snapshot
        someone = next(iter(snapshot.workers))
        listeners = tuple(dataclasses.replace(one, listened_by=someone) for one in snapshot.listeners)
        waiting = tuple(Waiting(one.id, someone, 1) for one in listeners)
        failed = tuple(AcceptError(one.id, someone, 24, 1, 1, 1) for one in listeners)
        ends = np.zeros(len(listeners), END_COUNT)
        ends["listener"], ends["count"] = [one.id for one in listeners], 1
        connections = snapshot.connections.copy()
        connections["closed_by"] = someone
        changed = dataclasses.replace(
            snapshot, listeners=listeners, waiting=waiting, accept_errors=failed, ends=ends,
            connections=connections,
        )  # fmt: skip
        whole = dataclasses.replace(frame, snapshot=changed)
        found |= set(keys_of(json.loads(render(whole, history))))
    return found


def documented() -> dict[str, tuple[str, str, str]]:
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \| (.*?) ?\| (.+?) \|$", DOCS.read_text(), re.M)
    assert len(rows) == len({row[0] for row in rows}), "a key is documented twice"
    return {key: (kind, unit, meaning) for key, kind, unit, meaning in rows}


def test_every_key_is_documented_and_every_documented_key_is_written() -> None:
    top = {key for key in written() if key not in ("meta", "health")}
    assert top == set(documented())


def test_every_duration_and_moment_says_that_it_is_nanoseconds() -> None:
    for key, (_, unit, meaning) in documented().items():
        assert meaning
        if key.endswith("_ns"):
            assert unit.startswith("ns"), key


def test_what_is_not_marked_as_null_never_is() -> None:
    nullable = {key for key, (kind, _, _) in documented().items() if "null" in kind}
    for frame in frames():
        for key in _nulls(document(frame)):
            assert key in nullable, key


def _nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _nulls(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _nulls(inner, f"{path}[]")
