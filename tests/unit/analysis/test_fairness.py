"""The statistics: field vectors, identities, and a false-alarm rate that is what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockscope.analysis.fairness import SIGNIFICANCE, chi2_survival, count_independent, fairness

FIELD = (
    # what somebody reported, max/mean, CV, Gini, Jain
    ([349, 17, 4, 0, 0, 0, 0, 0], 7.55, 2.48, 0.858, 0.140),
    ([171, 142, 169, 153, 167, 139, 142, 156], 1.10, 0.079, 0.044, 0.994),
    ([96, 4, 0, 0, 0], 4.80, 1.90, 0.784, 0.217),
    ([20, 19, 20, 21, 20], 1.05, 0.032, 0.016, 0.999),
)


@pytest.mark.parametrize(("vector", "peak", "cv", "gini", "jain"), FIELD)
def test_field_vectors(vector: list[float], peak: float, cv: float, gini: float, jain: float) -> None:
    fair = fairness(vector)
    assert fair.max_over_mean == pytest.approx(peak, abs=0.006)
    assert fair.cv == pytest.approx(cv, abs=0.006)
    assert fair.gini == pytest.approx(gini, abs=0.0006)
    assert fair.jain == pytest.approx(jain, abs=0.0006)


def test_field_vectors_are_judged_as_an_expert_would() -> None:
    assert [fairness(vector).judgement for vector, *_ in FIELD] == [
        "skewed",
        "within_noise",
        "skewed",
        "within_noise",
    ]


def test_a_group_that_is_only_hash_noise_has_the_figures_of_hash_noise() -> None:
    fair = fairness(FIELD[1][0])
    assert fair.noise_cv == pytest.approx(math.sqrt(7 / 1239))
    assert fair.chi2 == pytest.approx(7.7, abs=0.05)
    assert 0.3 < fair.p_value < 0.4


@pytest.mark.parametrize("vector", [[1, 1, 0], [2, 0, 0], [1, 0], [0, 0, 3], [4, 0, 4]])
def test_few_connections_are_insufficient_data(vector: list[float]) -> None:
    assert fairness(vector).judgement == "insufficient_data"


@pytest.mark.parametrize(
    ("chi2", "degrees", "p"),
    [
        (3.841459, 1, 0.05),
        (6.634897, 1, 0.01),
        (14.06714, 7, 0.05),
        (24.32189, 7, 0.001),
        (124.3421, 100, 0.05),
    ],
)
def test_the_chi_square_tail_agrees_with_published_tables(chi2: float, degrees: int, p: float) -> None:
    assert chi2_survival(chi2, degrees) == pytest.approx(p, rel=1e-5)


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=64).filter(lambda values: sum(values) > 0))
def test_identities_hold(values: list[int]) -> None:
    fair = fairness(values)
    assert fair.jain == pytest.approx(1 / (1 + fair.cv**2))
    assert fair.chi2 == pytest.approx(fair.total * fair.cv**2)
    assert 1 / len(values) <= fair.jain + 1e-9 <= 1 + 2e-9
    assert 1 - 1e-9 <= fair.max_over_mean <= len(values) + 1e-9
    assert -1e-9 <= fair.gini < 1
    assert sum(fair.shares) == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 64), st.integers(5, 200), st.integers(0, 2**32 - 1))
def test_chance_raises_no_more_alarms_than_stated(workers: int, each: int, seed: int) -> None:
    draws = 10_000
    samples = np.random.default_rng(seed).multinomial(workers * each, [1 / workers] * workers, size=draws)
    alarms = sum(_uneven(sample) for sample in samples if _suspicious(sample))
    # other samples with every run: what exceeds this comes by chance once in a thousand million examples
    assert alarms <= _most_by_chance(draws * SIGNIFICANCE, 1e-9)


def _most_by_chance(mean: float, p: float) -> int:
    """The number that a Poisson variable exceeds with probability ``p`` at most."""
    number, tail, term = 0, 1 - math.exp(-mean), math.exp(-mean)
    while tail > p:
        number += 1
        term *= mean / number
        tail -= term
    return number


@pytest.mark.parametrize(("workers", "each"), [(59, 7), (30, 5), (10, 5), (30, 100)])
def test_the_chi_square_curve_is_near_enough_where_each_has_few(workers: int, each: int) -> None:
    draws = 200_000
    samples = np.random.default_rng(5).multinomial(workers * each, [1 / workers] * workers, size=draws)
    chi2 = ((samples - each) ** 2).sum(axis=1) / each
    alarms = sum(
        chi2_survival(value, workers - 1) < SIGNIFICANCE
        for value in chi2[chi2 > workers + 2 * math.sqrt(workers)]
    )
    # the curve is an approximation: in the far tail it promises up to a quarter too little chance
    assert 0.7 < alarms / (draws * SIGNIFICANCE) < 1.25 + 3 / math.sqrt(draws * SIGNIFICANCE)


@pytest.mark.parametrize("workers", [2, 3, 8, 32])
@pytest.mark.parametrize("p", [0.05, 0.01])
@pytest.mark.parametrize("each", [5, 20, 100])
def test_p_values_are_honest(workers: int, p: float, each: int) -> None:
    draws = 6000
    samples = np.random.default_rng(7).multinomial(workers * each, [1 / workers] * workers, size=draws)
    low = sum(fairness(sample.tolist()).p_value < p for sample in samples)
    assert low <= draws * p + 4 * math.sqrt(draws * p)


@pytest.mark.parametrize("workers", [2, 4, 16])
def test_a_worker_with_twice_its_share_is_noticed(workers: int) -> None:
    chances = np.array([2.0, *[1.0] * (workers - 1)])
    samples = np.random.default_rng(3).multinomial(workers * 200, chances / chances.sum(), size=200)
    assert sum(fairness(sample).judgement == "skewed" for sample in samples) >= 195


def test_heavy_connections_count_as_few_independent_things() -> None:
    assert count_independent([1.0] * 50) == pytest.approx(50)
    assert count_independent([1000.0, *[1.0] * 50]) == pytest.approx(1.1, abs=0.05)
    assert count_independent([]) == 0.0


def test_reads_are_judged_by_the_connections_that_they_come_in() -> None:
    assert fairness([1050, 50, 50, 50], counts=False, independent=1.1).judgement == "insufficient_data"
    assert fairness([1050, 1000, 990, 1010], counts=False, independent=400).judgement == "within_noise"
    assert fairness([3000, 1000, 990, 1010], counts=False, independent=400).judgement == "skewed"


def _suspicious(sample: np.ndarray) -> bool:  # type: ignore[type-arg]
    return bool(sample.max() >= 1.25 * sample.mean())


def _uneven(sample: np.ndarray) -> bool:  # type: ignore[type-arg]
    return fairness(sample.tolist()).judgement == "skewed"
