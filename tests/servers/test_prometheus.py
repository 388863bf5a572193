"""Prometheus itself: what it says of the exposition, scrapes, and answers to the questions of the docs."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.export.metrics_server import Endpoint
from sockscope.export.openmetrics import Exposition
from sockscope.model.state import State
from tests.conftest import wait_until
from tests.synthetic import Scenario, SyntheticSource

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus"),
]

DOCS = Path(__file__).resolve().parents[2] / "docs"


@contextmanager
def exposed(scenario: Scenario) -> Iterator[int]:
    """A server that never was, traced on: each scrape is of a later tick.  The port."""
    source, state, exposition = SyntheticSource(scenario), State(), Exposition()

    def made(classic: bool) -> str:
        state.apply(source.batch())
        return exposition.render(analyse(source.meta, state.snapshot()), classic)

    with Endpoint(("127.0.0.1", 0), made) as endpoint:
        yield endpoint.port


@pytest.mark.parametrize(
    "scenario", [Scenario("shared", straggler=2, lost=3), Scenario("single", overflow=True, rate=1500.0)]
)
def test_promtool_has_nothing_to_complain_about(scenario: Scenario) -> None:
    with exposed(scenario) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(4):
            client.request("GET", "/metrics")
            text = client.getresponse().read()
    done = subprocess.run(
        ["promtool", "check", "metrics", "--extended"],
        input=text,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    assert b"sockscope_queue_wait_seconds" in done.stdout


def test_promtool_takes_the_examples(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "sockscope-alerts.yml"):
        shutil.copy(DOCS / "examples" / name, tmp_path)
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


@contextmanager
def scraping(port: int, directory: Path) -> Iterator[Callable[[str], Any]]:
    """Prometheus with the example's configuration, but for the port and the time; asks it for a path."""
    config = (DOCS / "examples" / "prometheus.yml").read_text()
    config = config.replace("9713", str(port)).replace("15s", "200ms")
    (directory / "prometheus.yml").write_text(config + "\n")
    alerts = re.sub(r"for: \w+", "for: 0s", (DOCS / "examples" / "sockscope-alerts.yml").read_text())
    (directory / "sockscope-alerts.yml").write_text(alerts)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    process = subprocess.Popen(
        ["prometheus", f"--config.file={directory / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{own}",
         f"--storage.tsdb.path={directory / 'data'}", "--log.level=warn"],
        cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def ask(path: str) -> Any:
        try:
            client = http.client.HTTPConnection("127.0.0.1", own, timeout=10)
            client.request("GET", f"/api/v1/{path}")
            response = client.getresponse()
            if response.status == 503:  # it is not ready yet
                return None
            answer = json.loads(response.read())
        except OSError:
            return None
        assert answer["status"] == "success", answer
        return answer["data"]

    try:
        yield ask
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert not [line for line in said.splitlines() if "exiting gracefully" not in line], said


def questions() -> dict[str, str]:
    """Every expression of the docs and of the dashboard, with the dashboard's variables filled in."""
    found = {
        text: text for text in re.findall(r"```promql\n(.*?)```", (DOCS / "metrics.md").read_text(), re.S)
    }
    board = json.loads((DOCS / "examples" / "grafana-dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            found[f"{panel['title']}: {target['expr']}"] = target["expr"]
    filled = {}
    for name, text in found.items():
        text = re.sub(
            r"\$__rate_interval|\$__interval|\[\d+m\]", lambda one: "[2s]" if one[0][0] == "[" else "2s", text
        )
        filled[name] = re.sub(r'=~"\$\w+"', '=~".*"', text)
    return filled


def test_a_real_scrape_answers_every_question_of_the_docs(tmp_path: Path) -> None:
    with (
        exposed(Scenario("shared", overflow=True, rate=1500.0, backlog=64, lost=2)) as port,
        scraping(port, tmp_path) as ask,
    ):

        def scraped() -> bool:
            found = ask("query?query=" + quote("count_over_time(sockscope_connections_total[30s]) >= 6"))
            return bool(found and found["result"])

        wait_until(scraped, within_s=30)
        (target,) = ask("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        kinds = ask("metadata")
        assert kinds["sockscope_queue_wait_seconds"][0]["type"] == "histogram"
        assert kinds["sockscope_connections"][0]["type"] == "counter"  # OpenMetrics was spoken
        empty = [
            name for name, text in questions().items() if not ask(f"query?query={quote(text)}")["result"]
        ]
        assert empty == []
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        assert rules
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        wanted = {"SockscopeLosesRecords", "ConnectionsDropped"}
        wait_until(lambda: wanted <= {one["labels"]["alertname"] for one in ask("alerts")["alerts"]}, 10)
