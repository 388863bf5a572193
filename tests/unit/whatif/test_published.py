"""A published measurement predicted from its other half.

Cloudflare, 2017 ("Why does one NGINX worker take all the load?"): 12 workers, 100,000 connections by 200 clients, the
handler uses the CPU.  One shared queue: mean 30.39 ms, deviation 1.58; SO_REUSEPORT: mean 31.37 ms, median 24.67,
deviation 25.27, 11,426 connections of 64 ms or more.
"""

from __future__ import annotations

import numpy as np
import pytest

from sockscope.whatif.alternatives import Alternative
from sockscope.whatif.engine import Setup, Work, simulate

WORKERS, CLIENTS, COUNT = 12, 200, 100_000
#: Twelve workers are always busy, so the mean of the shared queue gives the demand of one connection.
DEMAND_S = 30.39e-3 * WORKERS / CLIENTS


@pytest.mark.slow
def test_cloudflares_reuseport_run_is_predicted_from_the_mean_of_their_shared_queue() -> None:
    chance = np.random.default_rng(1)
    demands = DEMAND_S * np.maximum(chance.normal(1, 0.05, COUNT), 0.05)
    nothing = np.zeros(COUNT)
    work = Work(
        np.sort(chance.random(COUNT) * 0.001),
        nothing,
        demands,
        nothing,
        chance.random(COUNT),
        np.ones(COUNT, np.int64),
    )
    shared = Setup("shared", "fifo", WORKERS, event_loop=False, clients=CLIENTS)
    spent = {}
    for name, setup in (
        ("shared", shared),
        ("reuseport", Alternative("reuseport").apply(work, shared)[1]),
    ):
        run = simulate(work, setup)
        spent[name] = (run.replied - run.begun) * 1e3
        print(
            f"{name}: mean {spent[name].mean():.2f}, median {np.median(spent[name]):.2f}, deviation "
            f"{spent[name].std():.2f}, max {spent[name].max():.1f}, 64 ms or more {np.sum(spent[name] >= 64)}"
        )
    assert spent["shared"].mean() == pytest.approx(30.39, rel=0.01)
    assert spent["reuseport"].mean() == pytest.approx(31.37, rel=0.03)
    assert np.median(spent["reuseport"]) == pytest.approx(24.67, rel=0.15)
    assert np.sum(spent["reuseport"] >= 64) == pytest.approx(11_426, rel=0.15)
    assert spent["reuseport"].std() == pytest.approx(25.27, rel=0.3)
