"""``sockscope what-if``: predict another setup from a recording."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.cli.output import write_output
from sockscope.errors import SockscopeError, UsageError

if TYPE_CHECKING:
    from sockscope.whatif.alternatives import Alternative


class WhatIf:
    """Predict another model, worker count, backlog or load from a recording

    Simulates the recorded connections under each alternative and shows what changes, with intervals and
    beside what was measured. Options that are given several times make one alternative per combination.

    Models: single, shared, shared:fifo, shared:lifo, reuseport, reuseport:least-loaded,
    handoff, handoff:least, dispatch.

    Examples:

      sockscope what-if web.sockscope --model reuseport
      sockscope what-if web.sockscope --workers 4 --workers 8
      sockscope what-if web.sockscope --model shared --model reuseport --load 1.5
      sockscope what-if web.sockscope --advise
    """

    name = "what-if"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="recording")
        parser.add_argument("--model", action="append", metavar="MODEL", help="how the work is shared")
        parser.add_argument("--workers", action="append", type=int, metavar="N", help="number of workers")
        parser.add_argument(
            "--backlog", action="append", type=int, metavar="N", help="limit of each accept queue"
        )
        parser.add_argument("--cpus", type=float, metavar="N", help="CPUs available to the workers")
        parser.add_argument(
            "--load",
            action="append",
            type=_factor,
            metavar="FACTOR",
            help="arrival rate, or number of clients",
        )
        parser.add_argument(
            "--speed-up",
            type=_factor,
            default=1.0,
            metavar="FACTOR",
            help="how many times faster handlers are",
        )
        parser.add_argument(
            "--clients",
            metavar="N|open",
            help="N clients that wait for replies, or arrivals as recorded (default: detected)",
        )
        parser.add_argument("--advise", action="store_true", help="try sensible alternatives and rank them")
        parser.add_argument("--port", type=int, metavar="PORT", help="only the server on this port")
        parser.add_argument(
            "--format", choices=("text", "json", "html"), default="text", help="text (default), json or html"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of standard output"
        )

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.whatif.alternatives import Alternative, parse_model

        changes = (args.model, args.workers, args.backlog, args.load, args.cpus)
        if not args.advise and not any(changes) and args.speed_up == 1:
            raise UsageError(
                "what-if needs something to change", hint="give --advise, or for example --model reuseport"
            )
        for model in args.model or ():
            parse_model(model)
        _require(args.workers, 1, 10_000, "--workers")
        _require(args.backlog, 0, 2**31 - 1, "--backlog")
        _require([args.cpus] if args.cpus is not None else None, 0.1, 10_000, "--cpus")
        alternatives = [
            Alternative(model, workers, backlog, args.cpus, load, args.speed_up)
            for model, workers, backlog, load in itertools.product(
                args.model or [None], args.workers or [None], args.backlog or [None], args.load or [1.0]
            )
        ]
        write_output(_render(args, [each for each in alternatives if each != Alternative()]), args.output)
        return 0


def _render(args: argparse.Namespace, alternatives: list[Alternative]) -> str:
    from sockscope.session.load_recording import read
    from sockscope.whatif import json, text
    from sockscope.whatif.predict import advise, predict, rank
    from sockscope.whatif.workload import UnsupportedRecordingError, extract

    frame, _ = read(args.file)
    servers = [each for each in frame.servers if args.port in (None, each.group.port)]
    if not servers:
        raise SockscopeError(
            "the recording has no connections" + (f" to port {args.port}" if args.port else ""),
            hint="see which servers it has: sockscope report FILE",
        )
    results, refusals = [], []
    for server in servers:
        try:
            workload = extract(frame, server)
            if args.clients is not None:
                setup = workload.setup
                workload = dataclasses.replace(
                    workload, setup=dataclasses.replace(setup, clients=_clients(args.clients))
                )
            result = predict(
                workload,
                _distinct(
                    [*alternatives, *(advise(workload) if args.advise else ())], workload.setup.workers
                ),
            )
            results.append(
                dataclasses.replace(result, alternatives=rank(result.alternatives)) if args.advise else result
            )
        except UnsupportedRecordingError as refusal:
            refusals.append(refusal)
    if not results:
        raise refusals[0]
    if args.format == "json":
        return json.render(tuple(results))
    if args.format == "html":
        from sockscope.whatif import html

        return html.render(tuple(results))
    return text.render(tuple(results)) + "".join(
        f"not predicted: {refusal.message}\n" for refusal in refusals
    )


def _distinct(alternatives: list[Alternative], workers: int) -> list[Alternative]:
    """Leave out those that are the same with the number of workers written out."""
    found = {
        dataclasses.replace(each, workers=each.workers or workers): each for each in reversed(alternatives)
    }
    return list(reversed(found.values()))


def _clients(text: str) -> int:
    if text == "open":
        return 0
    if text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000:
        return int(text)
    raise UsageError(
        f"--clients {text!r} is neither a number nor open", hint="write --clients 64, or --clients open"
    )


def _factor(text: str) -> float:
    """Parse ``1.5``, ``x1.5`` or ``×1.5``."""
    try:
        factor = float(text.lstrip("x×"))
    except ValueError:
        factor = 0.0
    if not 0.01 <= factor <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a factor between 0.01 and 100")
    return factor


def _require(values: list[float] | None, least: float, most: float, option: str) -> None:
    for value in values or ():
        if not least <= value <= most:
            raise UsageError(f"{option} must be between {least:g} and {most:g}")
