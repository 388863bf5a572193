"""Metrics whose signals were not traced: no zero, no share, no verdict, no finding depends on them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.analysis.findings import FINDINGS, all_evaluated, evaluated_detectors
from sockscope.analysis.frame import Frame
from sockscope.analysis.signal_requirements import NEEDS
from sockscope.compare.model import Recorded, compare
from sockscope.compare.text import FORMATS
from sockscope.export.openmetrics import Exposition
from sockscope.fleet.rows import ServerRow, rows_of
from sockscope.model.snapshot import Worker
from sockscope.records.batch import AttachedSignal
from sockscope.report import markdown, text
from sockscope.report.html import page as html_page
from sockscope.report.json import document
from sockscope.tracer.event_sources import SIGNALS
from sockscope.tui.columns import traced, traced_keys
from sockscope.tui.rows import connections, workers
from tests.unit.report.conftest import shown

_HEADING = re.compile(r"\bthread\b.*\baccept(ed|s)\b(?!.*were)")
_OPTIONAL = {signal.name for signal in SIGNALS if signal.optional}


def without(*missing: str, scenario: str = "straggler", **fields: int) -> Frame:
    """The frame of a scenario in which these signals were not traced; ``fields`` of all workers as given."""
    frame, _ = shown(scenario)
    signals = tuple(
        AttachedSignal(signal.name, "" if signal.name in missing else "tracepoint", "") for signal in SIGNALS
    )
    snapshot = replace(
        frame.snapshot,
        workers={number: replace(one, **fields) for number, one in frame.snapshot.workers.items()},
    )
    return analyse(replace(frame.meta, signals=signals), snapshot)


def everything(frame: Frame) -> tuple[str, ...]:
    return (
        text.render(frame),
        markdown.render(frame),
        html_page.render(frame),
        json.dumps(document(frame)),
        Exposition().render(frame),
    )


def test_needs_name_signals_that_can_be_missing_and_figures_that_there_are() -> None:
    assert set().union(*NEEDS.values()) <= _OPTIONAL
    for detector in FINDINGS:
        assert set(detector.needs) <= _OPTIONAL, detector.id
    fields = set(Worker.__dataclass_fields__)
    assert {"reads", "writes", "busy_ns", "wakeups", "stall", "answer", "data_wait"} <= fields & NEEDS.keys()


def test_counters_of_waits_are_ignored_if_waits_were_not_traced() -> None:
    quiet = dict.fromkeys(
        ("waits", "wakeups", "wakeups_spurious", "wait_ns", "busy_ns", "stall_max_ns", "stall_max_at_ns"), 0
    )
    loud = dict.fromkeys(quiet, 987654321)
    partial = [everything(without("wait", "wake", **held)) for held in (quiet, loud)]
    assert partial[0] == partial[1]
    assert text.render(without(**quiet)) != text.render(without(**loud))


@pytest.mark.parametrize(
    ("missing", "fields", "families", "headings"),
    [
        ("read", {"reads", "bytes_read"}, {"worker_reads", "data_wait_seconds", "answer_seconds"}, {"reads"}),
        ("write", {"writes", "bytes_written"}, {"worker_writes", "answer_seconds"}, {"writes"}),
        ("wait", {"waits", "busy_ns"}, {"worker_busy_seconds", "stall_seconds"}, {"busy"}),
        ("wake", set(), set(), set()),
        ("data-ready", set(), {"data_wait_seconds"}, set()),
    ],
)
def test_each_report_omits_the_metrics_of_a_missing_signal(
    missing: str, fields: set[str], families: set[str], headings: set[str]
) -> None:
    frame, whole = without(missing), without()
    plain, all_plain = document(frame), document(whole)
    for worker, full in zip(plain["workers"], all_plain["workers"], strict=True):
        assert {name for name in fields if worker[name] is not None} == set()
        assert all(full[name] is not None for name in fields)
    exposed, all_exposed = Exposition().render(frame), Exposition().render(whole)
    for family in families:
        assert f"sockscope_{family}" in all_exposed
        assert f"sockscope_{family}" not in exposed
    for partial, full in (
        (text.render(frame), text.render(whole)),
        (markdown.render(frame), markdown.render(whole)),
    ):
        table = next(line for line in partial.splitlines() if _HEADING.search(line))
        complete = next(line for line in full.splitlines() if _HEADING.search(line))
        assert headings.isdisjoint(table.replace("|", " ").split())
        assert headings <= set(complete.replace("|", " ").split())
    if missing in ("read", "data-ready"):
        assert "data wait    not traced" in text.render(frame)
        assert plain["servers"][0]["data_wait"] is None


@pytest.mark.parametrize("missing", sorted(_OPTIONAL))
def test_no_finding_is_reported_that_needs_a_missing_signal(missing: str) -> None:
    for scenario in ("straggler", "overflow", "handoff"):
        found = {finding.id for finding in without(missing, scenario=scenario).findings}
        assert found <= {detector.id for detector in evaluated_detectors(frozenset({missing}))}
    assert all_evaluated(frozenset({missing})) == (missing == "wake")
    said = markdown.render(without(missing))
    assert ("No findings in the signals that were traced." in said) == (missing != "wake")
    skewed = {finding.id for finding in without(missing, scenario="handoff").findings}
    assert ("open-connections-skew" in skewed) == (missing not in ("read", "wait"))
    assert {finding.id for finding in without(missing, scenario="overflow").findings} >= {"queue-overflow"}


def test_without_reads_the_verdict_has_the_acceptors_only() -> None:
    (server,) = without("read", "data-ready", "wake").servers
    assert server.model == "unknown"
    assert "which threads read was not traced" in server.why
    assert any("accepted" in sentence for sentence in server.evidence)


@pytest.mark.parametrize("missing", ["wait", "wake", "write"])
def test_a_verdict_that_nobody_is_handed_requests_says_when_that_was_not_looked_for(missing: str) -> None:
    (server,) = without(missing).servers
    assert server.model == "shared"
    assert any(f"was not traced (no {missing})" in sentence for sentence in server.evidence)


def test_recordings_that_traced_different_things_are_compared_by_what_both_did() -> None:
    history = shown("straggler")[1]
    sides = (Recorded("all", without(), history), Recorded("less", without("read", "wake"), history))
    (server,) = json.loads(FORMATS["json"](compare(sides)))["servers"]
    measured = {measure["id"] for measure in server["measures"]}
    assert "accepts_max_over_mean" in measured
    assert measured.isdisjoint({"reads_max_over_mean", "cpu_time_max_over_mean", "wakeups_spurious"})
    assert "not traced" in FORMATS["html"](compare(sides))
    (row,) = rows_of(sides[1].frame, history)["servers"]
    assert isinstance(row, ServerRow)
    assert (row.readers, row.writers) == (None, len(sides[1].frame.servers[0].writers))


def test_the_dashboards_tables_have_no_column_and_no_filter_for_what_was_not_traced() -> None:
    snapshot = without("read", "data-ready", "wake", "write", "wait").snapshot
    kept = {column.key for column in traced(workers.COLUMNS, snapshot)}
    assert kept == {"name", "roles", "accepts", "share", "pid", "cpu", "last_cpu"}
    kept = {column.key for column in traced(connections.COLUMNS, snapshot)}
    assert kept == {"peer", "state", "acceptor", "wait", "age", "listener", "exact"}
    assert {key.name for key in traced_keys(workers.KEYS, workers.COLUMNS, snapshot)} == {
        "name", "pid", "role", "accepts", "cpu"
    }  # fmt: skip
    assert traced(workers.COLUMNS, without().snapshot) == workers.COLUMNS
