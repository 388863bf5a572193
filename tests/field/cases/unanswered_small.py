"""A server that closes connections unread above a limit."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="closed unread above 10 connections",
    source="nodejs/node#45242",
    server="small program",
    start=small("rejecting"),
    clients=(("--connections=100", "--parallel=20", "--hold=3.0", "--gap=0.02"),),
    expected="closed-unanswered",
    truth=lambda counts: counts["reset"] + counts["closed"] >= 10,
    truth_words="at least 10 clients were reset or got no reply",
    tuning=True,
    short=True,
)
