"""Redis that is stopped, attached late."""

from __future__ import annotations

from tests.field.servers import packaged, stopped
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Redis stopped, attached late",
    source="slskd/slskd#1800",
    server="Redis",
    start=stopped(packaged("redis")),
    clients=(("--connections=15", "--parallel=15", "--send=PING\\r\\n"),),
    expected="queue-stuck",
    truth=lambda counts: bool(counts["pending"]) and counts["longest_s"] >= 1,
    truth_words="clients are connected and have waited for a reply for more than a second",
    before=2.0,
)
