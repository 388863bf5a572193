"""gunicorn is killed while connections wait in its queue."""

from __future__ import annotations

from tests.field.servers import kill, packaged, stopped
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="gunicorn stopped and killed with a queue",
    source="libp2p/go-reuseport#6",
    server="gunicorn, 3 sync workers",
    start=stopped(packaged("gunicorn-sync")),
    clients=(("--connections=20", "--parallel=20"),),
    expected="connections-lost-in-queue",
    truth=lambda counts: counts["reset"] >= 3,
    truth_words="at least 3 clients were reset",
    during=kill,
)
