"""Detect connections that clients have closed and the server has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.records.layout import ConnectionFlag

_LEAST_AGE_NS = 1_000_000_000
#: How many times longer than connections usually stay in CLOSE_WAIT on this server.
_TIMES_USUAL = 5.0
_FEWEST = 10
_PART = 0.05
#: A server that still writes this long after the peer's FIN is sending its reply.
_STILL_SENDING_NS = 200_000_000


class CloseWaitLeak:
    id = "close-wait-leak"
    title = "Connections stay in CLOSE_WAIT"
    cause = "The program does not call close() after end of file (a read that returns 0) on some path."
    effect = (
        "None at first; when the limit of file descriptors is reached, accept() fails with EMFILE and new "
        "clients hang."
    )
    verify = "ss -tn state close-wait sport = :{port} is empty after clients have left."
    needs: tuple[str, ...] = ("read", "write")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        rows, now = context.columns, context.snapshot.time_ns
        peer_first = (rows["flags"] & int(ConnectionFlag.PEER_CLOSED_FIRST)) != 0
        accepted = (rows["accepted_ns"] > 0) | ((rows["flags"] & int(ConnectionFlag.OPEN_BEFORE)) != 0)
        fin = rows["ending_ns"].astype(np.int64)
        over = peer_first & (rows["closed_ns"] > 0)
        usual = float(np.median((rows["closed_ns"].astype(np.int64) - fin)[over])) if over.any() else 0.0
        still = peer_first & (rows["closed_ns"] == 0) & accepted & (rows["unanswered_ns"] == 0)
        age = now - fin
        busy = rows["touched_ns"].astype(np.int64) - fin > _STILL_SENDING_NS
        leaked = still & ~busy & (age >= max(_LEAST_AGE_NS, _TIMES_USUAL * usual))
        number, ended = int(leaked.sum()), int(peer_first.sum())
        if number < _FEWEST or number < _PART * ended:
            return
        owners = np.where(context.readers > 0, context.readers, rows["acceptor"])[leaked]
        worker_id, most = Counter(int(number) for number in owners).most_common(1)[0]
        worker = context.snapshot.workers.get(worker_id)
        who = f"{thread_label(worker)} has {most} of them" if worker else "which thread has them is not known"
        pid = worker.pid if worker else context.server.pid
        oldest = float(age[leaked].max())
        yield diagnosis(
            self,
            context,
            "warning",
            context.name,
            f"{formatting.count(number)} connections are in CLOSE_WAIT, the oldest for {formatting.duration(oldest)}: the "
            f"client has closed, the server has not. That is {percent(number / ended)} of those that clients closed; "
            f"{who}. Each holds a file descriptor, and accept() fails with EMFILE when the limit is reached.",
            {
                "close_wait": number,
                "closed_by_clients": ended,
                "oldest_ms": round(oldest / 1e6, 1),
                "usual_ms": round(usual / 1e6, 3),
                "workers": len(set(owners.tolist())),
            },
            (
                f"Compare descriptors in use with the limit: `ls /proc/{pid}/fd | wc -l` and `prlimit --nofile --pid "
                f"{pid}`.",
                f"Watch the number: `ss -tn state close-wait sport = :{context.group.port} | wc -l`. If it only grows, the "
                "program does not close() after end of file (a read that returns 0) on some path.",
                "Restarting the process frees the descriptors until the leak is fixed.",
            ),
            weight=min(number / ended, 1.0),
            explains=("open-connections-skew", "heavy-connections"),
        )


DETECTOR = CloseWaitLeak()
