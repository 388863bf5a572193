"""A helper process that a gunicorn worker forked keeps the listening socket open after gunicorn is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

from tests.diagnosis.stage import Place
from tests.field.servers import entry, kill, script
from tests.field.stage import FieldCase

_APP = """
import multiprocessing, os, signal, time

def keep():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(40)

if os.fork() == 0:
    keep()
    os._exit(0)

def application(environment, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def _start(stack: contextlib.ExitStack) -> Place:
    """The workers start a helper by fork; then they and the master are killed, and the helper stays."""
    place = entry(
        "gunicorn",
        script(_APP, "gunicorn", "-w", "1", "-b", "127.0.0.1:PORT", "--chdir", ".", "app:application"),
    )(stack)
    time.sleep(1.5)
    worker = place.children()[0]
    helpers = [child.pid for child in psutil.Process(worker).children()]
    kill(place, stack)
    stack.callback(lambda: [os.kill(pid, signal.SIGKILL) for pid in helpers])
    return place


CASE = FieldCase(
    name="gunicorn killed, its forked helper holds the listener",
    source="thedotmack/claude-mem#3596",
    server="gunicorn 1 sync worker",
    start=_start,
    clients=(("--connections=20", "--parallel=20"),),
    expected="listener-orphaned",
    excluded=("accept-paused",),
    truth=lambda counts: bool(counts["pending"]) and counts["longest_s"] >= 1,
    truth_words="clients are connected and have waited for a reply for more than a second",
)
