"""The accept queue came close to its limit."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import Case, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class QueueNearLimit:
    id = "queue-near-limit"
    title = "The accept queue is close to its limit"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        for listener in case.listeners:
            if listener.backlog < 1 or listener.queue_max > listener.backlog:
                continue
            fill = listener.queue_max / listener.backlog
            if fill < case.thresholds.queue_fill:
                continue
            yield diagnosis(
                self,
                "notice",
                f"{case.name}, socket {listener.inode}",
                f"{listener.queue_max} connections waited at once in an accept queue that holds"
                f" {listener.backlog} ({percent(fill)}). When it is full, handshakes are dropped and clients"
                " wait a second or more.",
                {"backlog": listener.backlog, "queue_max": listener.queue_max, "fill": round(fill, 3)},
                (
                    "Accept faster first: take all that waits at each wake-up.",
                    (
                        f"Then raise the backlog of listen() above {2 * listener.backlog}, and"
                        " net.core.somaxconn with it."
                    ),
                ),
                weight=min(fill, 1),
            )


DETECTOR = QueueNearLimit()
