"""Detect accept() calls that fail because a limit or memory is exhausted."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis

#: What each errno that hurts clients means.  EAGAIN, EINTR and ECONNABORTED are part of normal operation.
_MEANINGS = {
    errno.EMFILE: "the process has no free file descriptor",
    errno.ENFILE: "the system has no free file",
    errno.ENOBUFS: "the kernel has no memory for the socket",
    errno.ENOMEM: "the kernel has no memory for the socket",
    errno.EPERM: "a firewall rule or security module forbids it",
}
#: Failures per second from which on the thread retries without waiting.
_SPINNING = 1000.0


class AcceptFailing:
    id = "accept-failing"
    title = "accept() fails"
    cause = "A limit of file descriptors, or memory, is exhausted."
    effect = "New clients are connected but wait in the accept queue until another connection is closed."
    verify = (
        "sockscope check --fail-on accept-failing passes, and Recv-Q of ss -ltn sport = :{port} stays near 0."
    )
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        mine = {listener.id for listener in context.group.listeners}
        by_errno: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        first, last = 0, 0
        for failed in context.snapshot.accept_errors:
            if failed.listener in mine and failed.error in _MEANINGS:
                by_errno[failed.error][failed.worker] += failed.count
                first = min(first or failed.first_ns, failed.first_ns)
                last = max(last, failed.last_ns)
        if not by_errno:
            return
        error = max(by_errno, key=lambda number: sum(by_errno[number].values()))
        workers = by_errno[error]
        number = sum(workers.values())
        name = errno.errorcode[error]
        most = context.snapshot.workers.get(max(workers, key=lambda one: workers[one]))
        who = f", most often in {thread_label(most)}" if most else ""
        pid = most.pid if most else context.server.pid
        rate = number * 1e9 / max(last - first, 10**8)
        spinning = rate >= _SPINNING
        waits = context.queue_waits
        late = waits.of(waits.ns >= context.thresholds.queue_wait_ns)
        waited = (
            f" Meanwhile {len(late)} connections waited up to {formatting.duration(float(late.ns.max()))}."
            if len(late)
            else ""
        )
        pace = (
            f"{formatting.count(rate)} per second: the thread retries without waiting"
            if spinning
            else "with pauses"
        )
        yield diagnosis(
            self,
            context,
            "critical" if len(late) else "warning",
            context.name,
            f"accept() failed {formatting.count(number)} times with {name} ({_MEANINGS[error]}){who}, {pace}.{waited}",
            {
                "errno": name,
                "failures": number,
                "per_second": round(rate, 1),
                "late": len(late),
                "workers": len(workers),
            },
            (
                f"Compare the descriptors in use with the limit: `ls /proc/{pid}/fd | wc -l` and "
                f"`prlimit --nofile --pid {pid}`; for ENFILE see `cat /proc/sys/fs/file-nr`.",
                f"Raise the limit: LimitNOFILE= in the unit, or at once `prlimit --nofile=65536:65536 --pid {pid}`.",
                "Look for leaked descriptors, such as connections in CLOSE_WAIT: "
                f"`ss -tn state close-wait sport = :{context.group.port}`.",
            ),
            weight=1.0,
            explains=(
                "accept-paused",
                "closed-unanswered",
                "queue-stuck",
                "listener-orphaned",
                "queue-wait-high",
                "queue-overflow",
                "queue-near-limit",
                "backlog-clamped",
                "acceptor-saturated",
                "single-saturated",
                "workers-saturated",
                "wasted-wakeups",
                "thundering-herd",
                "idle-workers",
                "loop-stall",
                "reader-late",
            ),
        )


DETECTOR = AcceptFailing()
