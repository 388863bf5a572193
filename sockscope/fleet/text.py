"""A fleet as text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from sockscope.fleet.wording import (
    FIGURES,
    HEAD,
    NOTE,
    Fleet,
    doubts,
    models,
    row,
    spread_words,
    standing_out,
    summary,
    title,
    where,
)
from sockscope.report.markdown import coded, escaped, grid

_ROWS = 200


def text(fleet: Fleet) -> str:
    """For a terminal."""
    return "\n".join(_lines(fleet)) + "\n"


def markdown(fleet: Fleet) -> str:
    """For a ticket or a wiki."""
    return "\n".join(_marked(fleet)) + "\n"


def _lines(fleet: Fleet) -> Iterator[str]:
    yield f"{title(fleet)}: {summary(fleet)}"
    for service in fleet.services:
        yield ""
        yield f"{service.name}: {models(service)}"
        yield from _columns([list(HEAD), *(row(place) for place in islice(service.places, _ROWS))])
        if len(service.places) > _ROWS:
            yield f"  … and {len(service.places) - _ROWS} more"
        for name, words in standing_out(service):
            yield f"  {name}: {words}"
        if service.spread:
            yield f"  connections over the hosts: {spread_words(service)}"
    yield ""
    for spotted in fleet.findings:
        finding = spotted.finding
        yield f"{finding.severity}: {finding.title} [{finding.id}] {where(spotted)}"
        yield f"  {spotted.where[0][0]}: {finding.explanation}"
        yield from (f"  → {line}" for line in finding.remedy)
        yield ""
    if not fleet.findings:
        yield "no findings"
        yield ""
    yield from doubts(fleet)
    if len(fleet.gathered.members) > 1:
        yield NOTE


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(line[at]) for line in rows) for at in range(len(rows[0]))]
    for line in rows:
        cells = (
            part.ljust(width) if at < FIGURES else part.rjust(width)
            for at, (part, width) in enumerate(zip(line, widths, strict=True))
        )
        yield f"  {'  '.join(cells)}".rstrip()


def _marked(fleet: Fleet) -> Iterator[str]:
    yield f"# {title(fleet)}"
    yield ""
    yield f"{summary(fleet)}."
    yield ""
    for spotted in fleet.findings:
        finding = spotted.finding
        yield f"## {escaped(finding.severity)}: {escaped(finding.title)}"
        yield ""
        yield f"`{finding.id.replace('`', '')}` {escaped(where(spotted))}"
        yield ""
        yield f"{escaped(spotted.where[0][0])}: {escaped(finding.explanation)}"
        yield ""
        yield from (f"- {coded(line)}" for line in finding.remedy)
        yield ""
    for service in fleet.services:
        yield f"## {escaped(service.name)}"
        yield ""
        yield f"{escaped(models(service))}."
        yield ""
        yield from grid(HEAD, [row(place) for place in service.places], FIGURES)
        yield ""
        yield from (f"- {escaped(name)}: {escaped(words)}" for name, words in standing_out(service))
        yield ""
    yield from (f"- {escaped(line)}" for line in doubts(fleet))
    yield ""
    yield NOTE
