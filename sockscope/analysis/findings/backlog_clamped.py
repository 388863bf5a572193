"""Detect a backlog that net.core.somaxconn limits, on a queue that needs more."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class BacklogClamped:
    id = "backlog-clamped"
    title = "net.core.somaxconn limits the backlog"
    cause = (
        "listen() requested at least as much as net.core.somaxconn allows; the effective backlog is "
        "the smaller of both."
    )
    effect = "When the queue is full, handshakes are dropped and clients retry after 1 s or more."
    verify = "After the restart, ss -ltn sport = :{port} shows the new limit in column Send-Q."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        host = context.host
        if host is None or not host.somaxconn:
            return
        for listener in context.listeners:
            if listener.backlog != host.somaxconn:
                continue
            pressed = listener.queue_max >= context.thresholds.queue_fill * listener.backlog
            if not pressed:
                continue
            more = max(4 * host.somaxconn, 4096)
            yield diagnosis(
                self,
                context,
                "warning",
                f"{context.name}, socket {listener.inode}",
                f"The accept queue limit is {listener.backlog}, equal to net.core.somaxconn. The queue reached"
                f" {listener.queue_max}.",
                {
                    "backlog": listener.backlog,
                    "somaxconn": host.somaxconn,
                    "queue_max": listener.queue_max,
                    "drops": listener.drops,
                },
                (
                    f"Run `sysctl -w net.core.somaxconn={more}` in this network namespace (and set it in"
                    " /etc/sysctl.d), then restart the server: the limit is taken at listen().",
                    "Check that the server requests as much in listen():"
                    f" `ss -ltn sport = :{context.group.port}` shows the effective limit as Send-Q.",
                ),
                weight=0.8,
                explains=("queue-overflow", "queue-near-limit"),
            )


DETECTOR = BacklogClamped()
