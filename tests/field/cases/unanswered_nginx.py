"""Nginx with too few worker_connections."""

from __future__ import annotations

from pathlib import Path

from tests.field.servers import entry, program
from tests.field.stage import FieldCase


def _prepare(place: Path, port: int) -> list[str]:
    (place / "nginx.conf").write_text(
        f"""daemon off; user root; worker_processes 1; pid {place}/pid; error_log {place}/error.log crit;
events {{ worker_connections 16; }}
http {{ access_log off; client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}"""
    )
    return [program("nginx"), "-c", str(place / "nginx.conf"), "-p", str(place)]


CASE = FieldCase(
    name="Nginx, 16 worker_connections",
    source="apache/incubator-pagespeed-ngx#33",
    server="Nginx, worker_connections 16",
    start=entry("nginx", _prepare),
    clients=(("--connections=200", "--parallel=40", "--send=GET / HTTP/1.1\\r\\n", "--gap=0.02"),),
    expected="closed-unanswered",
    truth=lambda counts: counts["reset"] + counts["closed"] >= 10,
    truth_words="at least 10 clients were reset or got no reply",
)
