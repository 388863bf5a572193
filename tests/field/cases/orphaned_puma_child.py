"""A process that a Puma application forked keeps the listening socket open after Puma is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

from tests.diagnosis.stage import Place
from tests.field.servers import entry, script
from tests.field.stage import FieldCase

_APP = """
Thread.new { sleep 1; fork { Signal.trap("TERM", "DEFAULT"); sleep 40 } }
run ->(environment) { [200, {"content-length" => "2"}, ["ok"]] }
"""


def _start(stack: contextlib.ExitStack) -> Place:
    place = entry(
        "puma", script(_APP, "puma", "-b", "tcp://127.0.0.1:PORT", "-t", "2:2", "FILE", name="config.ru")
    )(stack)
    time.sleep(2.5)
    helpers = [child.pid for child in psutil.Process(place.pid).children()]
    os.kill(place.pid, signal.SIGKILL)
    stack.callback(lambda: [os.kill(pid, signal.SIGKILL) for pid in helpers])
    return place


CASE = FieldCase(
    name="Puma killed, a process that it forked holds the listener",
    source="samhocevar/rinetd#10",
    server="Puma, single mode",
    start=_start,
    clients=(("--connections=20", "--parallel=20"),),
    expected="listener-orphaned",
    excluded=("accept-paused",),
    truth=lambda counts: bool(counts["pending"]) and counts["longest_s"] >= 1,
    truth_words="clients are connected and have waited for a reply for more than a second",
)
