"""A member of a SO_REUSEPORT group exits with connections in its queue."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="member exits with a queue",
    source="emmett-framework/granian#567",
    server="small program, SO_REUSEPORT",
    start=small("dying-member"),
    clients=(("--connections=60", "--parallel=30", "--gap=0.05"),),
    expected="connections-lost-in-queue",
    truth=lambda counts: counts["reset"] >= 3,
    truth_words="at least 3 clients were reset",
    tuning=True,
    short=True,
    seconds=5.0,
)
