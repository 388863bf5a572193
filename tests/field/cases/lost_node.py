"""Node is killed while connections wait in its queue."""

from __future__ import annotations

from tests.field.servers import kill, packaged, stopped
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Node stopped and killed with a queue",
    source="joewalnes/port-sharding#3",
    server="Node http.createServer",
    start=stopped(packaged("node")),
    clients=(("--connections=20", "--parallel=20"),),
    expected="connections-lost-in-queue",
    truth=lambda counts: counts["reset"] >= 3,
    truth_words="at least 3 clients were reset",
    during=kill,
)
