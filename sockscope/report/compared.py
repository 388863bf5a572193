"""A comparison as text, JSON and HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sockscope import units
from sockscope.report._markup import Content, Safe, table, tag
from sockscope.report._significance import WORDS, Change
from sockscope.report.charts import waits
from sockscope.report.charts.svg import need_matplotlib
from sockscope.report.comparison import Comparison, Measure, Pairing, Recorded, findings_of
from sockscope.report.html import page
from sockscope.report.text import model_words

NOTE = (
    "A difference counts when chance gives one like it less than once in 1000 times and it is a quarter up or a "
    "fifth down. Reads of one connection are not independent of each other: of waits look at the size of a "
    "difference first."
)
_CURVES = 4


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


def html(comparison: Comparison) -> str:
    """As a page.

    :raises SockscopeError: when matplotlib is not installed
    """
    need_matplotlib()
    return page("sockscope: comparison", _body(comparison))


FORMATS: Mapping[str, Callable[[Comparison], str]] = {"text": text, "json": document, "html": html}


def _lines(comparison: Comparison) -> Iterator[str]:
    for letter, one in zip(_letters(comparison), comparison.recorded, strict=True):
        yield f"{letter}  {one.name}: {_words(one)}"
    for pairing in comparison.pairings:
        yield ""
        yield pairing.name
        for letter, server in zip(_letters(comparison), pairing.servers, strict=True):
            yield f"  {letter}  {model_words(server) if server else 'not there'}"
        if not pairing.measures:
            continue
        width = max(len(measure.title) for measure in pairing.measures) + 2
        letters = _letters(comparison)
        yield ""
        yield (
            f"  {'':<{width}}{letters[0]:>10}"
            + "".join(f"{letter:>10}  {'':<36}" for letter in letters[1:]).rstrip()
        )
        for measure in pairing.measures:
            first, *others = (measure.words(value) for value in measure.values)
            line = f"  {measure.title:<{width}}{first:>10}"
            for words, change in zip(others, measure.changes, strict=True):
                line += f"{words:>10}  {_change(change):<36}"
            yield line.rstrip()
    yield ""
    for title, where in findings_of(comparison):
        yield f"{_where(where, _letters(comparison))}: {title}"
    yield NOTE


def _letters(comparison: Comparison) -> list[str]:
    return [
        chr(ord("A") + index) if index < 26 else f"#{index + 1}" for index in range(len(comparison.recorded))
    ]


def _words(one: Recorded) -> str:
    meta, snapshot = one.frame.meta, one.frame.snapshot
    lost = sum(number for _, number in snapshot.health.lost)
    return (
        f"{meta.host}, Linux {meta.kernel}, {units.duration(snapshot.elapsed_ns)} of {meta.target}, "
        f"{units.count(int(snapshot.flow_counts.sum()))} connections"
        + (f", {units.count(lost)} records lost" if lost else "")
    )


def _change(change: Change | None) -> str:
    if change is None:
        return ""
    ratio = (
        ""
        if not math.isfinite(change.ratio) or change.verdict in ("same", "not tested", "too few")
        else f"×{change.ratio:.3g} "
    )
    chance = "" if math.isnan(change.p_value) or change.verdict == "same" else f", p {_p(change.p_value)}"
    return f"{ratio}{WORDS[change.verdict]}{chance}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _where(where: tuple[bool, ...], letters: list[str]) -> str:
    if len(where) == 2:
        return "in both" if all(where) else "gone" if where[0] else "new"
    return "in " + ", ".join(letter for letter, there in zip(letters, where, strict=True) if there)


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


def _body(comparison: Comparison) -> Iterator[Safe]:
    letters = _letters(comparison)
    yield tag("h1", "Comparison")
    yield tag(
        "ul",
        [
            tag("li", tag("strong", f"{letter}  {one.name}"), f": {_words(one)}")
            for letter, one in zip(letters, comparison.recorded, strict=True)
        ],
    )
    found = findings_of(comparison)
    if found:
        yield tag("h2", "Findings")
        yield tag(
            "ul", [tag("li", tag("strong", _where(where, letters)), f": {title}") for title, where in found]
        )
    for index, pairing in enumerate(comparison.pairings):
        yield tag("h2", pairing.name)
        yield tag(
            "ul",
            [tag("li", f"{letter}: ", model_words(server) if server else "not there") for letter, server in zip(letters, pairing.servers, strict=True)],
        )  # fmt: skip
        if pairing.measures:
            yield _table(pairing, letters)
            yield _curves(pairing, letters, f"c{index}")
    yield tag("p", NOTE, class_="hint")


def _table(pairing: Pairing, letters: list[str]) -> Safe:
    head = [
        "figure",
        letters[0],
        *(word for letter in letters[1:] for word in (letter, f"against {letters[0]}")),
    ]
    rows: list[list[Content]] = []
    for measure in pairing.measures:
        first, *others = (measure.words(value) for value in measure.values)
        row: list[Content] = [measure.title, first]
        for words, change in zip(others, measure.changes, strict=True):
            kind = {"higher": "up", "lower": "down"}.get(change.verdict) if change else None
            row += [words, tag("span", _change(change), class_=kind)]
        rows.append(row)
    return table(f"{pairing.name}: figures", head, rows)


def _curves(pairing: Pairing, letters: list[str], name: str) -> Safe:
    pictures = []
    for index, (title, counts) in enumerate(pairing.waits):
        shown = {
            letter: one for letter, one in list(zip(letters, counts, strict=True))[:_CURVES] if one.sum()
        }
        if shown:
            alt = f"{title} by percentile, in each recording; the figures are in the table above"
            drawn = waits.percentiles(f"{name}-{index}", shown, alt)
            pictures.append(tag("figure", tag("h4", title[0].upper() + title[1:]), drawn.svg))
    return tag("div", pictures, class_="grid")
