"""One listening socket, several acceptors, and the kernel wakes the same one again and again."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.fairness import fairness
from sockscope.analysis.findings._context import Case, percent, shares, skew_evidence, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.frame import Severity


class AcceptSkewShared:
    id = "accept-skew-shared"
    title = "One shared accept queue feeds some workers far more than others"
    needs: tuple[str, ...] = ("wait",)

    def look(self, case: Case) -> Iterator[Diagnosis]:
        figure, group, limits = case.figures.accepts, case.group, case.thresholds
        used = {listener for listener, number in group.per_listener.items() if number}
        if not case.enough or len(case.accepting) < 2 or len(used) > 1:
            return
        fair, top = figure.fairness, figure.top
        if fair.judgement != "uneven" or fair.max_over_mean < limits.effect or top is None:
            return
        loads = {worker.id: case.load(worker) for worker in case.accepting}
        others = [load for number, load in loads.items() if number != top.id]
        severity = _severity(case, loads[top.id], min(others), top.id)
        evidence = {
            **skew_evidence("accepts", figure),
            "busiest_load": round(loads[top.id], 3),
            "idlest_load": round(min(others), 3),
        }
        yield diagnosis(
            self,
            severity,
            case.name,
            f"{len(case.accepting)} threads wait for one socket; they accepted {shares(fair.values)} "
            "connections: "
            f"{thread(top)} has {fair.max_over_mean:.1f} times its fair share (chance would give a "
            "coefficient of "
            f"variation of {fair.noise_cv:.2f}, it is {fair.cv:.2f}). {_WHY}. It is at work "
            f"{percent(loads[top.id])} of the time, the idlest one {percent(min(others))}."
            + (" Short requests under light load do not suffer from that." if severity == "info" else ""),
            evidence,
            (
                "For long-lived connections give each worker a listening socket of its own: SO_REUSEPORT, "
                "bound in each "
                "worker after fork (tail latency gets worse if handlers block).",
                "Or let the acceptor that has more connections than its fair share decline: stop watching "
                "the "
                "listener above 1/n of the connections.",
                "Or limit how long a connection lives, so that connections are shared out anew.",
            ),
            weight=min(1 - 1 / fair.max_over_mean, 1),
            explains=(
                "idle-workers",
                "heavy-connections",
                "open-connections-skew",
                "queue-wait-high",
                "reader-late",
                "loop-stall",
            ),
        )


_WHY = (
    "An epoll waiter that was added last is woken first (last in, first out); an accept lock that its holder "
    "takes again does the same"
)


def _severity(case: Case, top: float, least: float, number: int) -> Severity:
    limits = case.thresholds
    worker = case.snapshot.workers[number]
    if case.saturated(worker) and least < limits.slack * top:
        return "warning"
    if case.long_enough and top >= limits.loaded and least < limits.slack * top:
        return "notice"
    open_now = fairness(case.figures.open.values)
    if open_now.judgement == "uneven" and open_now.max_over_mean >= limits.effect and _long_lived(case):
        return "notice"
    return "info"


def _long_lived(case: Case) -> bool:
    """Whether what is open now is most of what there was: connections that stay."""
    return case.figures.open.fairness.total >= 0.5 * max(case.server.connections, 1)


DETECTOR = AcceptSkewShared()
