"""A prediction as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

from sockscope.whatif.predict import Interval, Prediction, Times, WhatIf
from sockscope.whatif.text import TIMES


def render(results: tuple[WhatIf, ...]) -> str:
    """Return one object per server; times in nanoseconds, each prediction with the ends of its interval."""
    return json.dumps({"servers": [_server(result) for result in results]}, indent=2) + "\n"


def _server(result: WhatIf) -> dict[str, Any]:
    workload, setup = result.workload, result.workload.setup
    return {
        "name": workload.name,
        "model": workload.model,
        "workers": setup.workers,
        "connections": workload.connections,
        "clients": setup.clients or None,
        "loop": "closed" if setup.clients else "open",
        "cpus_available": setup.cpus,
        "blocked_share": round(workload.blocked_share, 4),
        "assumptions": workload.assumptions,
        "warnings": result.warnings,
        "reproduced_p99": round(result.reproduced, 4),
        "measured": _prediction(result.measured),
        "as_recorded": _prediction(result.as_recorded),
        "alternatives": [_prediction(each) for each in result.alternatives],
    }


def _prediction(found: Prediction) -> dict[str, Any]:
    times = {f"{field}_ns": _times(getattr(found, field)) for _, field in TIMES}
    return {
        "name": found.alternative.name,
        "workers": found.workers,
        **times,
        "max_over_mean": _interval(found.max_over_mean, 1.0, 4),
        "utilisation": _interval(found.utilisation, 1.0, 4),
        "queue_max": _interval(found.queue_max, 1.0, 1),
        "overflows": _interval(found.overflows, 1.0, 0),
        "failed": found.failed,
        "saturation_load": round(found.saturation, 3)
        if found.saturation and math.isfinite(found.saturation)
        else None,
        "sentence": found.sentence,
    }


def _times(times: Times) -> dict[str, Any]:
    named = (("p50", times.p50), ("p90", times.p90), ("p99", times.p99), ("max", times.longest))
    return {name: _interval(value, 1e9, 0) for name, value in named}


def _interval(value: Interval, scale: float, digits: int) -> dict[str, float]:
    return {
        "value": round(value.value * scale, digits),
        "low": round(value.low * scale, digits),
        "high": round(value.high * scale, digits),
    }
