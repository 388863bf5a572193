"""A child inherited the listening socket of a server that is gone."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="listener held by a child that does not accept",
    source="jolt-lang/jolt#910",
    server="small program, its child `sleep`",
    start=small("inherited"),
    clients=(("--connections=20", "--parallel=20", "--timeout=20"),),
    expected="listener-orphaned",
    truth=lambda counts: bool(counts["pending"]) and counts["longest_s"] >= 1,
    truth_words="clients are connected and have waited for a reply for more than a second",
    tuning=True,
    short=True,
    excluded=("accept-paused",),
)
