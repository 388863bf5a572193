"""What real runs said, put under the findings of docs/findings.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from sockscope.analysis.frame import Finding

BEGIN, END = "<!-- seen -->", "<!-- /seen -->"
_BLOCK = re.compile(rf"\n*{re.escape(BEGIN)}.*?{re.escape(END)}\n*", re.S)


class Named(Protocol):
    """A case of a bench."""

    @property
    def name(self) -> str: ...

    @property
    def expected(self) -> str: ...


class Excerpts:
    """Of each finding the run that shows it best: a case of its own, where it came first."""

    def __init__(self) -> None:
        self._best: dict[str, tuple[int, str]] = {}

    def saw(self, case: Named, findings: Iterable[Finding]) -> None:
        for place, finding in enumerate(findings):
            rank = (0 if not place else 1) if case.expected == finding.id else 2
            if finding.id not in self._best or rank < self._best[finding.id][0]:
                self._best[finding.id] = rank, excerpt(case, finding)

    def put_into(self, document: str) -> str:
        """The document with the excerpts at the ends of their sections; others stay as they are."""
        head, *sections = re.split(r"^(?=## )", document, flags=re.M)
        return head + "".join(self._with_excerpt(section) for section in sections).rstrip("\n") + "\n"

    def _with_excerpt(self, section: str) -> str:
        name = section.split("\n", 1)[0].removeprefix("## ").strip()
        if name not in self._best:
            return section
        return f"{_BLOCK.sub('', section).rstrip()}\n\n{self._best[name][1]}\n\n"


def excerpt(case: Named, finding: Finding) -> str:
    """The finding as `sockscope report` prints it, without its remedy."""
    return "\n".join(
        (
            BEGIN,
            f"Seen in a run of the bench ({case.name}):",
            "",
            "```",
            f"{finding.severity}: {finding.title} [{finding.id}]",
            f"  {finding.explanation}",
            "```",
            END,
        )
    )
