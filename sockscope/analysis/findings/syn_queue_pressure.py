"""Detect handshakes that stay half-open in large numbers."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis

_FEWEST = 32


class SynQueuePressure:
    id = "syn-queue-pressure"
    title = "Half-open handshakes accumulate"
    cause = "Clients do not complete the handshake: a SYN flood, spoofed addresses, or lost packets."
    effect = "When the SYN queue is full, new handshakes are answered with SYN cookies or dropped."
    verify = "ss -tan state syn-recv sport = :{port} lists few connections."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        if not context.listeners:
            return
        # half-open handshakes are counted per address and port, not per member of the group
        waiting = max(listener.syn_queue for listener in context.listeners)
        room = sum(listener.backlog for listener in context.listeners)
        if waiting < _FEWEST or waiting < context.thresholds.syn_fill * room:
            return
        cookies = context.host.syn_cookies_sent if context.host else 0
        yield diagnosis(
            self,
            context,
            "warning",
            context.name,
            f"{formatting.count(waiting)} handshakes are half-open (backlog {formatting.count(room)}); the host has sent"
            f" {formatting.count(cookies)} SYN cookies.",
            {"half_open": waiting, "room": room, "syn_cookies_sent": cookies},
            (
                "Keep net.ipv4.tcp_syncookies=1: complete handshakes are then still served.",
                "Raise the backlog of listen(), net.core.somaxconn and net.ipv4.tcp_max_syn_backlog.",
                "Lower net.ipv4.tcp_synack_retries, and find the sources of the SYNs:"
                f" `ss -tan state syn-recv sport = :{context.group.port}`.",
            ),
            weight=min(waiting / max(room, 1), 1),
            explains=("queue-overflow",),
        )


DETECTOR = SynQueuePressure()
