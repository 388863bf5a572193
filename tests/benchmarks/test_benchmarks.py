"""The benchmarks in short: whether they count right and lose nothing; no time is judged here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import scaling
from tests.benchmarks.decoding import decoded
from tests.benchmarks.probes import probe_time
from tests.benchmarks.results import Results, spread
from tests.benchmarks.tables import document
from tests.benchmarks.throughput import one_round
from tests.benchmarks.tracers import HOOKS, LIVE
from tests.benchmarks.workloads import CONNECTIONS, KEEPALIVE


@pytest.mark.kernel
@pytest.mark.servers
def test_a_short_round_sees_every_request_of_the_client_and_loses_none(tmp_path: Path) -> None:
    row, hooks = one_round(KEEPALIVE, [LIVE, HOOKS], 1)
    assert row["lost"] == {}
    # a request may be under way on each connection when the client stops counting
    assert row["requests"] <= row["reads"] <= row["requests"] + CONNECTIONS
    assert row["requests"] <= row["writes"] <= row["requests"] + CONNECTIONS
    results = Results(tmp_path / "results.json")
    assert hooks["requests"] > 0
    results.add("throughput", [row, hooks])
    results.save()
    page = document(Results(tmp_path / "results.json"))
    assert "| sockscope live | 1 |" in page
    assert "| nothing |" in page
    assert "| workload | untraced | 0.97 allows | hooks alone |" in page
    # as many hooks, though nothing runs there
    assert hooks["attached"] == row["attached"] > 0


@pytest.mark.kernel
@pytest.mark.servers
def test_the_probes_run_for_each_request_and_an_empty_program_costs_less() -> None:
    row = probe_time(KEEPALIVE, LIVE, 1)
    # the server's and the client's, and those of other processes on this machine
    assert row["programs"]["on_recv"]["runs"] >= 1.95
    assert row["programs"]["on_send"]["runs"] >= 1.95
    assert 0 < row["floor_ns"] < row["programs"]["on_recv"]["ns"]
    assert 0 < row["net_ns"] < row["counted_ns"]


@pytest.mark.kernel
def test_connections_written_into_the_maps_are_all_read_once_and_then_only_what_changed() -> None:
    (row,) = scaling.connections((5000,))
    assert row["found"] == {"first": 5000, "usual": 500}
    assert row["kernel_bytes"] > 5000 * 232


@pytest.mark.kernel
def test_every_event_that_a_program_puts_into_the_ring_is_taken_once_and_in_order() -> None:
    row = decoded(1_200_000)  # more than the ring holds at a time
    assert (row["taken"], row["lost"], row["in_order"]) == (1_200_000, 0, True)


def test_spread_is_median_minimum_and_maximum() -> None:
    assert spread([0.9, 1.0, 0.95, None]) == "0.95 (0.90 to 1.00)"
    assert spread([None]) == "–"
