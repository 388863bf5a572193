"""A server that was stopped before tracing began."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="stopped server, attached late",
    source="uwsgi#2444 (workers asleep, listen queue full)",
    server="small program, SIGSTOP",
    start=small("stopped"),
    clients=(("--connections=40", "--parallel=40"),),
    expected="queue-stuck",
    truth=lambda counts: bool(counts["pending"]) and counts["longest_s"] >= 1,
    truth_words="clients are connected and have waited for a reply for more than a second",
    tuning=True,
    short=True,
    before=2.0,
)
