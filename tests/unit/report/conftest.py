"""Frames, histories and recordings of servers that never were, for everything that reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Frame
from sockscope.model.history import History, HistoryView
from sockscope.model.state import State
from sockscope.store import Writer
from tests.synthetic import Scenario, SyntheticSource

TICKS = 16

SCENARIOS = {
    "even": Scenario("reuseport"),
    "straggler": Scenario("shared", workers=6, straggler=2, lost=3),
    "overflow": Scenario("single", workers=1, overflow=True, rate=1500.0, backlog=64),
    "dispatch": Scenario("dispatch", workers=5),
    "handoff": Scenario("handoff", workers=4, imbalance=2.0),
    "hostile": Scenario("shared", workers=2, names=("<script>x", "$a|b`&\"'", "_c\x1b[31m")),
}


@cache
def shown(name: str, ticks: int = TICKS) -> tuple[Frame, HistoryView]:
    """The frame at the end of a scenario, and what led to it."""
    source = SyntheticSource(SCENARIOS[name])
    state, history = State(), History()
    state.started_at(source.meta.started_ns)
    for batch in source.batches(ticks):
        state.apply(batch)
        history.apply(batch)
    return analyse(source.meta, state.snapshot()), history.view()


def frames(names: Iterable[str] = tuple(SCENARIOS)) -> list[Frame]:
    return [shown(name)[0] for name in names]


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """A scenario in a file, which tests only read."""

    @cache
    def write(name: str = "even", ticks: int = TICKS) -> Path:
        source = SyntheticSource(SCENARIOS[name])
        path = tmp_path_factory.mktemp("recordings") / f"{name}.sockscope"
        with Writer(path, source.meta) as writer:
            for batch in source.batches(ticks):
                writer.write(batch)
        return path

    return write
