"""A server that ignores end of file."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="end of file ignored",
    source="haproxy/haproxy#358",
    server="small program",
    start=small("never-closes"),
    clients=(("--connections=150", "--parallel=10", "--gap=0.02"),),
    expected="close-wait-leak",
    truth=lambda counts: counts["answered"] >= 20,
    truth_words="clients got their replies and left",
    tuning=True,
    short=True,
)
