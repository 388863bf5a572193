"""``sockscope check``: findings as an exit status."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sockscope import formatting
from sockscope.cli.target_options import add_target_options, add_without, signals_of, target_of
from sockscope.errors import SockscopeError, UsageError

if TYPE_CHECKING:
    from sockscope.analysis.finding_filter import Bar
    from sockscope.analysis.frame import Finding, Frame
    from sockscope.analysis.thresholds import Thresholds

PASSED, COULD_NOT_TELL, FOUND = 0, 1, 3


class Check:
    """Look for faults, and say by exit status whether there are any

    Exit status: 0 nothing found at or above the bar, 3 something found, 1 could not tell (too few
    connections, nobody listens, tracing not possible), 2 wrong usage.
    """

    name = "check"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "file", type=Path, nargs="?", metavar="FILE", help="a recording; without it, trace now"
        )
        parser.add_argument(
            "-d", "--duration", metavar="SECONDS", help="how long to trace (10, 1.5s, 200ms, 3m; default 10)"
        )
        parser.add_argument(
            "--fail-on",
            action="append",
            default=[],
            metavar="WHAT",
            help="a severity (info, notice, warning, critical; default warning) or ids of findings, "
            "with commas (may repeat)",
        )
        parser.add_argument(
            "--max-share",
            type=float,
            metavar="X",
            help="fail when one worker accepts a larger part of the connections (0.4, or 40 for 40 %%)",
        )
        parser.add_argument(
            "--max-queue-wait",
            metavar="T",
            help="fail when the p99 of established to accepted is longer (20ms)",
        )
        parser.add_argument("--format", choices=("text", "json", "junit"), default="text")
        parser.add_argument("--thresholds", type=Path, metavar="FILE", help="a TOML file of thresholds")
        add_target_options(parser)
        add_without(parser.add_argument_group("tracing"))

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.analysis.finding_filter import bar_of
        from sockscope.analysis.findings import findings_of

        bar, thresholds = bar_of(args.fail_on, "--fail-on"), _thresholds(args)
        frame = _frame(args, bar)
        result = judge(frame, findings_of(frame, thresholds), bar, thresholds.fewest)
        sys.stdout.write({"text": as_text, "json": as_json, "junit": as_junit}[args.format](result))
        return result.status


@dataclass(frozen=True)
class Result:
    """The outcome; ``unclear`` says why nothing can be told, for each server or for all; ``unjudged`` are the
    ids of findings that need a signal which was not traced."""

    status: int
    bar: Bar
    failing: tuple[Finding, ...]
    others: tuple[Finding, ...]
    unclear: tuple[str, ...]
    servers: tuple[tuple[str, str, int], ...]
    unjudged: tuple[str, ...] = ()


def judge(frame: Frame, findings: Iterable[Finding], bar: Bar, fewest: int) -> Result:
    """What the findings of a frame mean against a bar."""
    failing: list[Finding] = []
    others: list[Finding] = []
    for finding in findings:
        (failing if bar.counts(finding) else others).append(finding)
    servers = tuple((server.group.name, server.model, server.connections) for server in frame.servers)
    unclear = [
        f"{name}: {formatting.count(number)} connections, {fewest} are needed to tell"
        for name, _, number in servers
        if number < fewest
    ]
    if not servers:
        unclear = ["nobody listened"]
    nothing_told = not servers or len(unclear) == len(servers)
    unjudged = _unjudged(frame)
    # what was asked for by name and not looked for has not passed
    asked = sorted(bar.ids & unjudged.keys())
    unclear += [f"{name} needs what was not traced: {unjudged[name]}" for name in asked]
    nothing_told = nothing_told or bool(asked)
    status = FOUND if failing else COULD_NOT_TELL if nothing_told else PASSED
    return Result(status, bar, tuple(failing), tuple(others), tuple(unclear), servers, tuple(unjudged))


def _unjudged(frame: Frame) -> dict[str, str]:
    """Id of a finding that cannot be told → the signals that were not traced and that it needs."""
    from sockscope.analysis.findings import FINDINGS
    from sockscope.analysis.signal_requirements import untraced

    missing = untraced(frame.meta)
    return {
        detector.id: ", ".join(name for name in detector.needs if name in missing)
        for detector in FINDINGS
        if not missing.isdisjoint(detector.needs)
    }


def as_text(result: Result) -> str:
    """For people: each finding with its remedy, then one line that says how it ended."""
    lines = []
    for finding in (*result.failing, *result.others):
        lines.append(f"{finding.severity}  {finding.id}  {formatting.printable(finding.subject)}")
        lines.append(f"  {formatting.printable(finding.explanation)}")
        lines += [f"  - {formatting.printable(line)}" for line in finding.remedy]
    lines += [f"could not tell: {formatting.printable(line)}" for line in result.unclear]
    others = [name for name in result.unjudged if name not in result.bar.ids]
    if result.bar.severity and others:
        lines.append(f"not judged, since signals that they need were not traced: {', '.join(others)}")
    below = f", {len(result.others)} below it" if result.others else ""
    lines.append(
        {
            PASSED: f"passed: no finding at or above {result.bar}{below}",
            FOUND: f"failed: {len(result.failing)} at or above {result.bar}{below}",
            COULD_NOT_TELL: f"could not tell{below}",
        }[result.status]
    )
    return "\n".join(lines) + "\n"


def as_json(result: Result) -> str:
    """For scripts."""
    from sockscope.report.json import plain_finding

    document = {
        "status": result.status,
        "result": {PASSED: "passed", FOUND: "failed", COULD_NOT_TELL: "could not tell"}[result.status],
        "fail_on": {"severity": result.bar.severity, "findings": sorted(result.bar.ids)},
        "findings": [
            {**plain_finding(finding), "fails": finding in result.failing}
            for finding in (*result.failing, *result.others)
        ],
        "unclear": list(result.unclear),
        "unjudged": list(result.unjudged),
        "servers": [
            {"name": name, "model": model, "connections": number} for name, model, number in result.servers
        ],
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def as_junit(result: Result) -> str:
    """For CI: one test a kind of finding, failed where it was found; skipped when nothing can be told."""
    from sockscope.analysis.findings import FINDINGS

    suite = ElementTree.Element("testsuite", name="sockscope check")
    failures = skipped = 0
    for detector in FINDINGS:
        case = ElementTree.SubElement(suite, "testcase", classname="sockscope", name=detector.id)
        for finding in result.failing:
            if finding.id == detector.id:
                failures += 1
                failure = ElementTree.SubElement(
                    case, "failure", message=_xml(finding.title), type=finding.severity
                )
                failure.text = _xml("\n".join([finding.subject, finding.explanation, *finding.remedy]))
        for finding in result.others:
            if finding.id == detector.id:
                out = ElementTree.SubElement(case, "system-out")
                out.text = _xml(f"{finding.severity}: {finding.explanation}")
        if not len(case) and (result.status == COULD_NOT_TELL or detector.id in result.unjudged):
            skipped += 1
            why = "; ".join(result.unclear) or "a signal that it needs was not traced"
            ElementTree.SubElement(case, "skipped", message=_xml(why))
    suite.set("tests", str(len(FINDINGS)))
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, "unicode") + "\n"


def _thresholds(args: argparse.Namespace) -> Thresholds:
    from sockscope.analysis.thresholds import Thresholds

    thresholds = Thresholds.load(args.thresholds) if args.thresholds else Thresholds()
    if args.max_share is not None:
        share = args.max_share / 100 if args.max_share > 1 else args.max_share
        if not 0 < share <= 1:
            raise UsageError(f"--max-share {args.max_share}: write a part from 0 to 1, or a percentage")
        thresholds = replace(thresholds, max_share=share)
    if args.max_queue_wait is not None:
        thresholds = replace(thresholds, max_queue_wait_ns=formatting.parse_duration(args.max_queue_wait))
    return thresholds


def signals_for(bar: Bar) -> dict[str, str]:
    """What a check against this bar need not trace, as ``--signals`` would say it: where only findings by
    id count, the signals that none of them needs."""
    from sockscope.analysis.findings import FINDINGS
    from sockscope.tracer.event_sources import SIGNALS
    from sockscope.tracer.selection import OFF

    if bar.severity:
        return {}
    needed = {signal for detector in FINDINGS if detector.id in bar.ids for signal in detector.needs}
    needed |= {signal.of for signal in SIGNALS if signal.name in needed}
    return {signal.name: OFF for signal in SIGNALS if signal.optional and signal.name not in needed}


def _frame(args: argparse.Namespace, bar: Bar) -> Frame:
    from sockscope.session.frames import frame_of_live, frame_of_recording
    from sockscope.session.privdrop import drop_privileges
    from sockscope.target import Target

    target = target_of(args)
    if args.file is None:
        duration = formatting.parse_duration(args.duration or "10s")
        return frame_of_live(
            target, duration, signals=signals_for(bar) | signals_of(args), started=lambda _: drop_privileges()
        )
    if args.duration is not None or target != Target() or args.without:
        raise UsageError("--duration, --without and a target are for tracing now; a recording has its own")
    if not args.file.exists():
        raise SockscopeError(f"there is no recording {args.file}; sockscope record -o FILE makes one")
    return frame_of_recording(args.file)


def _xml(text: str) -> str:
    """What XML 1.0 can hold: a thread may name itself anything."""
    return "".join(
        sign if sign in "\n\t" or (sign.isprintable() and ord(sign) < 0xFFFE) else "\ufffd" for sign in text
    )
