"""Python's single-threaded http.server and a browser's preconnection that sends nothing."""

from __future__ import annotations

from tests.field.servers import entry, script
from tests.field.stage import FieldCase

CASE = FieldCase(
    name="http.server and silent connections",
    source="jordan-gibbs/hyperresearch#87",
    server="Python http.server, one thread",
    start=entry(
        "http.server",
        script(
            "import http.server, sys\n"
            "class H(http.server.BaseHTTPRequestHandler):\n"
            "    def do_GET(self):\n"
            "        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers()\n"
            "        self.wfile.write(b'ok')\n"
            "    def log_message(self, *words): pass\n"
            "http.server.HTTPServer.request_queue_size = 64\n"
            "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n",
            "python3",
            "FILE",
            "PORT",
        ),
    ),
    clients=(
        ("--silent", "--hold=1.5", "--connections=6", "--parallel=1"),
        ("--connections=60", "--parallel=6", "--gap=0.1"),
    ),
    expected="workers-blocked-on-clients",
    excluded=("accept-paused", "workers-saturated", "idle-workers"),
    tuning=True,
    short=True,
    truth=lambda counts: counts["slow"] + counts["pending"] >= 3,
    truth_words="at least 3 requests took half a second or more",
    seconds=5.0,
)
