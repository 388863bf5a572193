"""``sockscope metrics`` as a scraper meets it, on a server under load."""

from __future__ import annotations

import http.client
import re
import signal

import pytest

import servers
from tests.conftest import wait_until
from tests.kernel.command import begin
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel

parser = pytest.importorskip("prometheus_client.openmetrics.parser")


def test_a_scraper_gets_what_happened_and_ctrl_c_ends_it() -> None:
    with servers.start("shared", workers=2) as server:
        serving = begin("metrics", "--port", server.port, "--listen", "127.0.0.1:0")
        assert serving.stderr is not None
        line = serving.stderr.readline()
        place = re.fullmatch(r"sockscope: serving http://127\.0\.0\.1:(\d+)/metrics until Ctrl-C\n", line)
        assert place, line

        def scraped() -> dict[str, float]:
            client = http.client.HTTPConnection("127.0.0.1", int(place[1]), timeout=10)
            client.request(
                "GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
            )
            families = parser.text_string_to_metric_families(client.getresponse().read().decode())
            return {sample.name: sample.value for family in families for sample in family.samples}

        load(server.port, "--connections", 300, "--concurrency", 8, "--requests", 1)
        wait_until(lambda: scraped().get("sockscope_connections_total") == 300)
        told = scraped()
        assert told["sockscope_queue_wait_seconds_count"] == 300
        assert told["sockscope_lost_records_total"] == 0
        serving.send_signal(signal.SIGINT)
        out, said = serving.communicate(timeout=20)
    assert (serving.returncode, out, said) == (0, "", "")
