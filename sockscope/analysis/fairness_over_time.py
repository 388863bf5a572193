"""Fairness of each kind of work in stretches of time: what is even in all may never have been even.

Counts and times come from the history, so they are of all that these threads did, on other listeners
too; open connections are counted at the end of each stretch, among the connections that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sockscope.analysis.fairness import Fairness, fairness
from sockscope.analysis.server import Server
from sockscope.analysis.work_distribution import WorkDistribution, WorkShare, get_connections, open_each
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Snapshot
from sockscope.records.structured import take

#: Figure → series of the history.
_SERIES = {"accepts": "accepts", "reads": "reads", "bytes": "bytes", "busy time": "busy", "CPU time": "cpu"}
PARTS = 10


@dataclass(frozen=True)
class Stretch:
    """The fairness of each figure, by its name, between two times (monotonic ns)."""

    begin_ns: int
    end_ns: int
    fairness: Mapping[str, Fairness]


def fairness_over_time(
    history: HistoryView, snapshot: Snapshot, server: Server, figures: WorkDistribution, parts: int = PARTS
) -> tuple[Stretch, ...]:
    """At most ``parts`` stretches of equally many ticks; none when there is no history."""
    if not history.ticks:
        return ()
    taken = np.array_split(np.arange(history.ticks), min(parts, history.ticks))
    connections = get_connections(snapshot, server.group)
    series = {
        figure.name: history.worker(_SERIES[figure.name], [worker.id for worker in figure.workers])
        for figure in figures
        if figure.name in _SERIES
    }
    stretches = []
    for ticks in taken:
        begin = int(history.times_ns[ticks[0]] - history.seconds[ticks[0]] * 1e9)
        end = int(history.times_ns[ticks[-1]])
        alive = take(
            connections,
            (connections["accepted_ns"] <= end)
            & ((connections["ending_ns"] == 0) | (connections["ending_ns"] > end)),
        )
        alive["ending_ns"] = 0  # as it stood then
        judged = {}
        for figure in figures:
            if figure.name in series:
                judged[figure.name] = _judged(figure, series[figure.name][:, ticks].sum(axis=1).tolist())
            else:
                judged[figure.name] = fairness(open_each(snapshot, alive, figure.workers))
        stretches.append(Stretch(begin, end, judged))
    return tuple(stretches)


def _judged(figure: WorkShare, values: list[float]) -> Fairness:
    """Judged as over the whole run: of work that belongs to few connections as many count as then."""
    if figure.name == "accepts":
        return fairness(values)
    whole = figure.fairness
    if not whole.noise_cv > 0 or not whole.total:
        return fairness(values, counts=False)
    things = (len(whole.values) - 1) / whole.noise_cv**2
    return fairness(values, counts=False, independent=things * min(sum(values) / whole.total, 1.0))
