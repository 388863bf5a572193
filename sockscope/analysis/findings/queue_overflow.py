"""The accept queue was full: connections were refused or had to try again."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class QueueOverflow:
    id = "queue-overflow"
    title = "The accept queue overflows"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        for listener in case.listeners:
            full = listener.queue_max > listener.backlog
            if not listener.drops and not full:
                continue
            # drops count from the socket's birth: a queue that was never full here dropped them before
            here = full and (listener.drops > 0 or listener.established > 0)
            somaxconn = case.host.somaxconn if case.host else 0
            least = f" (net.core.somaxconn is {somaxconn})" if somaxconn else ""
            more = max(2 * listener.backlog, 512)
            when = "" if here else " That was before this trace began, or between two samples."
            yield diagnosis(
                self,
                ("critical" if listener.drops else "notice") if here else "info",
                f"{case.name}, socket {listener.inode}",
                f"The accept queue holds {listener.backlog} connections{least} and reached"
                f" {listener.queue_max}; {formatting.count(listener.drops)} handshakes were dropped for it since"
                " the socket was made. A client whose handshake is dropped tries again after 1 s, then 2 s,"
                f" 4 s.{when}",
                {
                    "backlog": listener.backlog,
                    "queue_max": listener.queue_max,
                    "drops": listener.drops,
                    "somaxconn": somaxconn,
                    "established": listener.established,
                },
                (
                    (
                        "Accept faster first: take all that waits at each wake-up, and keep blocking work off"
                        " the acceptor."
                    ),
                    (
                        f"Then call listen() with a larger backlog ({more} or more) and make sure that"
                        " net.core.somaxconn allows it: the smaller of the two counts (`sysctl -w"
                        f" net.core.somaxconn={more}` before listen())."
                    ),
                ),
                weight=min(listener.drops / max(listener.established, 1), 1),
                explains=("queue-near-limit",),
            )


DETECTOR = QueueOverflow()
