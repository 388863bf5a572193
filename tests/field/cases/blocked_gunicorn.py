"""gunicorn's sync workers and connections that send nothing."""

from __future__ import annotations

from tests.field.servers import packaged
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="gunicorn sync workers and silent connections",
    source="pypi/warehouse#20110",
    server="gunicorn, 3 sync workers",
    start=packaged("gunicorn-sync"),
    clients=(
        ("--silent", "--hold=1.5", "--connections=18", "--parallel=3"),
        ("--connections=60", "--parallel=6", "--gap=0.1"),
    ),
    expected="workers-blocked-on-clients",
    excluded=("accept-paused", "workers-saturated", "idle-workers"),
    truth=lambda counts: counts["slow"] + counts["pending"] >= 3,
    truth_words="at least 3 requests took half a second or more",
    seconds=5.0,
)
