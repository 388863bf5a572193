"""A server without free file descriptors that retries at once."""

from __future__ import annotations

from tests.field.servers import small
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="out of file descriptors",
    source="libuv/libuv#690",
    server="small program, RLIMIT_NOFILE 20",
    start=small("out-of-files"),
    clients=(("--connections=60", "--parallel=60", "--hold=3"),),
    expected="accept-failing",
    excluded=("accept-paused",),
    truth=lambda counts: counts["slow"] + counts["pending"] + counts["closed"] + counts["reset"] >= 5,
    truth_words="at least 5 clients got no reply for half a second or more",
    tuning=True,
    short=True,
)
