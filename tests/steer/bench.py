"""Hash against steered, in interleaved rounds; --write puts the table into docs/steer.md."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sockscope.bpf import syscall
from sockscope.steer.steering import Steering, Wanted
from tests.steer import load
from tests.steer.test_steer import Server, serving, silent

_DOCS = Path(__file__).resolve().parents[2] / "docs" / "steer.md"
_BEGIN, _END = "<!-- bench -->", "<!-- end of bench -->"
_SETTLE_S = 0.5


def nothing(rng: Random) -> int:
    """Ask for no work."""
    return 0


def heavy(rng: Random) -> int:
    """Ask for work of a bounded Pareto distribution: mean 2.2 ms, one in 100 above 25 ms."""
    return min(int(700 * rng.paretovariate(1.3)), 150_000)


@dataclass(frozen=True)
class Case:
    """What is served and offered."""

    name: str
    words: tuple[object, ...]
    rate: float
    work: Callable[[Random], int]
    policy: str
    stalls: bool = False


CASES = (
    Case("one straggler of four (30 ms per request)", (30_000,), 125, nothing, "least-loaded"),
    Case("one worker stops for 400 ms, once per second", (), 200, nothing, "avoid-stalled", stalls=True),
    Case("heavy-tailed work (Pareto, mean 2.2 ms)", (), 900, heavy, "least-loaded"),
    Case("healthy and even", (), 400, nothing, "least-loaded"),
    Case("healthy and even, few connections", (), 20, nothing, "least-loaded"),
)


@contextmanager
def stalling(server: Server) -> Iterator[None]:
    """Stop worker 0 for 400 ms once per second."""
    done = threading.Event()

    def stall() -> None:
        while not done.wait(1):
            os.kill(server.pids[0], signal.SIGUSR1)

    thread = threading.Thread(target=stall)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def measure(case: Case, rounds: int, seconds: float) -> str:
    """Run a case, and return its row of the table."""
    outcomes: dict[bool, list[load.Outcome]] = {False: [], True: []}
    spent = runs = 0
    with serving(4, *case.words) as server:
        for number in range(rounds):
            for steered in (False, True):
                context: AbstractContextManager[Steering | None] = nullcontext()
                if steered:
                    context = Steering(Wanted(server.port, case.policy), silent)
                with context as steering, stalling(server) if case.stalls else nullcontext():
                    outcomes[steered].append(
                        load.run(server.address, case.rate, seconds, case.work, seed=number)
                    )
                    if steering is not None:
                        more = steering.run_time()
                        spent, runs = spent + more[0], runs + more[1]
                time.sleep(_SETTLE_S)
    errors = sum(len(outcome.errors) for both in outcomes.values() for outcome in both)
    cells = [case.name, case.policy, str(rounds)]
    for part in (0.5, 0.99):
        hashed, steered_ms = (
            [outcome.quantile(part) for outcome in outcomes[steered]] for steered in (False, True)
        )
        ratio = statistics.median(one / other for one, other in zip(hashed, steered_ms, strict=True))
        cells += [_range(hashed), _range(steered_ms), f"{ratio:.2f}"]
    cells += [str(errors), f"{spent / max(runs, 1):.0f} ns"]
    return f"| {' | '.join(cells)} |"


def long_lived(rounds: int, connections: int = 200) -> str:
    """Open connections that stay, and return a row with the standard deviation of their number per worker."""
    import socket

    deviations: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for steered in (False, True):
            with serving(4) as server:
                context: AbstractContextManager[Steering | None] = nullcontext()
                if steered:
                    context = Steering(Wanted(server.port, "least-loaded"), silent)
                counts = [0] * 4
                clients = []
                with context:
                    rng = Random(number)
                    for _ in range(connections):
                        client = socket.create_connection(server.address, timeout=5)
                        client.sendall(b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n")
                        reply = client.recv(4096)
                        counts[int(reply.split(b"X-Worker: ")[1].split(b"\r")[0])] += 1
                        clients.append(client)
                        time.sleep(rng.random() / 500)
                for client in clients:
                    client.close()
                deviations[steered].append(statistics.pstdev(counts))
    return (
        f"{connections} long-lived connections, {rounds} rounds: standard deviation of open connections per "
        f"worker {_range(deviations[False])} by hash, {_range(deviations[True])} by least-loaded."
    )


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main() -> None:
    """Measure everything, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    columns = [
        "p50 hash",
        "p50 steered",
        "ratio",
        "p99 hash",
        "p99 steered",
        "ratio",
        "errors",
        "cost per SYN",
    ]
    lines = [
        "| case | policy | rounds | " + " | ".join(columns) + " |",
        "|---" * 11 + "|",
    ]
    statistics_on = syscall.enable_stats()
    try:
        for case in CASES:
            lines.append(measure(case, args.rounds, args.seconds))
            print(lines[-1], file=sys.stderr, flush=True)
        lines += ["", long_lived(args.rounds)]
    finally:
        os.close(statistics_on)
    table = "\n".join(lines)
    print(table)
    if args.write:
        text = _DOCS.read_text()
        before, _, rest = text.partition(_BEGIN)
        _, _, after = rest.partition(_END)
        _DOCS.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}")


if __name__ == "__main__":
    main()
