"""Apache prefork whose four processes hold idle keep-alive connections."""

from __future__ import annotations

from tests.field.servers import packaged
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Apache prefork and idle keep-alive connections",
    source="Apache documentation: KeepAliveTimeout (core) and MaxRequestWorkers (mpm_common)",
    server="Apache prefork, 4 processes",
    start=packaged("apache-prefork"),
    clients=(
        ("--hold=1.5", "--connections=24", "--parallel=4"),
        ("--connections=60", "--parallel=6", "--gap=0.1"),
    ),
    expected="workers-blocked-on-clients",
    excluded=("accept-paused", "workers-saturated", "idle-workers", "queue-overflow"),
    truth=lambda counts: counts["slow"] + counts["pending"] >= 3,
    truth_words="at least 3 requests took half a second or more",
    seconds=5.0,
)
