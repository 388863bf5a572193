"""``python -m tests.benchmarks.hooks_alone PORT``: what live mode attaches, and where, but of each program only its end.

What any tracer at these hooks pays before it does a thing: the tracepoints' own part, and the slow path of
system calls.  The rest of what live mode costs is the probes' part.  It ends at SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from typing import Any

from sockscope.sources.kernel import program
from sockscope.sources.kernel.image import Function, Image
from sockscope.sources.kernel.kept import Limits
from sockscope.sources.kernel.source import KernelSource
from sockscope.sources.target import Target
from tests.benchmarks.probes import EMPTY


def main(port: int) -> None:
    signals = {signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    compiled = program._compiled

    def emptied(*args: Any) -> Image:
        image = compiled(*args)
        return replace(image, functions={name: Function(EMPTY, ()) for name in image.functions})

    program._compiled = emptied
    source = KernelSource(Target(ports=(port,)), Limits())
    try:
        source.start()
        print("attached", flush=True)
        signal.sigwait(signals)
    finally:
        source.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
