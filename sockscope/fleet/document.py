"""A fleet as JSON; docs/fleet.md documents every key."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from sockscope.analysis.server_waits import NAMES, Counts
from sockscope.fleet.services import Place, Service, Spotted
from sockscope.fleet.wording import Fleet
from sockscope.model.histogram import percentile


def render(fleet: Fleet) -> str:
    """One document on one line."""
    return json.dumps(document(fleet), ensure_ascii=False, allow_nan=False) + "\n"


def document(fleet: Fleet) -> dict[str, Any]:
    """Plain values."""
    return {
        "recordings": [
            {
                **asdict(member.recording),
                "started_at": member.recording.started_at.isoformat(timespec="microseconds") + "Z",
                "host": member.host,
                "name": name,
            }
            for name, member in zip(fleet.names, fleet.gathered.members, strict=True)
        ],
        "left_out": [{"folder": folder, "reason": reason} for folder, reason in fleet.gathered.left_out],
        "services": [_service(service) for service in fleet.services],
        "findings": [_finding(spotted) for spotted in fleet.findings],
    }


def _service(service: Service) -> dict[str, Any]:
    spread = service.spread
    return {
        "program": service.program,
        "port": service.port,
        "connections": service.connections,
        "waits": {kind: _wait(counts) for kind, counts in service.waits.items()},
        "spread": spread
        and {
            "judgement": spread.judgement,
            "max_over_mean": _number(spread.max_over_mean),
            "p_value": _number(spread.p_value),
        },
        "hosts": [_place(place) for place in service.places],
    }


def _place(place: Place) -> dict[str, Any]:
    server = asdict(place.server)
    del server["server"], server["comm"], server["port"]
    return {
        "name": place.name,
        "host": place.member.host,
        **server,
        "rate": place.rate,
        "waits": {kind: _wait(place.waits[kind]) for kind in NAMES},
        "shares": [
            {name: value for name, value in asdict(share).items() if name != "server"}
            for share in place.shares.values()
        ],
        "stands_out": [
            {"figure": kind, "ratio": _number(change.ratio), "p_value": _number(change.p_value)}
            for kind, change in place.stands_out.items()
        ],
    }


def _wait(counts: Counts) -> dict[str, Any]:
    return {
        "samples": int(counts.sum()),
        "p50_ns": _number(percentile(counts, 0.5)),
        "p99_ns": _number(percentile(counts, 0.99)),
    }


def _finding(spotted: Spotted) -> dict[str, Any]:
    finding = spotted.finding
    return {
        "id": finding.id,
        "severity": finding.severity,
        "title": finding.title,
        "remedy": list(finding.remedy),
        "where": [
            {
                "name": name,
                "subject": one.subject,
                "explanation": one.explanation,
                "evidence": _evidence(one.evidence),
            }
            for name, one in spotted.where
        ],
    }


def _evidence(text: str) -> Any:
    """What the exporter wrote as JSON; what is none is given as it is."""
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
