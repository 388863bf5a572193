"""Frames for commands: of a whole recording, or of some time of live tracing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Frame
from sockscope.model.state import State
from sockscope.records.batch import Batch, Meta
from sockscope.session.live import DEFAULT_MAP_SIZES, LiveSession
from sockscope.store.deferred_signals import defer_signals
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes

#: What is committed after a tick and the time that it takes shall be no more than a second old, on a machine
#: that is full of other work, too.
TICK_NS = 500_000_000

#: What ended a session: ``ended()`` said so, the time, the target, or Ctrl-C.
Ending = Literal["ended", "time is up", "target ended", "interrupted"]


def frame_of_batches(meta: Meta, batches: list[Batch]) -> Frame:
    """The frame after the last of ``batches``; the list is empty then, for they may be large."""
    state = State()
    state.started_at(meta.started_ns)
    while batches:
        state.apply(batches.pop(0))
    snapshot = state.snapshot()
    del state
    return analyse(meta, snapshot)


def frame_of_recording(path: Path) -> Frame:
    """All of a recording, as at its end.

    :raises SockscopeError: when it cannot be read
    """
    from sockscope.store import Reader

    with Reader(path) as reader:
        meta, batches = reader.meta, [reader.final_batch()]
    return frame_of_batches(meta, batches)


def frame_of_live(
    target: Target,
    duration_ns: int | None,
    *,
    limits: MapSizes = DEFAULT_MAP_SIZES,
    signals: Mapping[str, str] | None = None,
    started: Callable[[int], None] = lambda listeners: None,
    ended: Callable[[], bool] = lambda: False,
) -> Frame:
    """Trace for a while; the frame at the end.

    :param duration_ns: None: until ``ended`` or Ctrl-C
    :param started: called once everything is attached, with the number of listeners there are
    :param ended: asked now and then whether it is over
    :raises SockscopeError: when tracing is not possible here
    """
    with LiveSession(target, limits, signals) as session:
        state = State()
        state.started_at(session.meta.started_ns)
        started(session.start())
        run(session, state.apply, duration_ns, ended=ended)
        return analyse(session.meta, state.snapshot())


def run(
    session: LiveSession,
    take: Callable[[Batch], None],
    duration_ns: int | None,
    *,
    ended: Callable[[], bool] = lambda: False,
    wants_whole: Callable[[], bool] = lambda: False,
    begun: Callable[[], None] = lambda: None,
) -> Ending:
    """Go on with a session that was started, and hand each batch to ``take``, the last one too.

    :param wants_whole: whether the next batch is due at once, and shall tell all that is open
    :param begun: called first; from then on an interrupt is an end like any other
    :returns: what ended it

    Ctrl-C is a way to end it, not a failure.
    """
    ending: Ending = "ended"
    try:
        begun()
        begin = time.monotonic_ns()
        end = None if duration_ns is None else begin + duration_ns
        due = begin + TICK_NS
        while not ended():
            if end is not None and time.monotonic_ns() >= end:
                ending = "time is up"
                break
            if session.target_has_ended():
                ending = "target ended"
                break
            session.wait_for_tick(min(due, end or due, time.monotonic_ns() + TICK_NS // 4))
            whole = wants_whole()
            if whole or time.monotonic_ns() >= due or session.under_pressure():
                # what a batch took out of the kernel is nowhere else: an interrupt waits until it is kept
                with defer_signals():
                    take(session.batch(whole=whole))
                due = max(due + TICK_NS, time.monotonic_ns() + TICK_NS // 2)
    except KeyboardInterrupt:
        ending = "interrupted"
    with defer_signals():
        take(session.stop())
    return ending
