"""``sockscope check``: the exit status is the promise, whatever the format."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import sockscope.session.frames as frames
from sockscope.analysis.findings import FINDINGS
from sockscope.cli.check import Check
from sockscope.errors import SockscopeError, UsageError

World = Any
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command on a built frame, as if it were a recording."""

    def run_on(it: World, *words: str) -> int:
        recording = tmp_path / "recording"
        recording.touch()
        monkeypatch.setattr(frames, "frame_of_recording", lambda path: it.frame())
        return parsed(str(recording), *words)

    return run_on


def parsed(*words: str) -> int:
    command = Check()
    parser = argparse.ArgumentParser()
    command.prepare(parser)
    return command.run(parser.parse_args(words))


def healthy(world: World) -> World:
    it = world()
    it.serve(300, it.listener(owners=[200]), it.worker(pid=200))
    return it


def late(world: World) -> World:
    """Connections wait 250 ms to be accepted: a warning."""
    it = world()
    it.serve(300, it.listener(owners=[200]), it.worker(pid=200, comm="w\x1b[31m"), queue_ms=250)
    return it


def test_nothing_found_is_0(world: World, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(healthy(world)) == 0
    assert capsys.readouterr().out == "passed: no finding at or above warning\n"


def test_a_finding_at_the_bar_is_3(world: World, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(late(world)) == 3
    out = capsys.readouterr().out
    assert out.startswith("warning  queue-wait-high  ")
    assert out.endswith("failed: 1 at or above warning\n")
    assert "\x1b" not in out


def test_a_finding_below_the_bar_is_0_and_shown(
    world: World, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(late(world), "--fail-on", "critical") == 0
    assert "1 below it" in capsys.readouterr().out


def test_the_bar_may_be_findings(world: World, run: Run) -> None:
    assert run(late(world), "--fail-on", "straggler,loop-stall") == 0
    assert run(late(world), "--fail-on", "straggler", "--fail-on", "queue-wait-high") == 3


def test_a_symptom_fails_though_its_cause_took_it_in(world: World, run: Run) -> None:
    it = world()
    it.somaxconn = 128
    it.serve(300, it.listener(owners=[200], backlog=128, queue_max=129, drops=9), it.worker(pid=200))
    assert run(it, "--fail-on", "queue-overflow") == 3


def test_too_few_connections_is_status_4(world: World, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    it = world()
    it.serve(3, it.listener(owners=[200]), it.worker(pid=200))
    assert run(it) == 4
    assert "3 connections, at least 20 are needed" in capsys.readouterr().out


def test_no_listener_is_status_4(world: World, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world()) == 4
    assert "no listening socket matched" in capsys.readouterr().out


def test_own_limits_fail_whatever_the_bar(world: World, run: Run) -> None:
    it = world()
    listener = it.listener(owners=[200, 201])
    for number, pid in ((150, 200), (140, 201)):
        it.serve(number, listener, it.worker(pid=pid, parent=100))
    assert run(it) == 0
    assert run(it, "--max-share", "0.51", "--fail-on", "critical") == 3
    assert run(it, "--max-share", "60") == 0
    assert run(it, "--max-queue-wait", "10us") == 3
    assert run(it, "--max-queue-wait", "10ms") == 0


def test_json_is_for_scripts(world: World, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(late(world), "--format", "json") == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["result"]) == (3, "failed")
    (finding,) = document["findings"]
    assert finding["id"] == "queue-wait-high"
    assert finding["fails"] is True
    assert finding["evidence"]["p99_ms"] == pytest.approx(250, rel=0.01)
    assert document["servers"] == [{"name": "127.0.0.1:80", "model": "single", "connections": 300}]


def test_junit_has_a_test_for_each_kind_of_finding(
    world: World, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(late(world), "--format", "junit") == 3
    suite = ElementTree.fromstring(capsys.readouterr().out.split("\n", 1)[1])
    assert [case.get("name") for case in suite] == [detector.id for detector in FINDINGS]
    assert suite.get("failures") == "1"
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "warning"


def test_junit_skips_findings_that_were_not_evaluated(
    world: World, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world(), "--format", "junit") == 4
    suite = ElementTree.fromstring(capsys.readouterr().out.split("\n", 1)[1])
    assert suite.get("skipped") == str(len(FINDINGS))


@pytest.mark.parametrize(
    "words",
    [
        ["--fail-on", "everything"],
        ["--max-share", "0"],
        ["--max-share", "nan"],
        ["--max-queue-wait", "long"],
        ["--port", "80"],
        ["--duration", "3s"],
        ["--thresholds", "/nowhere.toml"],
    ],
)
def test_what_cannot_be_meant_is_refused(world: World, run: Run, words: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        run(healthy(world), *words)
    assert refused.value.exit_status == 2


def test_a_recording_that_is_not_there_is_1() -> None:
    with pytest.raises(SockscopeError) as refused:
        parsed("/nowhere/recording")
    assert refused.value.exit_status == 1


def test_without_a_recording_it_traces_the_target(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def traced(target: object, duration_ns: int, signals: object, **_: object) -> object:
        asked.extend([str(target), duration_ns, signals])
        return healthy(world).frame()

    monkeypatch.setattr(frames, "frame_of_live", traced)
    assert parsed("--port", "80", "--duration", "2s") == 0
    assert asked == ["port 80", 2_000_000_000, {}]


@pytest.mark.parametrize(
    ("words", "off"),
    [
        (("--fail-on", "queue-overflow,accept-skew-reuseport"), "data-ready read write wait wake"),
        (("--fail-on", "thundering-herd"), "data-ready wake"),
        (("--fail-on", "client-slow"), "write wait wake"),
        (("--fail-on", "queue-overflow,critical"), ""),
        (("--disable", "write,wait"), "write wait"),
    ],
)
def test_only_the_signals_that_the_findings_asked_for_need_are_traced(
    words: tuple[str, ...], off: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []

    def traced(target: object, duration_ns: int, signals: dict[str, str], **_: object) -> object:
        asked.append(signals)
        return healthy(world).frame()

    monkeypatch.setattr(frames, "frame_of_live", traced)
    parsed(*words)
    assert asked == [dict.fromkeys(off.split(), "off")]


def test_a_finding_asked_for_whose_signal_was_not_traced_has_not_passed(
    world: World, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    it = healthy(world)
    it.untraced = ("wait",)
    assert run(it, "--fail-on", "loop-stall") == 4
    assert "loop-stall needs signals that were not traced: wait" in capsys.readouterr().out
    assert run(it, "--fail-on", "queue-overflow") == 0
    capsys.readouterr()
    assert run(it) == 0
    assert "not evaluated, because signals that they need were not traced: " in capsys.readouterr().out
