"""A host has hundreds of listeners that nobody connects to: a few are told at length, the rest counted."""

from __future__ import annotations

from collections.abc import Sequence

from sockscope import formatting
from sockscope.analysis.server import Server

#: Servers without a connection that a report in words tells one by one.
SHOWN_IDLE = 20


def split_idle_servers(servers: Sequence[Server]) -> tuple[list[Server], str]:
    """Every server with connections or drops and the first others, in their order; what was left out."""
    kept: list[Server] = []
    quiet = 0
    for server in servers:
        silent = not server.connections and not any(one.drops for one in server.group.listeners)
        quiet += silent
        if not silent or quiet <= SHOWN_IDLE:
            kept.append(server)
    left = len(servers) - len(kept)
    plural = "s" * (left > 1)
    return kept, f"and {formatting.count(left)} more server{plural} without a connection" if left else ""
