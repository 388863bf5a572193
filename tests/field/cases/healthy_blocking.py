"""Processes that block in accept() and poll only with a connection."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="three blocking processes, 12 % busy",
    source="php/php-src and Apache prefork: accept() in each process (documentation)",
    server="small program",
    start=small("blocking"),
    clients=(("--connections=60", "--parallel=4", "--gap=0.3"),),
    expected="",
    truth=lambda counts: counts["answered"] >= 5,
    truth_words="all clients were answered",
    short=True,
)
