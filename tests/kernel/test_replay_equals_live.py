"""What a recording shows is what the live session showed: each frame, and every report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.history import LISTENER_SERIES, WORKER_SERIES, History, HistoryView
from sockscope.model.state import State
from sockscope.report import FORMATS, render
from sockscope.report.json import document
from sockscope.session.frame_sources import KEPT_CLOSED, open_replay_source
from sockscope.session.live import LiveSession
from sockscope.session.load_recording import read
from sockscope.store import Reader
from sockscope.store.recording import RecordingSink
from sockscope.target import Target
from tests.kernel.tracing import load
from tests.unit.store.recordings import assert_all_equal

pytestmark = pytest.mark.kernel


def _series(view: HistoryView) -> dict[str, Any]:
    """Everything that a history tells, as plain lists."""
    told: dict[str, Any] = {"times": view.times_ns.tolist()}
    for name in WORKER_SERIES:
        told[f"worker {name}"] = view.worker(name, sorted(view.workers)).tolist()
    for name in LISTENER_SERIES:
        told[f"listener {name}"] = view.listener(name, sorted(view.listeners)).tolist()
    return told


@pytest.mark.parametrize(
    "detail", [pytest.param(False, id="plain", marks=pytest.mark.slow), pytest.param(True, id="detail")]
)
def test_every_frame_and_every_report_of_a_recording_is_the_live_one(detail: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.sockscope"
    batches, live = [], []
    shown, everything, history = State(KEPT_CLOSED), State(), History()
    with servers.start("dispatch", workers=3) as server:
        with LiveSession(Target(ports=(server.port,)), detail=detail) as session:
            session.start()
            for state in (shown, everything):
                state.started_at(session.meta.started_ns)
            with RecordingSink(path, session.meta) as recording:
                for number in range(3):
                    load(server.port, "--connections", 150, "--concurrency", 8, "--requests", 3)
                    batch = session.batch() if number < 2 else session.stop()
                    recording.take(batch)
                    batches.append(batch)
                    for state in (shown, everything):
                        state.apply(batch)
                    history.apply(batch)
                    live.append((document(analyse(session.meta, shown.snapshot())), _series(history.view())))
            last, view = analyse(session.meta, everything.snapshot()), history.view()

    with Reader(path) as reader:
        assert_all_equal(reader.batches(), batches)
    assert any(len(batch.events) for batch in batches) == detail
    feed = open_replay_source(path)
    for number, (frame, series) in enumerate(live):
        feed.replay.seek(batches[number].time_ns)
        replayed = feed.next(1.0)
        assert replayed is not None
        np.testing.assert_equal(document(replayed[0]), frame)
        assert _series(replayed[1]) == series
    feed.close()
    again, happened = read(path)
    assert _series(happened) == _series(view)
    for form, _ in FORMATS:
        assert render(form, again, happened) == render(form, last, view), form
