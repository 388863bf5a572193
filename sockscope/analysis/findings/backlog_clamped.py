"""listen() asked for more than net.core.somaxconn allows, and the queue needs it."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class BacklogClamped:
    id = "backlog-clamped"
    title = "net.core.somaxconn cuts the backlog short"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        host = case.host
        if host is None or not host.somaxconn:
            return
        for listener in case.listeners:
            if listener.backlog != host.somaxconn:
                continue
            pressed = listener.queue_max >= case.thresholds.queue_fill * listener.backlog
            if not pressed:
                continue
            more = max(4 * host.somaxconn, 4096)
            yield diagnosis(
                self,
                "warning",
                f"{case.name}, socket {listener.inode}",
                f"The accept queue's limit is {listener.backlog}, which is net.core.somaxconn itself:"
                f" whatever listen() asked for, it got no more. The queue reached {listener.queue_max}.",
                {
                    "backlog": listener.backlog,
                    "somaxconn": host.somaxconn,
                    "queue_max": listener.queue_max,
                    "drops": listener.drops,
                },
                (
                    (
                        f"sysctl -w net.core.somaxconn={more} in this network namespace (and in"
                        " /etc/sysctl.d), then restart the server: the limit is taken at listen()."
                    ),
                    (
                        "Make sure that listen() asks for as much: the smaller of the two counts "
                        f"(`ss -ltn sport = :{case.group.port}` shows it as Send-Q)."
                    ),
                ),
                weight=0.8,
                explains=("queue-overflow", "queue-near-limit"),
            )


DETECTOR = BacklogClamped()
