"""``sockscope metrics``: an OpenMetrics endpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.cli.target_options import (
    add_target_options,
    add_tracing_options,
    get_attach_methods,
    get_target,
    parse_pairs,
)
from sockscope.errors import UsageError

if TYPE_CHECKING:
    from sockscope.export.openmetrics import Exposition

_DEFAULT_ADDRESS = "127.0.0.1:9713"
#: Closed connections that a frame still holds, besides all open ones.
_KEPT_CLOSED = 5000


class Metrics:
    """Serve metrics of running servers in the OpenMetrics format

    Traces until Ctrl-C and serves waits, queues, shares, findings and losses on
    http://127.0.0.1:9713/metrics. There is no authentication: by default only loopback can connect.

    Examples:

      sockscope metrics --port 443
      sockscope metrics --listen '[::1]:9713' --workers 64
      sockscope metrics --recording web.sockscope
    """

    name = "metrics"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        add_target_options(parser)
        add_tracing_options(parser)
        group = parser.add_argument_group("metrics")
        group.add_argument(
            "--listen",
            default=_DEFAULT_ADDRESS,
            metavar="ADDRESS:PORT",
            help=f"address to listen on (default {_DEFAULT_ADDRESS})",
        )
        group.add_argument(
            "--servers",
            type=int,
            default=32,
            metavar="N",
            help="servers with series of their own (default 32)",
        )
        group.add_argument(
            "--workers",
            type=int,
            default=128,
            metavar="N",
            help="threads with series of their own (default 128)",
        )
        group.add_argument(
            "--recording",
            type=Path,
            metavar="FILE",
            help="print the metrics of a recording and exit",
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
    from sockscope.session.live import LiveSession, get_map_sizes
    from sockscope.session.privdrop import drop_privileges

    place = place_of(args.listen)
    sizes = get_map_sizes(parse_pairs(args.map_size, "--map-size"))
    with LiveSession(get_target(args), sizes, get_attach_methods(args)) as session:
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
