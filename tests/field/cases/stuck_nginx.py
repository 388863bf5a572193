"""Nginx whose worker is stopped, attached late."""

from __future__ import annotations

from tests.field.servers import packaged, stopped
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Nginx stopped, attached late",
    source="trojan-gfw/trojan#97",
    server="Nginx, 2 workers",
    start=stopped(packaged("nginx")),
    clients=(("--connections=30", "--parallel=30"),),
    expected="queue-stuck",
    truth=lambda counts: bool(counts["pending"]) and counts["longest_s"] >= 1,
    truth_words="clients are connected and have waited for a reply for more than a second",
    before=2.0,
)
