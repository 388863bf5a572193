"""Comparisons: what chance gives is not called a difference, and what differs is."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sockscope.analysis.analyse import analyse
from sockscope.analysis.fairness import fairness
from sockscope.analysis.statistics import (
    fairness_change,
    judge,
    proportion_change,
    proportions_p,
    quantile_change,
)
from sockscope.cli.compare import Compare
from sockscope.compare.model import Recorded, compare
from sockscope.compare.text import FORMATS
from sockscope.errors import UsageError
from sockscope.model.history import History
from sockscope.model.state import State
from sockscope.records.histogram import EDGES
from tests.synthetic import Scenario, SyntheticSource
from tests.unit.report.conftest import SCENARIOS


@cache
def recorded(name: str, seed: int = 1, port: int = 8080) -> Recorded:
    source = SyntheticSource(
        replace(SCENARIOS.get(name, Scenario("shared", workers=6)), seed=seed, port=port)
    )
    state, history = State(), History()
    state.started_at(source.meta.started_ns)
    for batch in source.batches(16):
        state.apply(batch)
        history.apply(batch)
    return Recorded(f"{name}-{seed}", analyse(source.meta, state.snapshot()), history.view())


def verdicts(*sides: Recorded) -> dict[str, list[str | None]]:
    document = json.loads(FORMATS["json"](compare(sides)))
    (server,) = document["servers"]
    return {
        measure["id"]: [change and change["verdict"] for change in measure["changes"]]
        for measure in server["measures"]
    }


def test_the_same_server_twice_does_not_differ() -> None:
    for seed in (2, 3):
        found = verdicts(recorded("shared"), recorded("shared", seed))
        assert not {verdict for changes in found.values() for verdict in changes} & {"higher", "lower"}


def test_a_straggler_is_seen_against_its_absence() -> None:
    found = verdicts(recorded("shared"), recorded("straggler"))
    assert found["data_wait_p99"] == ["higher"]
    assert found["busy_time_max_over_mean"] == ["higher"]
    assert found["reply_time_p50"] == ["same"]
    assert verdicts(recorded("straggler"), recorded("shared"))["data_wait_p99"] == ["lower"]


def test_drops_count_for_the_time_of_the_recording() -> None:
    assert verdicts(recorded("shared"), recorded("overflow"))["dropped"] == ["higher"]


def test_several_recordings_are_compared_with_the_first() -> None:
    found = verdicts(recorded("shared"), recorded("shared", 2), recorded("straggler"))
    assert found["data_wait_p99"] == ["same", "higher"]


def test_servers_of_one_port_belong_together_and_a_missing_one_is_said() -> None:
    one, other = recorded("shared"), recorded("shared", 1, 9090)
    both = Recorded("both", replace(one.frame, servers=(*one.frame.servers, *_moved(other))), one.history)
    text = FORMATS["text"](compare((both, both)))
    assert "port 8080" in text
    assert "port 9090" in text
    assert "not there" in FORMATS["text"](compare((both, one)))


def _moved(other: Recorded) -> tuple[object, ...]:
    return other.frame.servers


def test_the_page_has_a_curve_for_each_recording_and_escapes_names() -> None:
    page = FORMATS["html"](compare((recorded("shared"), replace(recorded("straggler"), name="<b>x"))))
    assert page.count("<svg") == 2 + 2 * 3 + 4  # ways, shares of three kinds of work, waits
    assert page.count('class="sub up"') >= 2
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page


def test_the_command_says_what_differs(
    recording: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, parser = Compare(), argparse.ArgumentParser()
    command.prepare(parser)
    one, other = recording("even"), recording("straggler")
    assert command.run(parser.parse_args([str(one), str(other)])) == 0
    assert "higher, p < 0.001" in capsys.readouterr().out
    with pytest.raises(UsageError, match="two recordings"):
        command.run(parser.parse_args([str(one)]))


def test_a_difference_needs_to_be_unlikely_and_large() -> None:
    assert judge(1, 2, 1e-9).verdict == "higher"
    assert judge(1, 1.1, 1e-9).verdict == "same"
    assert judge(1, 2, 0.2).verdict == "within_noise"
    assert judge(1, 2, 1e-9, enough=False).verdict == "insufficient_data"
    assert judge(1, 2, math.nan).verdict == "not_tested"
    assert judge(0, 0, 1.0).verdict == "same"


def test_two_parts_are_tested_as_tables_have_it() -> None:
    # 12 of 100 against 30 of 100: χ² with Yates's correction is 8.7096, p = 0.00317
    assert proportions_p(12, 100, 30, 100) == pytest.approx(0.003165, rel=1e-3)
    assert proportions_p(0, 100, 0, 100) == 1.0
    assert proportion_change(0, 5000, 500, 5000).verdict == "higher"


def test_chance_is_called_a_difference_less_than_once_in_a_thousand() -> None:
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(150):
        sides = [np.histogram(random.lognormal(11, 1, 2000), EDGES)[0] for _ in range(2)]
        wrong += quantile_change(sides[0], sides[1], 0.99, (1.0, 2.0)).verdict == "higher"
        counts = [fairness(random.multinomial(400, [0.25] * 4).tolist()) for _ in range(2)]
        wrong += fairness_change(*counts).verdict in ("higher", "lower")
    assert wrong <= 2


def test_skew_is_distinguished_from_hash_noise() -> None:
    even, skewed = fairness([100, 98, 103, 99]), fairness([300, 34, 33, 33])
    assert fairness_change(even, skewed).verdict == "higher"
    assert fairness_change(skewed, even).verdict == "lower"
    assert fairness_change(even, fairness([2, 1, 0, 0])).verdict == "insufficient_data"
