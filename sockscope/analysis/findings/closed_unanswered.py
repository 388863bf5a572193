"""Detect connections that the server accepts and closes without a reply."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._occupancy import acceptance_times
from sockscope.records.layout import ConnectionFlag

#: A connection that is closed later than this without a request has run into an idle timeout.
_AT_ONCE_NS = 1_000_000_000
_FEWEST = 3
_PART = 0.01
_SEVERE_PART = 0.1


class ClosedUnanswered:
    id = "closed-unanswered"
    title = "Connections are closed without a reply"
    cause = (
        "The server closes connections right after accept(), as servers do at a limit: of connections, of "
        "file descriptors, or of requests in progress."
    )
    effect = "Clients see a reset or an empty reply."
    verify = "Under the same load, sockscope check --fail-on closed-unanswered passes."
    needs: tuple[str, ...] = ("read", "write")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        rows = context.columns
        flags, begins = rows["flags"], acceptance_times(context)
        fresh = (rows["accepted_ns"] > 0) & ((flags & int(ConnectionFlag.OPEN_BEFORE)) == 0)
        ended = fresh & (rows["ending_ns"] > 0) & (rows["first_write_ns"] == 0)
        by_server = (flags & int(ConnectionFlag.WE_CLOSED_FIRST)) != 0
        # closing a socket with unread bytes resets the connection; a peer that resets has usually sent nothing
        reset = ((flags & int(ConnectionFlag.RESET)) != 0) & (rows["first_data_ns"] > 0)
        lasted = rows["ending_ns"].astype(np.int64) - begins
        unread = (rows["first_read_ns"] == 0) & (lasted < _AT_ONCE_NS)
        dropped = ended & (by_server | reset) & unread
        number, total = int(dropped.sum()), int((fresh & (rows["ending_ns"] > 0)).sum())
        opened = int(fresh.sum())
        if number < _FEWEST or number < _PART * opened:
            return
        median = float(np.median(lasted[dropped]))
        open_now = opened - total
        pid = context.server.acceptors[0].pid if context.server.acceptors else context.server.pid
        yield diagnosis(
            self,
            context,
            "critical" if number >= _SEVERE_PART * opened else "warning",
            context.name,
            f"{formatting.count(number)} of {formatting.count(opened)} accepted connections ({percent(number / opened)})"
            f" were closed by the server {formatting.duration(median)} (median) after accept(), unread and without a "
            f"reply; {formatting.count(open_now)} are open. Clients see a reset or an empty reply. Servers do this at a "
            "limit: of connections, of file descriptors, or of requests in progress.",
            {
                "closed": number,
                "accepted": opened,
                "part": round(number / opened, 4),
                "median_ms": round(median / 1e6, 3),
                "open_now": open_now,
            },
            (
                f"Compare the open descriptors with the limit: `ls /proc/{pid}/fd | wc -l` and `prlimit --nofile --pid "
                f"{pid}`; raise the limit (LimitNOFILE= in the unit) if they are equal.",
                "Look for the server's own limit (Nginx worker_connections, Node server.maxConnections, an access list "
                "or TCP wrapper) and for its message in the error log.",
                "Make connections end sooner if idle ones use up the limit: shorter keep-alive timeouts.",
            ),
            weight=min(number / opened, 1.0),
            explains=("queue-wait-high", "heavy-connections", "accept-skew-shared", "open-connections-skew"),
        )


DETECTOR = ClosedUnanswered()
