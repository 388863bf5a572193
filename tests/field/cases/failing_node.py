"""Node at its limit of open files: libuv accepts with a spare descriptor and closes."""

from __future__ import annotations

from tests.field.servers import entry, script
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Node at 45 open files",
    source="libuv/libuv#690",
    server="Node http.createServer, prlimit --nofile=45",
    start=entry(
        "node",
        script(
            "require('http').createServer((q, r) => r.end('ok')).listen(+process.argv[2], '127.0.0.1')",
            "node",
            "FILE",
            "PORT",
            name="app.js",
        ),
        nofile=45,
    ),
    clients=(("--connections=200", "--parallel=60", "--hold=3.0", "--gap=0.02"),),
    # closed-unanswered was expected before the errno of accept() was traced: EMFILE is its cause
    expected="accept-failing",
    truth=lambda counts: counts["reset"] + counts["closed"] >= 10,
    truth_words="at least 10 clients were reset or got no reply",
)
