"""Detect an accept queue that was full."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.model.snapshot import Listener


class QueueOverflow:
    id = "queue-overflow"
    title = "The accept queue overflows"
    cause = "Connections arrive faster than they are accepted, and the backlog is too small for the bursts."
    effect = (
        "A client whose handshake is dropped retries after 1 s, then 2 s, 4 s; with "
        "net.ipv4.tcp_abort_on_overflow=1 it gets a reset at once."
    )
    verify = (
        "ss -ltn sport = :{port}: Recv-Q stays below Send-Q; nstat -az TcpExtListenOverflows stops growing."
    )
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        for listener in context.listeners:
            full = listener.queue_max > listener.backlog
            drops = _overflows(context, listener)
            if not drops and not full:
                continue
            # drops are counted since the socket was created: without a full queue they happened before
            here = full and (drops > 0 or listener.established > 0)
            somaxconn = context.host.somaxconn if context.host else 0
            least = f", net.core.somaxconn {somaxconn}" if somaxconn else ""
            more = max(2 * listener.backlog, 512)
            counted = f"{formatting.count(drops)} handshakes were dropped since the socket was created."
            if not here:
                counted = (
                    f"Its drop counter is at {formatting.count(drops)}: it overflowed before tracing started or between "
                    "two samples, or the drops are of another kind (TCP_DEFER_ACCEPT counts each deferred handshake)."
                )
            yield diagnosis(
                self,
                context,
                ("critical" if drops else "notice") if here else "info",
                f"{context.name}, socket {listener.inode}",
                f"The accept queue reached {listener.queue_max} (limit {listener.backlog}{least}); {counted}",
                {
                    "backlog": listener.backlog,
                    "queue_max": listener.queue_max,
                    "drops": drops,
                    "somaxconn": somaxconn,
                    "established": listener.established,
                },
                (
                    "Accept faster first: accept until EAGAIN at each wake-up, and keep blocking work off the"
                    " acceptor.",
                    f"Then call listen() with a backlog of {more} or more, and run"
                    f" `sysctl -w net.core.somaxconn={more}` before: the effective limit is the smaller of both.",
                ),
                weight=min(drops / max(listener.established, 1), 1),
                explains=("queue-near-limit",),
            )


def _overflows(context: ServerContext, listener: Listener) -> int:
    """Return the handshakes dropped because of a full queue, at most.

    A socket's drop counter counts every kind of drop, such as those that TCP_DEFER_ACCEPT makes on purpose; there
    are no more overflows than the network namespace has counted.
    """
    return min(listener.drops, context.host.listen_overflows) if context.host else listener.drops


DETECTOR = QueueOverflow()
