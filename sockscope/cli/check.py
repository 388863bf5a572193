"""``sockscope check``: findings as an exit status."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sockscope import formatting
from sockscope.cli.status_line import StatusLine, format_progress
from sockscope.cli.target_options import (
    add_disable_option,
    add_target_options,
    get_attach_methods,
    get_target,
)
from sockscope.errors import SockscopeError, UsageError

if TYPE_CHECKING:
    from sockscope.analysis.finding_filter import FindingFilter
    from sockscope.analysis.frame import Finding, Frame
    from sockscope.analysis.thresholds import Thresholds

#: Exit statuses; 1 is a failure and 2 wrong usage, as for every command.
PASSED, FOUND, COULD_NOT_TELL = 0, 3, 4


class Check:
    """Check servers for faults; the exit status is the result

    Exit status: 0 passed (no finding at or above --fail-on), 3 findings, 4 could not tell (too few
    connections, no listening socket, a signal was not traced), 1 failure (tracing is not possible),
    2 invalid usage.

    Examples:

      sockscope check --port 443 -d 30s
      sockscope check web.sockscope --fail-on critical
      sockscope check --port 443 --fail-on queue-overflow,loop-stall
      sockscope check --port 443 --max-share 40 --max-queue-wait 20ms --format junit
    """

    name = "check"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "file", type=Path, nargs="?", metavar="FILE", help="recording to check; default: trace now"
        )
        parser.add_argument(
            "-d", "--duration", metavar="DURATION", help="trace for 10, 1.5s, 200ms or 3m (default 10s)"
        )
        parser.add_argument(
            "--fail-on",
            action="append",
            default=[],
            metavar="SEVERITY|FINDING",
            help="fail on findings of this severity or higher (info, notice, warning, critical; default "
            "warning), or on these findings only (comma-separated ids, repeatable)",
        )
        parser.add_argument(
            "--max-share",
            type=float,
            metavar="X",
            help="fail if one worker accepts more than this share of the connections (0.4, or 40 for 40 %%)",
        )
        parser.add_argument(
            "--max-queue-wait",
            metavar="DURATION",
            help="fail if p99 queue wait (established to accepted) is longer (20ms)",
        )
        parser.add_argument("--format", choices=("text", "json", "junit"), default="text")
        parser.add_argument("--thresholds", type=Path, metavar="FILE", help="TOML file with thresholds")
        add_target_options(parser)
        add_disable_option(parser.add_argument_group("tracing"))

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.analysis.finding_filter import parse_finding_filter
        from sockscope.analysis.findings import detect_findings

        bar, thresholds = parse_finding_filter(args.fail_on, "--fail-on"), _thresholds(args)
        frame = _frame(args, bar)
        result = judge(frame, detect_findings(frame, thresholds), bar, thresholds.fewest)
        sys.stdout.write({"text": as_text, "json": as_json, "junit": as_junit}[args.format](result))
        return result.status


@dataclass(frozen=True)
class Result:
    """The result of a check.

    ``unclear`` has the reasons why servers could not be judged; ``unjudged`` the ids of findings that
    need a signal that was not traced.
    """

    status: int
    bar: FindingFilter
    failing: tuple[Finding, ...]
    others: tuple[Finding, ...]
    unclear: tuple[str, ...]
    servers: tuple[tuple[str, str, int], ...]
    unjudged: tuple[str, ...] = ()


def judge(frame: Frame, findings: Iterable[Finding], bar: FindingFilter, fewest: int) -> Result:
    """Compare the findings of a frame with the filter of --fail-on."""
    failing: list[Finding] = []
    others: list[Finding] = []
    for finding in findings:
        (failing if bar.counts(finding) else others).append(finding)
    servers = tuple((server.group.name, server.model, server.connections) for server in frame.servers)
    unclear = [
        f"{name}: {formatting.count(number)} connections, at least {fewest} are needed"
        for name, _, number in servers
        if number < fewest
    ]
    if not servers:
        unclear = ["no listening socket matched the target"]
    undecided = not servers or len(unclear) == len(servers)
    unjudged = _unjudged(frame)
    # a finding that was requested by id and could not be evaluated has not passed
    asked = sorted(bar.ids & unjudged.keys())
    unclear += [f"{name} needs signals that were not traced: {unjudged[name]}" for name in asked]
    undecided = undecided or bool(asked)
    status = FOUND if failing else COULD_NOT_TELL if undecided else PASSED
    return Result(status, bar, tuple(failing), tuple(others), tuple(unclear), servers, tuple(unjudged))


def _unjudged(frame: Frame) -> dict[str, str]:
    """Return finding id → the signals that it needs and that were not traced."""
    from sockscope.analysis.findings import FINDINGS
    from sockscope.analysis.signal_requirements import untraced

    missing = untraced(frame.meta)
    return {
        detector.id: ", ".join(name for name in detector.needs if name in missing)
        for detector in FINDINGS
        if not missing.isdisjoint(detector.needs)
    }


def as_text(result: Result) -> str:
    """Format the result as text: each finding with its remedy, then the result in one line."""
    lines = []
    for finding in (*result.failing, *result.others):
        lines.append(f"{finding.severity}  {finding.id}  {formatting.printable(finding.subject)}")
        lines.append(f"  {formatting.printable(finding.explanation)}")
        lines += [
            f"  {name}: {formatting.printable(words)}"
            for name, words in (("cause", finding.cause), ("effect", finding.effect))
            if words
        ]
        lines += [f"  - {formatting.printable(line)}" for line in finding.remedy]
        if finding.verify:
            lines.append(f"  verify: {formatting.printable(finding.verify)}")
    lines += [f"could not tell: {formatting.printable(line)}" for line in result.unclear]
    others = [name for name in result.unjudged if name not in result.bar.ids]
    if result.bar.severity and others:
        lines.append(f"not evaluated, because signals that they need were not traced: {', '.join(others)}")
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
    """Format the result as JSON."""
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
    """Format the result as JUnit XML: one test case per finding, skipped if it could not be evaluated."""
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
            raise UsageError(
                f"--max-share {args.max_share}: out of range",
                hint="give a fraction from 0 to 1, or a percentage",
            )
        thresholds = replace(thresholds, max_share=share)
    if args.max_queue_wait is not None:
        thresholds = replace(thresholds, max_queue_wait_ns=formatting.parse_duration(args.max_queue_wait))
    return thresholds


def disabled_signals(bar: FindingFilter) -> dict[str, str]:
    """Return the signals that a check against this filter can leave disabled, as ``--attach`` gives them.

    Empty unless the filter consists of finding ids only.
    """
    from sockscope.analysis.findings import FINDINGS
    from sockscope.tracer.event_sources import SIGNALS
    from sockscope.tracer.selection import OFF

    if bar.severity:
        return {}
    needed = {signal for detector in FINDINGS if detector.id in bar.ids for signal in detector.needs}
    needed |= {signal.of for signal in SIGNALS if signal.name in needed}
    return {signal.name: OFF for signal in SIGNALS if signal.optional and signal.name not in needed}


def _frame(args: argparse.Namespace, bar: FindingFilter) -> Frame:
    from sockscope.session.frames import frame_of_live, frame_of_recording
    from sockscope.session.privdrop import drop_privileges
    from sockscope.target import Target

    target = get_target(args)
    if args.file is None:
        duration = formatting.parse_duration(args.duration or "10s")
        started_ns = 0

        def started(listeners: int) -> None:
            nonlocal started_ns
            started_ns = time.monotonic_ns()
            drop_privileges()

        def show_progress() -> bool:
            elapsed = format_progress(time.monotonic_ns() - started_ns, duration)
            status.update(f"sockscope: tracing {target}: {elapsed}")
            return False

        with StatusLine(sys.stderr) as status:
            return frame_of_live(
                target,
                duration,
                signals=disabled_signals(bar) | get_attach_methods(args),
                started=started,
                ended=show_progress,
            )
    if args.duration is not None or target != Target() or args.disable:
        raise UsageError(
            "--duration, --disable and a target cannot be used with a recording",
            hint="they apply to tracing; leave out FILE to trace now",
        )
    if not args.file.exists():
        raise SockscopeError(
            f"no such recording: {args.file}", hint="make one with: sockscope record -o FILE"
        )
    return frame_of_recording(args.file)


def _xml(text: str) -> str:
    """Replace characters that XML 1.0 cannot hold; thread names may have any."""
    return "".join(
        sign if sign in "\n\t" or (sign.isprintable() and ord(sign) < 0xFFFE) else "\ufffd" for sign in text
    )
