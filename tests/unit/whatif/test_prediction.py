"""What is extracted from a recording is what was simulated into it, and predictions follow from it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sockscope.cli import run
from sockscope.model.snapshot import Snapshot
from sockscope.records.layout import CONNECTION, ConnectionFlag
from sockscope.whatif import html
from sockscope.whatif.alternatives import MODELS, Alternative
from sockscope.whatif.engine import Setup, Work, simulate
from sockscope.whatif.predict import advise, predict, rank
from sockscope.whatif.workload import UnsupportedRecordingError, extract

ROOT = Path(__file__).resolve().parents[3]
RECORDING = ROOT / "docs" / "recordings" / "straggler.sockscope"
START_NS = 10**12


def recorded(work: Work, setup: Setup, model: str, waits: int = 1, drops: int = 0) -> tuple[Any, Any]:
    """A frame and a server as if the simulated run had been traced."""
    run = simulate(work, setup)
    done = ~np.isnan(run.replied)
    connections = np.zeros(int(done.sum()), CONNECTION)

    def moment(seconds: np.ndarray) -> np.ndarray:
        return START_NS + np.round(seconds[done] * 1e9).astype(np.uint64)

    worker = run.worker[done] + 1
    connections["id"] = np.arange(len(connections)) + 1
    connections["established_ns"] = moment(run.established)
    connections["first_data_ns"] = moment(run.readable)
    connections["accepted_ns"] = moment(run.accepted)
    connections["first_read_ns"] = moment(run.read)
    connections["first_write_ns"] = connections["touched_ns"] = moment(run.replied)
    connections["acceptor"] = worker
    connections["listener"] = worker if model == "reuseport" else 1
    connections["io"]["worker"][:, 0] = worker
    connections["io"]["reads"][:, 0] = connections["io"]["writes"][:, 0] = 1
    workers = {
        number + 1: SimpleNamespace(
            id=number + 1, reads=1, waits=waits, cpu_ns=0, cpu_wait_ns=0, busy_ns=0, ended_ns=1, flags=0,
            pid=number + 1, tid=number + 1, comm="w", last_wait=0, accepts=1, parent_pid=1,
            first_seen_ns=START_NS, start_ns=0, wait_exit_ns=0, accepts_eagain=0, wait_enter_ns=0,
        )
        for number in range(setup.workers)
    }  # fmt: skip
    taken = (run.replied - run.read)[done]
    cpu_share = work.cpu.sum() / (work.cpu + work.blocked).sum()
    for number, each in workers.items():
        each.busy_ns = round(taken[worker == number].sum() * 1e9)
        each.cpu_ns = round(each.busy_ns * cpu_share)
    count = setup.workers if model == "reuseport" else 1
    listeners = tuple(
        SimpleNamespace(
            id=number + 1, drops=drops, backlog=setup.backlog, queue_max=run.queue_max, closed_ns=0, owners=()
        )
        for number in range(count)
    )
    snapshot = Snapshot(
        START_NS + round(run.span * 1e9), START_NS, (), workers, connections, connections["io"][:, 0],
        np.empty(0), np.empty(0), 0,
    )  # fmt: skip
    frame = SimpleNamespace(snapshot=snapshot, meta=SimpleNamespace(cpus=64))
    server = SimpleNamespace(
        model=model,
        comm="w",
        handoff="none",
        readers=tuple(workers.values()),
        acceptors=tuple(workers.values()),
        writers=tuple(workers.values()),
        group=SimpleNamespace(name="127.0.0.1:80", port=80, listeners=listeners),
    )
    return frame, server


def heavy(count: int = 2000, rate: float = 400, seed: int = 4) -> Work:
    chance = np.random.default_rng(seed)
    demand = chance.lognormal(-5.3, 0.8, count)
    return Work(
        np.cumsum(chance.exponential(1 / rate, count)),
        np.zeros(count),
        demand * 0.1,
        demand * 0.9,
        chance.random(count),
        np.ones(count, np.int64),
    )


def test_the_recorded_setup_is_recognised_and_reproduced() -> None:
    work = heavy()
    workload = extract(*recorded(work, Setup("shared", "fifo", 4, event_loop=False), "shared", waits=0))
    assert (workload.setup.sharing, workload.setup.choice) == ("shared", "fifo")
    assert (workload.setup.workers, workload.setup.event_loop, workload.setup.clients) == (4, False, 0)
    assert workload.blocked_share == pytest.approx(0.9, abs=0.01)
    assert workload.work.blocked == pytest.approx(work.blocked, rel=1e-3)
    found = predict(workload, (), saturation=False)
    assert found.reproduced == pytest.approx(1.0, abs=0.1)
    assert not found.warnings


@pytest.mark.parametrize(("burst", "accepts"), [(1, 1), (10**6, 10**6)])
def test_how_many_connections_a_turn_accepts_is_recognised(burst: int, accepts: int) -> None:
    workload = extract(*recorded(heavy(rate=700), Setup("shared", "lifo", 4, burst=burst), "shared"))
    assert (workload.setup.event_loop, workload.setup.burst) == (True, accepts)


def test_a_closed_loop_is_recognised_with_its_clients() -> None:
    work = heavy()
    workload = extract(*recorded(work, Setup("reuseport", "hash", 4, clients=24), "reuseport"))
    assert workload.setup.clients == pytest.approx(24, abs=1)
    assert workload.setup.think == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize(
    ("model", "setup"),
    [
        ("reuseport", Setup("reuseport", "hash", 4, event_loop=False)),
        ("shared", Setup("shared", "fifo", 8, event_loop=False)),
    ],
)
def test_p99_of_another_setup_is_predicted_within_its_interval(model: str, setup: Setup) -> None:
    work = heavy()
    workload = extract(*recorded(work, Setup("shared", "fifo", 4, event_loop=False), "shared", waits=0))
    asked = Alternative(f"{model}:fifo" if model == "shared" else model, setup.workers)
    prediction = predict(workload, [asked], saturation=False).alternatives[0]
    truth = simulate(work, setup)
    p99 = float(np.quantile(truth.replied - truth.established, 0.99))
    assert prediction.total.p99.low <= p99 <= prediction.total.p99.high
    assert prediction.total.p99.value == pytest.approx(p99, rel=0.3)


def test_a_slow_worker_stays_slow_under_another_model() -> None:
    work = heavy(rate=150)
    setup = Setup("reuseport", "hash", 4, speeds=(1.0, 0.25, 1.0, 1.0))
    workload = extract(*recorded(work, setup, "reuseport"))
    assert workload.setup.speeds == pytest.approx((1.0, 0.25, 1.0, 1.0), rel=0.15)
    assert workload.work.blocked.mean() == pytest.approx(work.blocked.mean(), rel=0.1)


def test_fewer_connections_than_a_tail_needs_are_refused() -> None:
    with pytest.raises(UnsupportedRecordingError, match=r"100 connections .* 200 are needed"):
        extract(*recorded(heavy(100), Setup("shared", "fifo", 2), "shared"))


def test_a_dispatch_server_is_refused_because_its_demand_contains_waits() -> None:
    frame, server = recorded(heavy(), Setup("shared", "fifo", 2), "shared")
    server.model = "dispatch"
    with pytest.raises(UnsupportedRecordingError, match="includes its wait for that thread"):
        extract(frame, server)


def test_a_recording_without_a_needed_signal_is_refused_by_its_name() -> None:
    frame, server = recorded(heavy(), Setup("shared", "fifo", 2), "shared")
    frame.snapshot = dataclasses.replace(frame.snapshot, untraced=frozenset({"write", "wake"}))
    with pytest.raises(UnsupportedRecordingError, match="signals not traced: write"):
        extract(frame, server)


def test_many_dropped_handshakes_are_refused() -> None:
    with pytest.raises(UnsupportedRecordingError, match="200 handshakes were dropped"):
        extract(*recorded(heavy(), Setup("shared", "fifo", 4), "shared", drops=200))


def test_connections_older_than_the_recording_are_left_out() -> None:
    frame, server = recorded(heavy(), Setup("shared", "fifo", 4), "shared")
    frame.snapshot.connections["flags"][:500] = int(ConnectionFlag.OPEN_BEFORE)
    assert extract(frame, server).connections == 1500


def test_more_load_on_saturated_workers_of_a_closed_loop_is_refused() -> None:
    workload = extract(*recorded(heavy(), Setup("reuseport", "hash", 2, clients=40), "reuseport"))
    with pytest.raises(UnsupportedRecordingError, match="saturated by clients that wait for replies"):
        predict(workload, [Alternative(load=2.0)])


def test_advice_ranks_a_shared_queue_above_hashing_for_blocking_handlers() -> None:
    workload = extract(
        *recorded(heavy(rate=550), Setup("reuseport", "hash", 4, event_loop=False), "reuseport")
    )
    tried = [each for each in advise(workload) if each.workers == 4]
    ranked = rank(predict(workload, tried, saturation=False).alternatives)
    assert ranked[0].alternative.model in ("shared", "handoff:least")
    assert re.search(r"p99 falls from .* to ", ranked[0].sentence)


@pytest.mark.parametrize("model", [name for name, _, _ in MODELS])
def test_every_model_of_the_command_line_can_be_simulated(model: str) -> None:
    work, setup = Alternative(model).apply(heavy(200), Setup("shared", "fifo", 3))
    assert not np.isnan(simulate(work, setup).finished).any()


def test_the_command_predicts_from_the_shipped_recording(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["what-if", str(RECORDING), "--workers", "8", "--format", "json"]) == 0
    server = json.loads(capsys.readouterr().out)["servers"][0]
    assert (server["model"], server["loop"], server["workers"]) == ("reuseport", "open", 4)
    (found,) = server["alternatives"]
    assert (found["name"], found["workers"]) == ("8 workers", 8)
    p99 = found["total_ns"]["p99"]
    assert 0 < p99["low"] <= p99["value"] <= p99["high"]
    assert run(["what-if", str(RECORDING), "--model", "shared"]) == 0
    assert "→ with shared p99 falls from" in capsys.readouterr().out


def test_the_page_shows_both_distributions_and_escapes_names() -> None:
    frame, server = recorded(heavy(400), Setup("shared", "fifo", 2, event_loop=False), "shared", waits=0)
    server.comm = "<script>"
    result = predict(extract(frame, server), [Alternative("reuseport")], saturation=False)
    page = html.render((result,))
    assert page.count("<svg") == 2
    assert "<script>" not in page
    assert "&lt;script&gt; on 127.0.0.1:80" in page
    assert result.alternatives[0].sentence in page
    for row in ("measured", "simulated as recorded", "reuseport"):
        assert page.count(f"<td>{row}</td>") == 5


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "what-if needs something to change"),
        (("--model", "magic"), 2, "unknown model 'magic'; choose from single, shared"),
        (("--model", "single", "--workers", "3"), 2, "single has one worker"),
        (("--workers", "0"), 2, "--workers must be between 1 and"),
        (("--workers", "2", "--clients", "some"), 2, "--clients 'some' is neither a number nor open"),
        (("--advise", "--port", "1"), 1, "the recording has no connections to port 1"),
    ],
)
def test_an_invalid_question_is_one_line(
    words: tuple[str, ...], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["what-if", str(RECORDING), *words]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_the_order_of_wake_ups_is_recognised_by_the_recorded_shares(order: Any) -> None:
    workload = extract(*recorded(heavy(rate=100), Setup("shared", order, 4), "shared"))
    assert workload.setup.choice == order
    assert Alternative("shared", 6).apply(workload.work, workload.setup)[1].choice == order
