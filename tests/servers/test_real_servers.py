"""Real servers, started from their packages and driven by real clients: what the tool says is so.

Each is driven twice: at full rate, beside the books of its clients, and slowly, beside strace.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.servers.real_servers import REAL, MissingError, Real, is_there, running, version_of
from tests.servers.real_trace import complaints, watching
from tests.servers.real_truth import seen_by, straced, told_by
from tests.servers.table_of_servers import differences

pytestmark = [pytest.mark.kernel, pytest.mark.servers]

UNDER_STRACE = 24


def _need(real: Real) -> None:
    if not is_there(real) and not os.environ.get("CI"):
        pytest.skip(f"{real.software} is not installed: apt install {' '.join(real.packages)}")


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_a_real_server_is_seen_as_it_is(real: Real) -> None:
    _need(real)
    try:
        with running(real) as started, watching(started) as run:
            run.drive(real.connections)
            with straced(started) as log:
                since_ns = time.monotonic_ns()
                run.drive(UNDER_STRACE, concurrency=4)
            truth = told_by(log, started.port)
            found = run.end()
    except MissingError as missing:
        pytest.fail(f"{missing} is not installed")

    assert complaints(found) == []
    seen = seen_by([row for row in found.seen["connections"] if row["established_ns"] > since_ns])
    assert sum(truth.accepts.values()) == UNDER_STRACE
    assert seen.accepts == truth.accepts
    assert seen.read == truth.read
    assert seen.written == truth.written
    verdict = found.verdict
    told = (verdict["model"], verdict["handoff"], verdict["roaming"])
    roaming = verdict["roaming"] if real.may_roam else real.roaming
    assert told == (real.model, real.handoff, roaming), verdict["evidence"]
    assert verdict["confidence"] > 0.9, verdict["evidence"]
    locked = any("a lock lets one accept at a time" in sentence for sentence in verdict["evidence"])
    assert locked == ("accept_mutex on" in real.how), verdict["evidence"]
    assert verdict["comm"]
    if not _keep(real, verdict):
        assert differences(real, verdict["evidence"]) == frozenset(), "docs/servers.md says otherwise"


def _keep(real: Real, verdict: dict[str, object]) -> bool:
    """Whether docs/servers.md is to be made anew of it: see table_of_servers.py."""
    directory = os.environ.get("SOCKSCOPE_SERVER_RESULTS")
    if directory:
        row = {
            "version": version_of(real),
            **{key: verdict[key] for key in ("model", "handoff", "roaming", "evidence")},
        }
        (Path(directory) / f"{real.name}.json").write_text(json.dumps(row))
    return bool(directory)
