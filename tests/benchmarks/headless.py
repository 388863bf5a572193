"""The dashboard's live feed without its screen: frames each second until SIGTERM, then one line of JSON.

``python -m tests.benchmarks.headless PORT [SIGNALS]``, without those signals: ``first`` is the monotonic second at which the first
connection was in a frame, ``first_cpu`` the CPU time until then.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time

from sockscope.session.frame_sources import open_live_source
from sockscope.target import Target
from sockscope.tracer.selection import OFF


def main(port: int, without: str = "") -> None:
    over = False

    def end(*_: object) -> None:
        nonlocal over
        over = True

    signal.signal(signal.SIGTERM, end)
    feed = open_live_source(
        Target(ports=(port,)),
        interval_s=1.0,
        signals=dict.fromkeys(without.split(","), OFF) if without else {},
        limits={},
    )
    feed.start()
    print("attached", flush=True)
    first, first_cpu, ticks, began = 0.0, 0.0, 0, time.process_time()
    started = time.monotonic()
    while not over:
        update = feed.next(0.1)
        if update is None:
            continue
        ticks += 1
        if not first and len(update[0].snapshot.connections):
            first, first_cpu = time.monotonic(), time.process_time()
    busy = (time.process_time() - began) / (time.monotonic() - started)
    while (update := feed.next(0.1)) is None:  # what happened since the last frame
        pass
    snapshot = update[0].snapshot
    feed.close()
    words = {
        "first": first,
        "first_cpu": first_cpu,
        "lost": dict(snapshot.health.lost),
        "ticks": ticks,
        "busy": busy,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "reads": sum(worker.reads for worker in snapshot.workers.values()),
        "writes": sum(worker.writes for worker in snapshot.workers.values()),
    }
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
