"""A comparison in words, the same in every format."""

from __future__ import annotations

import math

from sockscope import formatting
from sockscope.analysis.statistics import WORDS, Change
from sockscope.compare.model import Comparison, Recorded

NOTE = (
    "A difference counts when chance gives one like it less than once in 1000 times and it is a quarter up or a "
    "fifth down. Reads of one connection are not independent of each other: of waits look at the size of a "
    "difference first."
)


def letters_of(comparison: Comparison) -> list[str]:
    """A, B, C …: what each recording is called for short."""
    return [
        chr(ord("A") + index) if index < 26 else f"#{index + 1}" for index in range(len(comparison.recorded))
    ]


def words_of(one: Recorded) -> str:
    """What a recording is of."""
    meta, snapshot = one.frame.meta, one.frame.snapshot
    lost = sum(number for _, number in snapshot.health.lost)
    return (
        f"{meta.host}, Linux {meta.kernel}, {formatting.duration(snapshot.elapsed_ns)} of {meta.target}, "
        f"{formatting.count(sum(server.connections for server in one.frame.servers))} connections"
        + (f", {formatting.count(lost)} records lost" if lost else "")
    )


def change_words(change: Change | None) -> str:
    """What a change is worth: ``×2.5 higher, p < 0.001``."""
    if change is None:
        return ""
    ratio = (
        ""
        if not math.isfinite(change.ratio) or change.verdict in ("same", "not_tested", "insufficient_data")
        else f"×{change.ratio:.3g} "
    )
    chance = "" if math.isnan(change.p_value) or change.verdict == "same" else f", p {_p(change.p_value)}"
    return f"{ratio}{WORDS[change.verdict]}{chance}"


def where_words(where: tuple[bool, ...], letters: list[str]) -> str:
    """In which recordings something is."""
    if len(where) == 2:
        return "in both" if all(where) else "gone" if where[0] else "new"
    return "in " + ", ".join(letter for letter, there in zip(letters, where, strict=True) if there)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
