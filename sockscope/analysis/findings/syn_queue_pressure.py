"""Handshakes pile up before they are complete."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis

_FEWEST = 32


class SynQueuePressure:
    id = "syn-queue-pressure"
    title = "Half-open handshakes pile up"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        if not case.listeners:
            return
        # handshakes are counted for the address and port, not for a member of the group
        waiting = max(listener.syn_queue for listener in case.listeners)
        room = sum(listener.backlog for listener in case.listeners)
        if waiting < _FEWEST or waiting < case.thresholds.syn_fill * room:
            return
        cookies = case.host.syn_cookies_sent if case.host else 0
        yield diagnosis(
            self,
            "warning",
            case.name,
            f"{formatting.count(waiting)} handshakes are half open, with room for {formatting.count(room)}: their"
            " clients do not answer (a SYN flood, spoofed addresses, or packets that get lost). The host has"
            f" sent {formatting.count(cookies)} SYN cookies.",
            {"half_open": waiting, "room": room, "syn_cookies_sent": cookies},
            (
                "Keep net.ipv4.tcp_syncookies=1: complete handshakes are then served all the same.",
                "Raise the backlog of listen(), net.core.somaxconn and net.ipv4.tcp_max_syn_backlog.",
                (
                    "Lower net.ipv4.tcp_synack_retries, and find out where the SYNs come from: "
                    f"`ss -tan state syn-recv sport = :{case.group.port}`."
                ),
            ),
            weight=min(waiting / max(room, 1), 1),
            explains=("queue-overflow",),
        )


DETECTOR = SynQueuePressure()
