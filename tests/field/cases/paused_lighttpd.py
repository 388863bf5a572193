"""lighttpd at server.max-connections."""

from __future__ import annotations

from pathlib import Path

from tests.field.servers import entry, program
from tests.field.stage import FieldCase


def _prepare(place: Path, port: int) -> list[str]:
    (place / "index.html").write_text("hello\n")
    (place / "lighttpd.conf").write_text(
        f"""server.document-root = "{place}"
server.port = {port}
server.bind = "127.0.0.1"
server.max-connections = 10
server.max-fds = 100
server.max-keep-alive-requests = 1000
index-file.names = ("index.html")
"""
    )
    return [program("lighttpd"), "-D", "-f", str(place / "lighttpd.conf")]


CASE = FieldCase(
    name="lighttpd at max-connections 10",
    source="lighttpd documentation: server.max-connections",
    server="lighttpd",
    start=entry("lighttpd", _prepare),
    clients=(("--connections=80", "--parallel=40", "--requests=2", "--think=0.02", "--hold=1.0"),),
    expected="accept-paused",
    excluded=("accept-lock-contention",),
    truth=lambda counts: counts["slow"] + counts["pending"] >= 5,
    truth_words="at least 5 requests took half a second or more",
    seconds=5.0,
)
