"""Is a figure of one recording another one than that of a second, or is it chance?

As everywhere here, a difference counts only when it is both: unlikely by chance (p < 0.001) and large
enough to matter (a quarter more, or a fifth less).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sockscope.analysis.fairness import EFFECT, LEAST_EXPECTED, SIGNIFICANCE, Fairness, chi2_survival

Counts = np.ndarray[Any, np.dtype[Any]]
Verdict = Literal["lower", "higher", "same", "within_noise", "insufficient_data", "not_tested"]

WORDS: dict[Verdict, str] = {
    "lower": "lower",
    "higher": "higher",
    "same": "no difference that matters",
    "within_noise": "may be chance",
    "insufficient_data": "too few to tell",
    "not_tested": "not_tested",
}
_DRAWS = 10_000


@dataclass(frozen=True)
class Change:
    """From the first recording to another.  ``ratio`` and ``p_value`` are NaN where they have no meaning."""

    ratio: float
    p_value: float
    verdict: Verdict


def judge(before: float, after: float, p_value: float, enough: bool = True) -> Change:
    """The verdict on two values whose difference has this probability by chance."""
    ratio = after / before if before else math.inf if after else 1.0
    if not enough or math.isnan(before) or math.isnan(after):
        return Change(ratio, math.nan, "insufficient_data")
    matters = ratio >= EFFECT or ratio <= 1 / EFFECT
    if math.isnan(p_value):
        return Change(ratio, p_value, "not_tested")
    if not matters:
        return Change(ratio, p_value, "same")
    if p_value >= SIGNIFICANCE:
        return Change(ratio, p_value, "within_noise")
    return Change(ratio, p_value, "higher" if ratio > 1 else "lower")


def quantile_change(before: Counts, after: Counts, fraction: float, values: tuple[float, float]) -> Change:
    """Of a percentile: are there as many above the percentile of both in the one as in the other?

    The median test of A. Mood (1950), for any quantile.
    """
    both = before + after
    enough = min(int(before.sum()), int(after.sum())) * (1 - fraction) >= LEAST_EXPECTED
    at = int(np.searchsorted(np.cumsum(both), fraction * both.sum())) + 1
    p_value = proportions_p(
        int(before[at:].sum()), int(before.sum()), int(after[at:].sum()), int(after.sum())
    )
    if p_value >= SIGNIFICANCE and before[at - 1] + after[at - 1] > 0:
        # all of a percentile may lie in one bucket: then look from its other side, too
        low = proportions_p(
            int(before[: at - 1].sum()), int(before.sum()), int(after[: at - 1].sum()), int(after.sum())
        )
        p_value = min(2 * min(p_value, low), 1.0)
    return judge(*values, p_value, enough)


def proportions_p(some: int, of: int, others: int, of_others: int) -> float:
    """P that two parts differ so much by chance: χ² of the four numbers, with Yates's correction."""
    total = of + of_others
    hits = some + others
    if not of or not of_others or hits in (0, total):
        return 1.0
    away = max(abs(some * (of_others - others) - others * (of - some)) - total / 2, 0.0)
    return chi2_survival(total * away * away / (hits * (total - hits) * of * of_others), 1)


def proportion_change(some: int, of: int, others: int, of_others: int) -> Change:
    """Of a part of a whole, drops among connections for one."""
    before, after = (some / of if of else math.nan), (others / of_others if of_others else math.nan)
    return judge(before, after, proportions_p(some, of, others, of_others), min(of, of_others) >= 50)


def fairness_change(before: Fairness, after: Fairness) -> Change:
    """Of the unevenness of shares: how often do draws with the shares that were seen say the opposite?"""
    values = before.max_over_mean, after.max_over_mean
    things = [_things(judged) for judged in (before, after)]
    if any(math.isnan(value) for value in values) or "single_sharer" in (before.judgement, after.judgement):
        return Change(math.nan, math.nan, "not_tested")
    if "insufficient_data" in (before.judgement, after.judgement):
        return Change(values[1] / values[0], math.nan, "insufficient_data")
    if any(math.isnan(number) for number in things):
        return Change(values[1] / values[0], math.nan, "not_tested")
    random = np.random.default_rng(1)
    drawn = [
        _cv(random.multinomial(int(number), judged.shares, _DRAWS))
        for judged, number in zip((before, after), things, strict=True)
    ]
    rises = float(np.mean(drawn[1] > drawn[0]))
    return judge(*values, 2 * min(rises, 1 - rises))


def _things(judged: Fairness) -> float:
    """How many independent things were shared: from CV = noise·√(χ²/(w−1)) and noise = √((w−1)/n)."""
    if math.isnan(judged.noise_cv) or not judged.noise_cv:
        return math.nan
    return max((len(judged.values) - 1) / judged.noise_cv**2, 1.0)


def _cv(draws: Counts) -> Counts:
    found: Counts = draws.std(axis=1) / np.maximum(draws.mean(axis=1), 1e-12)
    return found
