"""Trace a server for a while, for a comparison of before, during and after."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sockscope.analysis.analyse import analyse
from sockscope.analysis.server_waits import NAMES
from sockscope.compare.model import Comparison, Recorded
from sockscope.model.histogram import percentile
from sockscope.model.history import History
from sockscope.model.state import State
from sockscope.session.live import LiveSession
from sockscope.target import Target

_TICK_NS = 500_000_000
_Z95 = 1.96
_KEPT_CLOSED = 1000


def trace(name: str, target: Target, seconds: float | None, tick: Callable[[], bool]) -> Recorded:
    """Trace ``target`` for ``seconds`` (None: until ``tick`` returns False or Ctrl-C).

    :param tick: called twice per second
    :raises SockscopeError: when tracing is not possible
    """
    state, history = State(_KEPT_CLOSED), History()
    with LiveSession(target) as session:
        state.started_at(session.meta.started_ns)
        session.start()
        begin = time.monotonic_ns()
        end = begin + round(seconds * 1e9) if seconds is not None else None
        due = begin
        try:
            while end is None or time.monotonic_ns() < end:
                due += _TICK_NS
                session.wait_for_tick(due if end is None else min(due, end))
                batch = session.batch()
                state.apply(batch)
                history.apply(batch)
                if not tick():
                    break
        except KeyboardInterrupt:
            if seconds is not None and name != "during":
                raise
        batch = session.stop()
        state.apply(batch)
        history.apply(batch)
    return Recorded(name, analyse(session.meta, state.snapshot()), history.view())


@dataclass(frozen=True)
class Interval:
    """A percentile of a wait in one phase, with its 95 % confidence interval, in nanoseconds."""

    phase: str
    wait: str
    fraction: float
    samples: int
    value: float
    low: float
    high: float


def intervals(comparison: Comparison) -> list[Interval]:
    """Return p50 and p99 of the waits with confidence intervals from order statistics."""
    found = []
    for pairing in comparison.pairings:
        for one, server in zip(comparison.recorded, pairing.servers, strict=True):
            if server is None:
                continue
            waits = one.frame.reports[server.group.name].waits
            for wait in ("queue_wait", "answer"):
                title = NAMES[wait]
                counts = waits[wait]
                samples = int(counts.sum())
                for fraction in (0.5, 0.99):
                    error = _Z95 * math.sqrt(fraction * (1 - fraction) / samples) if samples else 0.0
                    low, high = max(fraction - error, 0.0), min(fraction + error, 1.0)
                    found.append(
                        Interval(
                            one.name,
                            title,
                            fraction,
                            samples,
                            *(percentile(counts, part) for part in (fraction, low, high)),
                        )
                    )
    return found
