"""``sockscope doctor``: check what works on this machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.errors import SockscopeError
from sockscope.formatting import printable

if TYPE_CHECKING:
    from sockscope.tracer.probe_report import SignalReport


@dataclass(frozen=True)
class Check:
    """One check; ``state`` is ``ok``, ``limited`` or ``missing``."""

    what: str
    state: str
    says: str
    remedy: str = ""


class Doctor:
    """Check what works on this machine, and how to fix the rest

    Checks the kernel, BTF, bcc, tracefs, capabilities, and the attach methods of each signal. The exit
    status is 1 when tracing is not possible.

    Examples:

      sockscope doctor
      sockscope doctor --format json | jq '.signals[] | {name, method}'
    """

    name = "doctor"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def run(self, args: argparse.Namespace) -> int:
        checks, signals = examine()
        if args.format == "json":
            document = {
                "kernel": platform.release(),
                "checks": [asdict(check) for check in checks],
                "signals": [asdict(signal) for signal in signals],
            }
            print(json.dumps(document, indent=2))
        else:
            _print(checks)
        return 1 if any(check.state == "missing" for check in checks) else 0


def examine() -> tuple[list[Check], tuple[SignalReport, ...]]:
    """Check everything that tracing needs, in that order, and try all attach methods of each signal."""
    from sockscope.tracer.feature_probe import FeatureProbe
    from sockscope.tracer.probe_report import report_signals

    checks = check_prerequisites()
    if any(check.state == "missing" and check.what in _NEEDED_BY_SIGNALS for check in checks):
        return checks, ()
    signals = report_signals(FeatureProbe.of_running_kernel())
    return [*checks, *map(_signal, signals), _load()], signals


def check_prerequisites() -> list[Check]:
    """Check what tracing needs before a probe can be loaded, in the order in which to fix it."""
    return [_machine(), _privileges(), _bcc(), _tracefs(), _btf()]


#: Without these, the attach methods of signals cannot be examined.
_NEEDED_BY_SIGNALS = ("privileges", "tracefs", "BTF")


def _machine() -> Check:
    what = f"Linux {platform.release()} on {platform.machine()}"
    if platform.machine() not in ("x86_64", "aarch64"):
        return Check("machine", "missing", what, "sockscope runs on x86_64 and aarch64")
    return Check("machine", "ok", what)


def _privileges() -> Check:
    from sockscope.host import privileges

    lacking = privileges.missing()
    held = ", ".join(str(need.capability) for need in privileges.NEEDS if need not in lacking) or "none"
    who = "root" if os.geteuid() == 0 else "not root"
    words = ", ".join(f"{need.capability} ({need.why})" for need in lacking)
    try:
        privileges.require()
    except SockscopeError:
        remedy = "run with sudo, or grant these capabilities: see docs/privileges.md"
        return Check("privileges", "missing", f"{who}, without {words}", remedy)
    if lacking:
        return Check("privileges", "limited", f"{who} with {held}, without {words}", "grant these as well")
    return Check("privileges", "ok", f"{who} with {held}")


def _bcc() -> Check:
    from sockscope.bpf.bcc_module import load_bcc

    try:
        module = load_bcc()
    except SockscopeError as error:
        return Check("bcc", "missing", error.message, error.hint)
    return Check(
        "bcc",
        "ok",
        f"{getattr(module, '__version__', 'unknown version')} at {Path(module.__file__ or '').parent}",
    )


def _tracefs() -> Check:
    from sockscope.bpf.tracefs import tracing_directory

    try:
        return Check("tracefs", "ok", str(tracing_directory()))
    except SockscopeError as error:
        return Check("tracefs", "missing", error.message, error.hint)


def _btf() -> Check:
    from sockscope.bpf.btf import VMLINUX, Btf
    from sockscope.bpf.kernel_headers import kernel_structs

    try:
        kernel_structs(Btf.of_running_kernel())
    except SockscopeError as error:
        return Check("BTF", "missing", error.message, error.hint)
    return Check("BTF", "ok", f"{VMLINUX}, all fields that the probes read")


def _signal(signal: SignalReport) -> Check:
    what = f"signal {signal.name}"
    if not signal.method:
        methods = "; ".join(f"{method.name}: {method.why_not}" for method in signal.methods)
        return Check(
            what,
            "missing" if signal.needed else "limited",
            f"no attach method, {signal.limitations} ({methods})",
        )
    if not signal.limitations:
        return Check(what, "ok", f"by {signal.method}: {signal.reports}")
    better = signal.methods[: [method.name for method in signal.methods].index(signal.method)]
    why = "; ".join(f"{method.name}: {method.why_not}" for method in better)
    return Check(what, "limited", f"by {signal.method}: {signal.limitations}" + (f" ({why})" if why else ""))


def _load() -> Check:
    import time

    from sockscope.target import Target
    from sockscope.tracer.map_defs import MapSizes
    from sockscope.tracer.source import KernelSource

    begin = time.monotonic()
    try:
        source = KernelSource(Target(ports=(1,)), MapSizes(connections=64, workers=64))
        try:
            source.start()
            seconds = time.monotonic() - begin
            notes = source.batch(final=True).health.notes
        finally:
            source.close()
    except SockscopeError as error:
        own = error.hint.startswith("sockscope doctor")  # that is this command
        return Check("probes", "missing", error.message, "" if own else error.hint)
    if notes:
        return Check("probes", "limited", notes[0])
    return Check("probes", "ok", f"compiled, loaded and attached in {seconds:.2f} s")


def _print(checks: list[Check]) -> None:
    marks = {"ok": "ok     ", "limited": "limited", "missing": "MISSING"}
    width = max(len(check.what) for check in checks)
    for check in checks:
        print(f"{marks[check.state]}  {check.what:<{width}}  {printable(check.says)}")
        if check.remedy and check.state != "ok":
            print(f"{'':7}  {'':<{width}}  → {printable(check.remedy)}")
