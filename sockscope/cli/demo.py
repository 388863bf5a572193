"""``sockscope demo``: trace the five server models under load."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope import formatting
from sockscope.cli.output import write_output
from sockscope.cli.reference_servers import import_reference_servers, package_name
from sockscope.errors import SockscopeError, UsageError

if TYPE_CHECKING:
    from sockscope.analysis.frame import Frame
    from sockscope.analysis.server import Server
    from sockscope.compare.model import Recorded
    from sockscope.model.history import HistoryView
    from sockscope.records.batch import Batch

_MODELS = ("single", "handoff", "dispatch", "shared", "reuseport")
_LONGEST_LOAD_S = 60


class Demo:
    """Trace reference servers of the five models under load

    Starts a reference server of each model on loopback, traces them all, and applies the same load to one
    after another. Prints the verdict, which threads accepted and read what share, and how long connections
    waited. With --html also writes a page that compares the models.

    Examples:

      sockscope demo
      sockscope demo shared reuseport --workers 8 --connections 10000
      sockscope demo --html models.html
    """

    name = "demo"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("models", nargs="*", metavar="MODEL", help=f"{', '.join(_MODELS)} (default: all)")
        parser.add_argument(
            "--workers", type=int, default=3, metavar="N", help="workers per server (default 3)"
        )
        parser.add_argument(
            "--connections", type=int, default=2000, metavar="N", help="connections per server (default 2000)"
        )
        parser.add_argument(
            "--requests", type=int, default=2, metavar="N", help="requests per connection (default 2)"
        )
        parser.add_argument(
            "--concurrency", type=int, default=20, metavar="N", help="concurrent connections (default 20)"
        )

        parser.add_argument(
            "--html", type=Path, metavar="FILE", help="also write a page that compares the models"
        )

    def run(self, args: argparse.Namespace) -> int:
        for model in args.models:
            if model not in _MODELS:
                raise UsageError(f"unknown model {model!r}", hint=f"models: {', '.join(_MODELS)}")
        for option in ("workers", "connections", "requests", "concurrency"):
            if getattr(args, option) < 1:
                raise UsageError(f"--{option} must be at least 1")
        return _demonstrate(args.models or list(_MODELS), args)


def _demonstrate(models: list[str], args: argparse.Namespace) -> int:
    from sockscope.analysis.analyse import analyse
    from sockscope.compare.model import compare
    from sockscope.model.history import History
    from sockscope.model.state import State
    from sockscope.report.text import server_lines
    from sockscope.session.live import LiveSession
    from sockscope.target import Target

    servers = import_reference_servers()
    right, sides = True, []
    with ExitStack() as stack:
        running = {}
        for model in models:
            options = {} if model == "single" else {"workers": args.workers}
            try:
                running[model] = stack.enter_context(servers.start(model, **options))
            except servers.ServerError as error:
                raise SockscopeError(f"the reference server {model} did not start: {error}") from error
        session = stack.enter_context(
            LiveSession(Target(ports=tuple(server.port for server in running.values())))
        )
        session.start()
        state, history = State(), History()
        state.started_at(session.meta.started_ns)

        def take(batch: Batch) -> None:
            state.apply(batch)
            history.apply(batch)

        def tick() -> None:
            take(session.batch())

        for model, server in running.items():
            print(f"── {model} {'─' * (76 - len(model))}", flush=True)
            tick()
            begun = state.snapshot().time_ns
            load = _load(server.address, args, tick)
            print(
                f"load: {formatting.count(args.connections)} connections, {args.requests} requests each: {load}\n"
            )
            tick()
            frame = analyse(session.meta, state.snapshot())
            verdicts = [item for item in frame.servers if item.group.port == server.port]
            for verdict in verdicts:
                print("\n".join(server_lines(frame.reports[verdict.group.name])), end="\n\n", flush=True)
            sides.append(_one_model(model, frame, verdicts, begun, history.view()))
            right = right and any(verdict.model == model for verdict in verdicts)
        take(session.stop())
        lost = state.snapshot().health.lost
    print(
        "lost: "
        + ("; ".join(f"{formatting.count(number)} {what}" for what, number in lost) if lost else "nothing")
    )
    if args.html is not None:
        from sockscope.compare.text import FORMATS

        write_output(FORMATS["html"](compare(sides, "The server models under one load")), args.html)
        print(f"comparison of the models: {args.html}")
    if not right:
        raise SockscopeError(
            "a verdict differs from the model that was started", hint="please report it with this output"
        )
    return 0


def _one_model(
    model: str, frame: Frame, verdicts: list[Server], begun_ns: int, history: HistoryView
) -> Recorded:
    """Cut out one model: its server, and the time in which it had its load."""
    from sockscope.compare.model import Recorded

    names = {verdict.group.name for verdict in verdicts}
    return Recorded(
        model,
        replace(
            frame,
            meta=replace(frame.meta, target=", ".join(sorted(names))),
            snapshot=replace(frame.snapshot, started_ns=begun_ns),
            servers=tuple(verdicts),
            findings=tuple(one for one in frame.findings if any(name in one.subject for name in names)),
        ),
        history,
    )


def _load(address: str, args: argparse.Namespace, tick: Callable[[], None]) -> str:
    """Run the load generator in its own process and return its summary."""
    command = [sys.executable, "-m", f"{package_name()}.load", "--connect", address]
    command += ["--connections", str(args.connections), "--requests", str(args.requests)]
    command += ["--concurrency", str(args.concurrency), "--duration", str(_LONGEST_LOAD_S)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while True:
            try:
                said, wrong = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                tick()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise SockscopeError(f"the load generator failed: {wrong.strip() or said.strip()}")
    return next((line.split(None, 1)[1] for line in said.splitlines() if line.startswith("requests")), "done")
