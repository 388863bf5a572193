"""``python -m tests.benchmarks.hooks_alone PORT``: what live mode attaches, and where, but of each program only its end.

What any tracer at these hooks pays before it does a thing: the tracepoints' own part, and the slow path of
system calls.  The rest of what live mode costs is the probes' part.  It ends at SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from typing import Any

from sockscope.bpf.object_cache import CompiledObject, Function
from sockscope.target import Target
from sockscope.tracer import bpf_object
from sockscope.tracer.map_defs import MapSizes
from sockscope.tracer.source import KernelSource
from tests.benchmarks.probes import EMPTY


def main(port: int) -> None:
    signals = {signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    compiled = bpf_object._compiled

    def emptied(*args: Any) -> CompiledObject:
        image = compiled(*args)
        return replace(image, functions={name: Function(EMPTY, ()) for name in image.functions})

    bpf_object._compiled = emptied
    source = KernelSource(Target(ports=(port,)), MapSizes())
    try:
        source.start()
        print("attached", flush=True)
        signal.sigwait(signals)
    finally:
        source.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
