"""``sockscope metrics``: figures for Prometheus and its like."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.cli.target_options import (
    add_target_options,
    add_tracing_options,
    pairs_of,
    signals_of,
    target_of,
)
from sockscope.errors import UsageError

if TYPE_CHECKING:
    from sockscope.export.openmetrics import Exposition

_DEFAULT_PLACE = "127.0.0.1:9713"
#: Closed connections that a frame still has: what open connections and shares of now are judged by.
_KEPT_CLOSED = 5000


class Metrics:
    """Serve figures of running servers in the OpenMetrics format

    Traces until Ctrl-C, and answers http://127.0.0.1:9713/metrics with waits, queues, shares, findings and
    losses. Whoever reaches the address can read them: it is loopback unless --listen says otherwise.
    """

    name = "metrics"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        add_target_options(parser)
        add_tracing_options(parser)
        group = parser.add_argument_group("metrics")
        group.add_argument(
            "--listen",
            default=_DEFAULT_PLACE,
            metavar="ADDRESS:PORT",
            help=f"where to serve ({_DEFAULT_PLACE})",
        )
        group.add_argument(
            "--servers", type=int, default=32, metavar="N", help="servers with series of their own (32)"
        )
        group.add_argument(
            "--workers", type=int, default=128, metavar="N", help="threads with series of their own (128)"
        )
        group.add_argument(
            "--recording",
            type=Path,
            metavar="FILE",
            help="print the figures of a recording once, instead of serving",
        )

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.export.openmetrics import Exposition

        if min(args.servers, args.workers) < 1:
            raise UsageError("--servers and --workers must be at least 1")
        exposition = Exposition(args.servers, args.workers)
        if args.recording is not None:
            from sockscope.session.frames import frame_of_recording

            sys.stdout.write(exposition.render(frame_of_recording(args.recording)))
            return 0
        return _serve(args, exposition)


def _serve(args: argparse.Namespace, exposition: Exposition) -> int:
    from sockscope.analysis.analyse import analyse
    from sockscope.export.metrics_server import Endpoint, place_of
    from sockscope.model.state import State
    from sockscope.records.batch import Batch
    from sockscope.session.frames import run
    from sockscope.session.live import LiveSession, limits_of
    from sockscope.session.privdrop import drop_privileges

    place = place_of(args.listen)
    limits = limits_of(pairs_of(args.limits, "--limits"))
    with LiveSession(target_of(args), limits, signals_of(args)) as session:
        state = State(_KEPT_CLOSED)
        state.started_at(session.meta.started_ns)
        frame = analyse(session.meta, state.snapshot())

        def take(batch: Batch) -> None:
            nonlocal frame
            state.apply(batch)
            frame = analyse(session.meta, state.snapshot())

        session.start()
        drop_privileges()
        with Endpoint(place, lambda classic: exposition.render(frame, classic)) as endpoint:
            host = f"[{place[0]}]" if ":" in place[0] else place[0]
            print(f"sockscope: serving http://{host}:{endpoint.port}/metrics until Ctrl-C", file=sys.stderr)
            ending = run(session, take, None)
    if ending == "target ended":
        print("sockscope: the target has ended", file=sys.stderr)
    return 0
