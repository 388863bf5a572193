"""The simulation obeys queueing theory, and the kernel's rules for a full accept queue."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockscope.whatif.engine import Run, Setup, Work, simulate


def poisson(rate: float, demands: np.ndarray, seed: int = 1, blocked: bool = False) -> Work:
    chance = np.random.default_rng(seed)
    count = len(demands)
    nothing = np.zeros(count)
    return Work(
        np.cumsum(chance.exponential(1 / rate, count)),
        nothing,
        nothing if blocked else demands,
        demands if blocked else nothing,
        chance.random(count),
        np.ones(count, np.int64),
    )


def mean_wait(run: Run) -> float:
    return float(np.mean(run.read - run.begun))


def erlang_c_wait(rate: float, mean: float, workers: int) -> float:
    load = rate * mean
    terms = sum(load**k / math.factorial(k) for k in range(workers))
    last = load**workers / math.factorial(workers) * workers / (workers - load)
    return last / (terms + last) * mean / (workers - load)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_mean_wait_of_m_m_k_meets_erlangs_formula(workers: int) -> None:
    demands = np.random.default_rng(5).exponential(0.001, 150_000)
    rate = 0.5 * workers / 0.001
    run = simulate(poisson(rate, demands), Setup("shared", "fifo", workers, 10**9, event_loop=False))
    assert mean_wait(run) == pytest.approx(erlang_c_wait(rate, 0.001, workers), rel=0.02)


@pytest.mark.parametrize("shape", ["constant", "two-valued"])
def test_mean_wait_of_m_g_1_meets_pollaczek_and_khinchine(shape: str) -> None:
    chance = np.random.default_rng(7)
    count = 100_000
    demands = np.full(count, 0.001) if shape == "constant" else chance.choice([0.0004, 0.004], count)
    rate = 0.5 / demands.mean()
    run = simulate(poisson(rate, demands), Setup("shared", "lifo", 1, 10**9, event_loop=False))
    expected = rate * np.mean(demands**2) / 2 / (1 - rate * demands.mean())
    assert mean_wait(run) == pytest.approx(expected, rel=0.02)


def test_processor_sharing_meets_the_m_m_1_sojourn_time() -> None:
    demands = np.random.default_rng(9).exponential(0.001, 60_000)
    run = simulate(poisson(500, demands), Setup("shared", "fifo", 400, 10**9, cpus=1.0, event_loop=False))
    assert float(np.mean(run.replied - run.begun)) == pytest.approx(0.002, rel=0.03)


def test_hashing_over_k_queues_is_k_separate_m_m_1_queues() -> None:
    demands = np.random.default_rng(3).exponential(0.001, 60_000)
    run = simulate(poisson(2400, demands), Setup("reuseport", "hash", 4, 10**9))
    # an event loop serves in the order of arrival, so each member is M/M/1 at a load of 0.6
    assert mean_wait(run) == pytest.approx(0.6 * 0.001 / 0.4, rel=0.06)


works = st.tuples(
    st.integers(1, 60),
    st.floats(10, 5000),
    st.integers(0, 2**31),
    st.floats(0, 1),
)


def random_work(drawn: tuple[int, float, int, float], late: bool = False, most: int = 1) -> Work:
    count, rate, seed, blocked = drawn
    chance = np.random.default_rng(seed)
    demands = chance.lognormal(-7, 1.2, count)
    return Work(
        np.cumsum(chance.exponential(1 / rate, count)),
        chance.exponential(0.001, count) * late,
        demands * (1 - blocked),
        demands * blocked,
        chance.random(count),
        chance.integers(1, most + 1, count),
        0.002 * (most > 1),
    )


setups = st.builds(
    lambda model, workers, cpus, loop, burst, clients, backlog: Setup(
        *model, workers, backlog, cpus, loop, burst, clients
    ),
    st.sampled_from(
        [
            ("shared", "fifo"),
            ("shared", "lifo"),
            ("reuseport", "hash"),
            ("reuseport", "least-loaded"),
            ("handoff", "round-robin"),
            ("handoff", "least"),
            ("dispatch", "fifo"),
        ]
    ),
    st.integers(1, 6),
    st.sampled_from([0.5, 1.0, 2.0, 64.0]),
    st.booleans(),
    st.sampled_from([1, 3, 1000]),
    st.sampled_from([0, 0, 4, 16]),
    st.sampled_from([0, 2, 4096]),
)


@settings(deadline=None, max_examples=80)
@given(works, setups, st.booleans(), st.integers(1, 4))
def test_every_connection_is_answered_or_failed_and_littles_law_holds(
    drawn: tuple[int, float, int, float], setup: Setup, late: bool, most: int
) -> None:
    work = random_work(drawn, late, most)
    run = simulate(work, setup)
    answered = ~np.isnan(run.finished)
    assert answered.sum() + run.failed == len(work.arrivals)
    for earlier, later in (("begun", "established"), ("established", "accepted"), ("accepted", "read")):
        assert (getattr(run, earlier)[answered] <= getattr(run, later)[answered]).all()
    needed = (work.cpu + work.blocked)[answered]
    assert (run.replied[answered] - run.read[answered] >= needed - 1e-9).all()
    if not run.failed:
        assert len(run.replies) == len(run.data_waits) == work.requests.sum()
        assert run.in_system == pytest.approx(np.sum(run.finished - run.begun), rel=1e-6, abs=1e-9)
    assert all(0 <= busy <= run.span + 1e-9 for busy in run.busy)


@settings(deadline=None, max_examples=50)
@given(works, st.integers(1, 5))
def test_another_worker_never_raises_the_mean_queue_wait_under_fifo(
    drawn: tuple[int, float, int, float], workers: int
) -> None:
    work = random_work(drawn)
    waits = [
        mean_wait(simulate(work, Setup("shared", "fifo", count, 10**9, event_loop=False)))
        for count in (workers, workers + 1)
    ]
    assert waits[1] <= waits[0] + 1e-9


@settings(deadline=None, max_examples=30)
@given(works, setups)
def test_without_load_a_reply_takes_the_bare_demand(
    drawn: tuple[int, float, int, float], setup: Setup
) -> None:
    work = random_work(drawn)
    alone = Work(
        np.arange(len(work.arrivals)) * 1000.0,
        work.data_delay,
        work.cpu,
        work.blocked,
        work.hashes,
        work.requests,
    )
    enough = Setup(setup.sharing, setup.choice, setup.workers, cpus=64, event_loop=setup.event_loop)
    run = simulate(alone, enough)
    assert run.replied - run.begun == pytest.approx(work.cpu + work.blocked, rel=1e-6, abs=1e-9)


def test_a_full_queue_drops_the_syn_and_the_client_repeats_it_after_a_second() -> None:
    count = 5
    nothing = np.zeros(count)
    work = Work(
        np.arange(count) * 0.001, nothing, nothing, np.full(count, 0.5), nothing, np.ones(count, np.int64)
    )
    run = simulate(work, Setup("shared", "fifo", 1, backlog=1, event_loop=False))
    # one is served and backlog + 1 are queued, as in Linux; the other two come again after 1 s
    assert run.overflows == 2
    assert run.failed == 0
    assert run.established - run.begun == pytest.approx([0, 0, 0, 1, 1])


def test_an_event_loop_accepts_a_connection_before_it_serves_the_one_at_hand() -> None:
    nothing = np.zeros(3)
    work = Work(np.array([0.0, 0.1, 0.2]), nothing, nothing, np.ones(3), nothing, np.ones(3, np.int64))
    loop = simulate(work, Setup("shared", "lifo", 1))
    pool = simulate(work, Setup("shared", "lifo", 1, event_loop=False))
    assert loop.accepted == pytest.approx([0, 1, 1])  # the third is accepted before the second is served
    assert pool.accepted == pytest.approx([0, 1, 2])
