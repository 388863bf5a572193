"""A comparison as text, JSON and HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sockscope.compare.html import render
from sockscope.compare.model import Comparison, Measure, findings_of
from sockscope.compare.wording import NOTE, change_words, letters_of, where_words, words_of
from sockscope.report.wording import describe_model


def text(comparison: Comparison) -> str:
    """For a terminal."""
    return "\n".join(_lines(comparison)) + "\n"


def document(comparison: Comparison) -> str:
    """As JSON."""
    value = {
        "recordings": [
            {"name": one.name, "host": one.frame.meta.host, "kernel": one.frame.meta.kernel, "target": one.frame.meta.target,
             "elapsed_ns": one.frame.snapshot.elapsed_ns, "lost": sum(number for _, number in one.frame.snapshot.health.lost)}
            for one in comparison.recorded
        ],
        "servers": [
            {"name": pairing.name,
             "models": [server.model if server else None for server in pairing.servers],
             "measures": [_measure(measure) for measure in pairing.measures]}
            for pairing in comparison.pairings
        ],
        "findings": [{"finding": title, "in": list(where)} for title, where in findings_of(comparison)],
    }  # fmt: skip
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Comparison], str]] = {"text": text, "json": document, "html": render}


def _lines(comparison: Comparison) -> Iterator[str]:
    for letter, one in zip(letters_of(comparison), comparison.recorded, strict=True):
        yield f"{letter}  {one.name}: {words_of(one)}"
    for pairing in comparison.pairings:
        yield ""
        yield pairing.name
        for letter, server in zip(letters_of(comparison), pairing.servers, strict=True):
            yield f"  {letter}  {describe_model(server) if server else 'not there'}"
        if not pairing.measures:
            continue
        width = max(len(measure.title) for measure in pairing.measures) + 2
        letters = letters_of(comparison)
        yield ""
        yield (
            f"  {'':<{width}}{letters[0]:>10}"
            + "".join(f"{letter:>10}  {'':<36}" for letter in letters[1:]).rstrip()
        )
        for measure in pairing.measures:
            first, *others = (measure.words(value) for value in measure.values)
            line = f"  {measure.title:<{width}}{first:>10}"
            for words, change in zip(others, measure.changes, strict=True):
                line += f"{words:>10}  {change_words(change):<36}"
            yield line.rstrip()
    yield ""
    for title, where in findings_of(comparison):
        yield f"{where_words(where, letters_of(comparison))}: {title}"
    yield NOTE


def _measure(measure: Measure) -> dict[str, Any]:
    return {
        "id": measure.id,
        "title": measure.title,
        "unit": {"duration": "ns", "ratio": "ratio", "part": "0 to 1", "rate": "per second"}[measure.kind],
        "values": [_number(value) for value in measure.values],
        "changes": [
            change
            and {
                "ratio": _number(change.ratio),
                "p_value": _number(change.p_value),
                "verdict": change.verdict,
            }
            for change in measure.changes
        ],
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
