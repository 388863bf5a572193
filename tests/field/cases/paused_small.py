"""A server that stops watching its listener at 10 open connections."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="connection limit of 10",
    source="golang.org/x/net/netutil LimitListener (package page)",
    server="small program",
    start=small("limited"),
    clients=(("--connections=80", "--parallel=40", "--requests=2", "--think=0.02", "--hold=1.0"),),
    expected="accept-paused",
    truth=lambda counts: counts["slow"] + counts["pending"] >= 5,
    truth_words="at least 5 requests took half a second or more",
    tuning=True,
    short=True,
    excluded=("accept-lock-contention",),
    seconds=5.0,
)
