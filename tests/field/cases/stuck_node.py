"""Node that is stopped, attached late."""

from __future__ import annotations

from tests.field.servers import packaged, stopped
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Node stopped, attached late",
    source="kaschmo/sh_face_rec#9",
    server="Node http.createServer",
    start=stopped(packaged("node")),
    clients=(("--connections=15", "--parallel=15"),),
    expected="queue-stuck",
    truth=lambda counts: bool(counts["pending"]) and counts["longest_s"] >= 1,
    truth_words="clients are connected and have waited for a reply for more than a second",
    before=2.0,
)
