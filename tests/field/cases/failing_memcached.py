"""Memcached at its connection limit, without maxconns_fast."""

from __future__ import annotations

from pathlib import Path

from tests.field.servers import entry, program
from tests.field.stage import FieldCase


def _prepare(place: Path, port: int) -> list[str]:
    words = [
        "-u",
        "root",
        "-l",
        "127.0.0.1",
        "-p",
        str(port),
        "-t",
        "2",
        "-c",
        "40",
        "-o",
        "no_maxconns_fast",
    ]
    return [program("memcached"), *words]


CASE = FieldCase(
    name="Memcached at -c 40",
    source="memcached wiki: Timeouts (connection limit, listen_disabled_num)",
    server="Memcached, -t 2 -c 40 -o no_maxconns_fast",
    start=entry("memcached", _prepare),
    clients=(
        (
            "--connections=160",
            "--parallel=80",
            "--requests=2",
            "--think=0.02",
            "--hold=1.0",
            "--send=version\\r\\n",
        ),
    ),
    # accept-paused was expected before the errno of accept() was traced: Memcached sets RLIMIT_NOFILE to its limit
    expected="accept-failing",
    excluded=("accept-lock-contention",),
    truth=lambda counts: counts["slow"] + counts["pending"] >= 5,
    truth_words="at least 5 requests took half a second or more",
    seconds=5.0,
)
