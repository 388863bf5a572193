"""Separate servers without connections: a host may have hundreds of them."""

from __future__ import annotations

from collections.abc import Sequence

from sockscope import formatting
from sockscope.analysis.server import Server

#: Servers without connections that a report lists one by one.
SHOWN_IDLE = 20


def split_idle_servers(servers: Sequence[Server]) -> tuple[list[Server], str]:
    """Return the servers to show, in order, and a sentence on the others.

    Servers with connections or drops are always shown, of the others the first :data:`SHOWN_IDLE`.
    """
    kept: list[Server] = []
    quiet = 0
    for server in servers:
        silent = not server.connections and not any(one.drops for one in server.group.listeners)
        quiet += silent
        if not silent or quiet <= SHOWN_IDLE:
            kept.append(server)
    left = len(servers) - len(kept)
    plural = "s" * (left > 1)
    return kept, f"and {formatting.count(left)} more server{plural} without connections" if left else ""
