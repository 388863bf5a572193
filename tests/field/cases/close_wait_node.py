"""A Node server with allowHalfOpen that never ends its side."""

from __future__ import annotations

from tests.field.servers import entry, script
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Node, allowHalfOpen and no end()",
    source="Node documentation: net.createServer, allowHalfOpen",
    server="Node net.createServer",
    start=entry(
        "node",
        script(
            "require('net').createServer({allowHalfOpen: true}, s => s.on('data', () => s.write('ok')))"
            ".listen(+process.argv[2], '127.0.0.1')",
            "node",
            "FILE",
            "PORT",
            name="app.js",
        ),
    ),
    clients=(("--connections=150", "--parallel=10", "--gap=0.02"),),
    expected="close-wait-leak",
    truth=lambda counts: counts["answered"] >= 20,
    truth_words="clients got their replies and left",
)
