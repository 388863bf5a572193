"""The time account as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from sockscope.analysis.time_accounting import ThreadTime, TimeAccount

_MOST_HOT = 20


def as_json(account: TimeAccount) -> str:
    """Format the account: times in ns, classes by their ids."""
    document = {
        "duration_ns": account.duration_ns,
        "stall_threshold_ns": account.stall_threshold_ns,
        "threads": [_thread(thread) for thread in account.threads],
        "lost": account.lost,
        "unsupported": {str(pid): reason for pid, reason in account.unsupported.items()},
    }
    return json.dumps(document, indent=2) + "\n"


def _thread(thread: ThreadTime) -> dict[str, object]:
    hot = [{"frames": list(frames), "samples": count} for frames, count in thread.hot[:_MOST_HOT]]
    return asdict(thread) | {"hot": hot}
