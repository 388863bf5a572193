"""Puma without free file descriptors."""

from __future__ import annotations

from tests.field.servers import entry, script
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="Puma out of file descriptors",
    source="ninenines/ranch#36",
    server="Puma, 2 threads, prlimit --nofile=40",
    start=entry(
        "puma",
        script(
            'run ->(environment) { [200, {"content-length" => "2"}, ["ok"]] }\n',
            "puma",
            "-b",
            "tcp://127.0.0.1:PORT",
            "-t",
            "2:2",
            "FILE",
            name="config.ru",
        ),
        nofile=40,
    ),
    clients=(("--connections=60", "--parallel=60", "--hold=3"),),
    expected="accept-failing",
    excluded=("accept-paused",),
    truth=lambda counts: counts["slow"] + counts["pending"] + counts["closed"] + counts["reset"] >= 5,
    truth_words="at least 5 clients got no reply for half a second or more",
)
