"""HAProxy at its maxconn."""

from __future__ import annotations

from pathlib import Path

from tests.field.servers import entry, program
from tests.field.stage import FieldCase


def _prepare(place: Path, port: int) -> list[str]:
    (place / "haproxy.cfg").write_text(
        f"""global
    nbthread 2
defaults
    mode http
    timeout client 10s
    timeout http-keep-alive 10s
frontend front
    maxconn 10
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string hello
"""
    )
    return [program("haproxy"), "-db", "-f", str(place / "haproxy.cfg")]


CASE = FieldCase(
    name="HAProxy at maxconn 10",
    source="haproxy/haproxy#2519",
    server="HAProxy, nbthread 2, maxconn 10",
    start=entry("haproxy", _prepare),
    clients=(("--connections=80", "--parallel=40", "--requests=2", "--think=0.02", "--hold=1.0"),),
    expected="accept-paused",
    excluded=("accept-lock-contention",),
    truth=lambda counts: counts["slow"] + counts["pending"] >= 5,
    truth_words="at least 5 requests took half a second or more",
    seconds=5.0,
)
