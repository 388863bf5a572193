"""One case of the field bench: start its server, drive it, trace it, and say what was found."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sockscope.analysis.analyse import analyse
from sockscope.analysis.findings import detect_findings
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.thresholds import Thresholds
from sockscope.model.state import State
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.diagnosis.stage import ROOT, Place, python

_TICK_S = 0.3

Start = Callable[[contextlib.ExitStack], Place]
Act = Callable[[Place, contextlib.ExitStack], None]
Truth = Callable[[Counter[str]], bool]


@dataclass(frozen=True)
class FieldCase:
    """A fault that was reported in public, on a server that has it; without ``expected`` a server in good health.

    :param source: repository#number of the public report, or the title of a page
    :param server: the program, with its setting
    :param clients: options of ``tests.field.clients``, a list for each program of clients
    :param expected: the finding that must come first
    :param excluded: findings that must not appear
    :param tuning: whether the detector was made with this case; the others are proof only
    :param truth: whether the clients' own counts show the fault
    :param before: seconds that the clients are at work before tracing begins
    """

    name: str
    source: str
    server: str
    start: Start
    clients: tuple[tuple[str, ...], ...]
    expected: str = ""
    excluded: tuple[str, ...] = ()
    tuning: bool = False
    truth: Truth = field(default=lambda counts: True)
    truth_words: str = ""
    before: float = 0.0
    during: Act | None = None
    seconds: float = 4.0
    short: bool = False


@dataclass(frozen=True)
class Result:
    """What one run of a case gave."""

    frame: Frame
    findings: tuple[Finding, ...]
    counts: Counter[str]

    def problem(self, case: FieldCase) -> str:
        """Return what is wrong with it, or an empty text."""
        loud = [finding for finding in self.findings if finding.severity not in ("info", "notice")]
        named = [finding.id for finding in self.findings]
        if not case.truth(self.counts):
            return f"the clients did not meet the fault: {dict(self.counts)}"
        if not case.expected:
            return ", ".join(f"{finding.severity} {finding.id}" for finding in loud)
        wrong = [name for name in case.excluded if name in named]
        if wrong:
            return f"found {', '.join(wrong)}"
        if not loud or loud[0].id != case.expected:
            return "found " + (", ".join(named) or "nothing")
        return ""


def play(case: FieldCase) -> Result:
    """Run a case once."""
    with contextlib.ExitStack() as stack:
        place = case.start(stack)
        clients: list[subprocess.Popen[bytes]] = []

        def drive() -> None:
            for words in case.clients:
                clients.append(_clients(stack, place, words))

        if case.before:
            drive()
            time.sleep(case.before)
        session = stack.enter_context(LiveSession(Target(ports=(place.port,))))
        state = State()
        state.started_at(session.meta.started_ns)
        session.start()
        state.apply(session.batch())
        if not case.before:
            drive()
        begin, acted = time.monotonic(), case.during is None
        while (spent := time.monotonic() - begin) < case.seconds:
            if not acted and spent > 0.5 * case.seconds:
                assert case.during is not None
                case.during(place, stack)
                acted = True
            time.sleep(_TICK_S)
            state.apply(session.batch())
        state.apply(session.batch())
        frame = analyse(session.meta, state.snapshot())
        session.stop()
        counts: Counter[str] = Counter()
        for process in clients:
            process.terminate()
            out, _ = process.communicate(timeout=10)
            counts.update(json.loads(out))
        return Result(frame, detect_findings(frame, Thresholds()), counts)


def _clients(stack: contextlib.ExitStack, place: Place, words: Sequence[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*place.prefix, *python("tests.field.clients", str(place.port), *words)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )

    def end() -> None:
        if process.poll() is None:
            process.kill()
            process.wait()

    stack.callback(end)
    return process
