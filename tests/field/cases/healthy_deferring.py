"""TCP_DEFER_ACCEPT counts drops of the socket that are none."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="TCP_DEFER_ACCEPT",
    source="nginx documentation: listen, deferred",
    server="small program",
    start=small("deferring"),
    clients=(("--connections=100", "--parallel=4", "--gap=0.05"),),
    expected="",
    truth=lambda counts: counts["answered"] >= 20,
    truth_words="all clients were answered",
    short=True,
)
