"""The severities of findings, their order and their meaning; everything else refers to these."""

from __future__ import annotations

from typing import Literal

Severity = Literal["info", "notice", "warning", "critical"]

#: From lowest to highest.
SEVERITIES: tuple[Severity, ...] = ("info", "notice", "warning", "critical")

#: What each severity means, as docs and the dashboard explain it.
MEANINGS: dict[Severity, str] = {
    "info": "a property of the server; nothing needs to change",
    "notice": "worth knowing; may become a problem under more load",
    "warning": "connections wait longer, or will under more load",
    "critical": "clients notice it now: connections hang, are dropped or lost",
}


def rank(severity: str) -> int:
    """Return the position of a severity in :data:`SEVERITIES`; -1 for an unknown one."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1
