"""Node at its limit of connections: it closes those above."""

from __future__ import annotations

from tests.field.servers import entry, script
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Node at 10 maxConnections",
    source="Node documentation: server.maxConnections",
    server="Node http.createServer, maxConnections 10",
    start=entry(
        "node",
        script(
            "const s = require('http').createServer((q, r) => r.end('ok')); s.maxConnections = 10;"
            "s.listen(+process.argv[2], '127.0.0.1')",
            "node",
            "FILE",
            "PORT",
            name="app.js",
        ),
    ),
    clients=(("--connections=200", "--parallel=60", "--hold=3.0", "--gap=0.02"),),
    expected="closed-unanswered",
    truth=lambda counts: counts["reset"] + counts["closed"] >= 10,
    truth_words="at least 10 clients were reset or got no reply",
)
