"""Judge how evenly a total is shared.

Chance alone makes shares uneven: hashing ``n`` connections over ``w`` listeners gives a coefficient
of variation of about √((w−1)/n).  So a verdict needs three things: enough observations, a χ² test
that says "not chance", and an effect large enough to matter.

Identities: Jain = 1/(1+CV²), χ² = n·CV² for counts.  Jain: R. Jain, D. Chiu, W. Hawe, "A
Quantitative Measure of Fairness and Discrimination", DEC-TR-301, 1984.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Judgement = Literal["single_sharer", "insufficient_data", "even", "within_noise", "skewed"]

#: Below this many expected observations a sharer, no χ² test means anything (W. G. Cochran, 1954).
LEAST_EXPECTED = 5.0
#: p below which unevenness is not called chance, and max/mean from which on it matters.
SIGNIFICANCE = 0.001
EFFECT = 1.25

WORDS: dict[Judgement, str] = {
    "single_sharer": "only one sharer",
    "insufficient_data": "too few observations to judge",
    "even": "even",
    "within_noise": "even (within random variation)",
    "skewed": "skewed (p < 0.001)",
}


@dataclass(frozen=True)
class Fairness:
    """How evenly ``values`` are shared; NaN where a figure has no meaning.

    ``noise_cv`` is the CV that pure chance would give, for counts of independent things.  Bytes,
    reads and times are not that: without knowing how many independent things they belong to,
    ``p_value`` and ``noise_cv`` are NaN.
    """

    values: tuple[float, ...]
    total: float
    mean: float
    max_over_mean: float
    cv: float
    noise_cv: float
    jain: float
    gini: float
    chi2: float
    p_value: float
    judgement: Judgement

    @property
    def words(self) -> str:
        return WORDS[self.judgement]

    @property
    def shares(self) -> tuple[float, ...]:
        """Each sharer's part of the total, 0 to 1."""
        return tuple(value / self.total if self.total else 0.0 for value in self.values)


def fairness(values: Sequence[float], *, counts: bool = True, independent: float | None = None) -> Fairness:
    """
    :param values: what each sharer had; all sharers, those that had nothing too
    :param counts: whether the values count independent things (connections, yes; bytes, no)
    :param independent: how many independent things of equal size would scatter as these values do
        (:func:`count_independent`); makes the test of chance possible where ``counts`` is not
    """
    numbers = tuple(float(value) for value in values)
    sharers, total = len(numbers), math.fsum(numbers)
    if not sharers or not total:
        nan = float("nan")
        empty: Judgement = "single_sharer" if sharers == 1 else "insufficient_data"
        return Fairness(numbers, total, 0.0, nan, nan, nan, nan, nan, nan, nan, empty)
    mean = total / sharers
    variance = math.fsum((value - mean) ** 2 for value in numbers) / sharers
    cv = math.sqrt(variance) / mean
    largest = max(numbers) / mean
    things = independent if independent is not None else total if counts else float("nan")
    testable = things > 0
    chi2 = things * cv * cv if testable else float("nan")
    p_value = _chance(chi2, things, sharers - 1) if testable and sharers > 1 else float("nan")
    return Fairness(
        values=numbers,
        total=total,
        mean=mean,
        max_over_mean=largest,
        cv=cv,
        noise_cv=math.sqrt((sharers - 1) / things) if testable else float("nan"),
        jain=1 / (1 + cv * cv),
        gini=_gini(numbers, total),
        chi2=chi2,
        p_value=p_value,
        judgement=_judge(sharers, things / sharers, largest, cv, p_value, testable),
    )


def count_independent(sizes: Any) -> float:
    """How many things of equal size scatter as much as these of unequal size: (Σs)² / Σs².

    A worker's bytes come in connections: a few heavy ones make shares uneven by chance alone, as
    few connections would (L. Kish, Survey Sampling, 1965: the effective sample size).
    """
    held = np.asarray(sizes, float)  # of a million connections: no loop
    # not np.dot: OpenBLAS shares that among a thread a CPU, which then spin for longer than the sum takes
    squares = float(np.square(held).sum())
    return float(held.sum()) ** 2 / squares if squares else 0.0


def chi2_survival(chi2: float, degrees: int) -> float:
    """P(X ≥ chi2) for a χ² variable: the regularised upper incomplete gamma function Q(k/2, x/2).

    By its series below k/2+1 and by Lentz's continued fraction above (Press et al., Numerical
    Recipes, 6.2); 14 figures, which the tests compare with published tables.
    """
    if degrees < 1:
        return 1.0
    a, x = degrees / 2, chi2 / 2
    if x <= 0:
        return 1.0
    scale = math.exp(min(a * math.log(x) - x - math.lgamma(a), 700.0))
    if x < a + 1:
        term = total = 1 / a
        step = a
        while abs(term) > abs(total) * 1e-16:
            step += 1
            term *= x / step
            total += term
        return max(0.0, 1 - total * scale)
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    fraction = d
    for index in range(1, 10_000):
        factor = -index * (index - a)
        b += 2
        d = 1 / (factor * d + b or tiny)
        c = b + factor / c or tiny
        change = c * d
        fraction *= change
        if abs(change - 1) < 1e-15:
            break
    return scale * fraction


def _chance(chi2: float, things: float, degrees: int) -> float:
    """P of shares as uneven as this by chance alone.

    With five to ten observations a sharer it is an approximation: simulated, what it gives as one in
    a thousand came up to 1.2 times in a thousand; from a hundred on, as often as stated.

    Two sharers are a coin: counts are whole, the χ² curve is not, and it promises too little
    chance without a correction for continuity (F. Yates, 1934).
    """
    if degrees == 1:
        chi2 = max(math.sqrt(chi2) - 1 / math.sqrt(things), 0.0) ** 2
    return chi2_survival(chi2, degrees)


def _gini(values: Sequence[float], total: float) -> float:
    ordered = sorted(values)
    weighted = math.fsum((index + 1) * value for index, value in enumerate(ordered))
    sharers = len(ordered)
    return 2 * weighted / (sharers * total) - (sharers + 1) / sharers


def _judge(
    sharers: int, expected: float, largest: float, cv: float, p_value: float, testable: bool
) -> Judgement:
    if sharers == 1:
        return "single_sharer"
    if not testable:
        return "skewed" if largest >= EFFECT else "even"
    if expected < LEAST_EXPECTED:
        return "insufficient_data"
    if p_value < SIGNIFICANCE:
        return "skewed" if largest >= EFFECT else "even"
    return "within_noise" if cv > 0 else "even"
