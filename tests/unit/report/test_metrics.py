"""Metrics: the official client's parser reads them, and everything that names one names a real one."""

from __future__ import annotations

import argparse
import http.client
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockscope.analysis.analyse import analyse
from sockscope.cli.metrics import Metrics
from sockscope.errors import SockscopeError, UsageError
from sockscope.export.metrics_server import Endpoint, place_of
from sockscope.export.openmetrics import CLASSIC_TYPE, CONTENT_TYPE, Exposition
from sockscope.model.state import State
from tests.synthetic import SyntheticSource
from tests.unit.report.conftest import SCENARIOS, shown

parser = pytest.importorskip("prometheus_client.openmetrics.parser")
classic_parser = pytest.importorskip("prometheus_client.parser")

DOCS = Path(__file__).resolve().parents[3] / "docs"


def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def names(text: str) -> set[str]:
    return {sample.name for family in families(text).values() for sample in family.samples}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_official_parser_reads_it(name: str) -> None:
    found = families(Exposition().render(shown(name)[0]))
    assert found["sockscope_queue_wait_seconds"].type == "histogram"
    assert found["sockscope_queue_wait_seconds"].unit == "seconds"
    (model,) = found["sockscope_server"].samples
    assert model.labels["model"] == shown(name)[0].servers[0].model


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_classic_format_has_the_same_samples(name: str) -> None:
    frame = shown(name)[0]
    classic = Exposition().render(frame, classic=True)
    exported = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in classic_parser.text_string_to_metric_families(classic)
        for sample in family.samples
    }
    assert exported == {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(Exposition().render(frame)).values()
        for sample in family.samples
    }


def test_figures_are_those_of_the_frame() -> None:
    frame, _ = shown("handoff")
    found = families(Exposition().render(frame))
    (connections,) = found["sockscope_connections"].samples
    assert connections.value == frame.servers[0].connections
    accepts = sum(sample.value for sample in found["sockscope_worker_accepts"].samples)
    assert accepts == sum(worker.accepts for worker in frame.snapshot.workers.values())
    waits = {sample.name: sample.value for sample in found["sockscope_queue_wait_seconds"].samples}
    assert waits["sockscope_queue_wait_seconds_count"] == accepts
    records = frame.snapshot.connections
    taken = records[records["accepted_ns"] > 0]
    exact = float((taken["accepted_ns"] - taken["established_ns"]).sum()) / 1e9
    assert waits["sockscope_queue_wait_seconds_sum"] == pytest.approx(exact, rel=0.1)


def test_the_kinds_of_work_are_called_the_same_in_each_metric_and_in_docs() -> None:
    found = families(Exposition().render(shown("handoff")[0]))
    (row,) = re.findall(r"^\| `work` \|(.*)\|$", (DOCS / "metrics.md").read_text(), re.M)
    documented = set(re.findall(r"`(\w+)`", row))
    for metric in ("max_over_mean", "cv", "noise_cv", "skewed"):
        exported = {sample.labels["work"] for sample in found[f"sockscope_share_{metric}"].samples}
        assert exported
        assert exported <= documented, metric


def test_hostile_names_stay_in_their_labels() -> None:
    frame, _ = shown("hostile")
    sly = replace(frame, meta=replace(frame.meta, target='x"} 1\n# EOF\\'))
    found = families(Exposition().render(sly))
    assert found["sockscope"].samples[0].labels["target"] == 'x"} 1\n# EOF\\'
    assert "<script>x/4001/4001" in {
        sample.labels["worker"] for sample in found["sockscope_worker_reads"].samples
    }


def frames(name: str, ticks: int) -> Iterator[Any]:
    source = SyntheticSource(SCENARIOS[name])
    state = State()
    for batch in source.batches(ticks):
        state.apply(batch)
        yield analyse(source.meta, state.snapshot())


def test_counters_only_rise_and_series_are_bounded_and_stay() -> None:
    exposition = Exposition(workers=3)
    before: dict[Any, float] = {}
    for frame in frames("straggler", 8):
        now = {}
        for family in families(exposition.render(frame)).values():
            if family.type in ("counter", "histogram"):
                for sample in family.samples:
                    now[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        assert not [key for key, value in before.items() if now.get(key, np.inf) < value]
        assert before.keys() <= now.keys()
        before = now
    workers = {dict(labels)["worker"] for name, labels in before if name == "sockscope_worker_reads_total"}
    assert len(workers) == 4
    assert "other" in workers


def test_buckets_are_those_of_the_kernel_summed_up() -> None:
    frame, _ = shown("straggler")
    samples = families(Exposition().render(frame))["sockscope_data_wait_seconds"].samples
    edges = [float(sample.labels["le"]) for sample in samples if "le" in sample.labels]
    assert edges == sorted(edges)
    assert len(edges) == 28
    assert edges[1] == pytest.approx(2 * edges[0])


def test_docs_name_every_metric_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(sockscope_\w+)` \|", (DOCS / "metrics.md").read_text(), re.M))
    found: set[str] = set()
    for name in SCENARIOS:
        found |= names(Exposition().render(shown(name)[0]))
    assert {re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name) for name in found} == documented


@pytest.mark.parametrize(
    "file", ["metrics.md", "examples/grafana-dashboard.json", "examples/sockscope-alerts.yml"]
)
def test_examples_ask_for_metrics_that_exist(file: str) -> None:
    text = (DOCS / file).read_text()
    if file.endswith("json"):
        text = "\n".join(
            target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]
        )
    elif file.endswith("md"):
        text = "\n".join(re.findall(r"```promql\n(.*?)```", text, re.S))
    asked = set(re.findall(r"\bsockscope_\w+", text))
    assert asked
    known: set[str] = set()
    for name in ("straggler", "overflow", "handoff"):
        known |= names(Exposition().render(shown(name)[0]))
    assert asked <= known


def test_the_endpoint_answers_on_its_address_alone() -> None:
    exposition, frame = Exposition(), shown("even")[0]
    with Endpoint(("127.0.0.1", 0), lambda classic: exposition.render(frame, classic)) as endpoint:
        client = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=10)
        client.request("GET", "/metrics", headers={"Accept": f"{CONTENT_TYPE};q=0.5,text/plain;q=0.1"})
        answer = client.getresponse()
        assert (answer.status, answer.getheader("Content-Type")) == (200, CONTENT_TYPE)
        assert "sockscope_queue_wait_seconds" in families(answer.read().decode())
        client.request("GET", "/metrics")
        answer = client.getresponse()
        assert (answer.status, answer.getheader("Content-Type")) == (200, CLASSIC_TYPE)
        assert "# EOF" not in answer.read().decode()
        client.request("GET", "/etc/passwd")
        assert client.getresponse().status == 404
        with pytest.raises(SockscopeError, match=r"cannot listen on 127\.0\.0\.1 port"):
            Endpoint(("127.0.0.1", endpoint.port), str)


def test_invalid_addresses_are_rejected() -> None:
    assert place_of("127.0.0.1:9713") == ("127.0.0.1", 9713)
    assert place_of("[::1]:9713") == ("::1", 9713)
    for wrong in ("9713", "localhost:1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:²"):
        with pytest.raises(UsageError, match="write 127"):
            place_of(wrong)


def test_a_recording_is_printed_once(
    recording: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, words = Metrics(), argparse.ArgumentParser()
    command.prepare(words)
    assert command.run(words.parse_args(["--recording", str(recording("even", 4))])) == 0
    assert "sockscope_connections" in families(capsys.readouterr().out)
