"""``sockscope why``: where the time of a server's threads goes, and what blocked them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection
from pathlib import Path

from sockscope import formatting
from sockscope.errors import SockscopeError, UsageError

_REFRESH_S = 0.2


class Why:
    """Account for the time of a server's threads, and name what blocked them

    Traces all threads of the processes that hold a listening socket on --port, or of the processes of
    --pid, and of the processes that they start. The time of each thread is split into waiting for work,
    running, runnable without a CPU, and blocked: on a lock, a file, a sleep, a client, an upstream, DNS,
    a pipe or a page fault. A stall is a blocked period of at least --stall.

    Python functions are named for CPython 3.11 to 3.13, native functions from symbol tables, compiled
    JavaScript and Java from perf maps. Folded stacks and speedscope files are for flame graphs.

    Examples:

      sockscope why --port 8080 -d 10s
      sockscope why --pid 812 --stall 5ms
      sockscope why --port 8080 --format folded | flamegraph.pl > why.svg
      sockscope why --port 8080 --format speedscope > why.speedscope.json
    """

    name = "why"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--port",
            type=int,
            action="append",
            default=[],
            metavar="PORT",
            help="processes that hold a listening socket on this port (repeatable)",
        )
        parser.add_argument(
            "--pid", type=int, action="append", default=[], metavar="PID", help="process (repeatable)"
        )
        parser.add_argument(
            "-d", "--duration", default="10s", metavar="DURATION", help="trace for this long (default 10s)"
        )
        parser.add_argument(
            "--stall",
            default="20ms",
            metavar="DURATION",
            help="blocked periods of at least this length are stalls (default 20ms)",
        )
        parser.add_argument("--format", choices=("text", "json", "folded", "speedscope"), default="text")

    def run(self, args: argparse.Namespace) -> int:
        duration_ns, stall_ns = (
            formatting.parse_duration(args.duration),
            formatting.parse_duration(args.stall),
        )
        if not duration_ns or not stall_ns:
            raise UsageError("--duration and --stall must be longer than 0")
        pids, ports = _find_processes(args.port, args.pid)

        from sockscope.analysis.time_accounting import account
        from sockscope.report.why import json, stacks, text
        from sockscope.tracer.why_tracer import WhyTracer

        with WhyTracer(pids, stall_ns) as tracer:
            end = time.monotonic_ns() + duration_ns
            try:
                while (left := end - time.monotonic_ns()) > 0:
                    time.sleep(min(_REFRESH_S, left / 1e9))
                    tracer.refresh()
            except KeyboardInterrupt:
                pass  # Ctrl-C ends tracing early; what was counted is shown
            trace = tracer.read()
        if not trace.periods:
            raise SockscopeError("no thread of the target was seen", hint="check that the process still runs")
        if args.format == "folded":
            sys.stdout.write(stacks.as_folded(trace, ports))
        elif args.format == "speedscope":
            sys.stdout.write(stacks.as_speedscope(trace, ports))
        else:
            found = account(trace, ports)
            sys.stdout.write(json.as_json(found) if args.format == "json" else text.as_text(found))
        return 0


def _find_processes(ports: list[int], pids: list[int]) -> tuple[list[int], Collection[int]]:
    """Return the processes to trace, and the ports on which they listen.

    :raises UsageError: without a target, for a port out of range, or when there is no such process
    :raises SockscopeError: when nothing listens on the ports
    """
    from sockscope.host.overview import overview

    if not ports and not pids:
        raise UsageError(
            "no target given", hint="name a server with --port or --pid; sockscope listeners lists them"
        )
    for port in ports:
        if not 0 < port < 65536:
            raise UsageError(f"--port {port}: out of range", hint="ports are 1 to 65535")
    for pid in pids:
        if pid <= 0 or not Path(f"/proc/{pid}").exists():
            raise UsageError(f"--pid {pid}: no such process", hint="sockscope listeners lists servers")
    listeners = overview().listeners
    found = set(pids)
    for listening in listeners:
        if listening.port in ports:
            found |= {owner.pid for owner in listening.owners}
    if not found:
        raise SockscopeError(
            f"no process that listens on port {', '.join(map(str, ports))} is visible",
            hint="sockscope listeners lists listening sockets and their owners; root sees all",
        )
    local = {it.port for it in listeners if any(owner.pid in found for owner in it.owners)}
    return sorted(found), local | set(ports)
