"""``sockscope doctor``: what works here."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from sockscope.errors import SockscopeError

#: Capabilities that tracing uses: bit in /proc/self/status → name and reason.
_CAPABILITIES = (
    (39, "CAP_BPF", "load BPF programs"),
    (38, "CAP_PERFMON", "attach them and read kernel memory"),
    (12, "CAP_NET_ADMIN", "see all sockets"),
    (19, "CAP_SYS_PTRACE", "see other users' processes"),
    (21, "CAP_SYS_ADMIN", "iterate over sockets, mount tracefs, enter network namespaces"),
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: ``state`` is ``ok``, ``weaker`` or ``missing``."""

    what: str
    state: str
    says: str
    remedy: str = ""


class Doctor:
    """Say what works on this machine, and what to do about the rest

    Checks the kernel, BTF, bcc, tracefs, capabilities, and each signal with the way it is got;
    exit status 1 when tracing cannot work.
    """

    name = "doctor"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def run(self, args: argparse.Namespace) -> int:
        checks = examine()
        if args.format == "json":
            print(
                json.dumps(
                    {"kernel": platform.release(), "checks": [asdict(check) for check in checks]}, indent=2
                )
            )
        else:
            _print(checks)
        return 1 if any(check.state == "missing" for check in checks) else 0


def examine() -> list[Check]:
    """Look at everything that tracing needs, in the order in which it needs it."""
    checks = [_machine(), _privileges(), _bcc()]
    tracefs, btf = _tracefs(), _btf()
    checks += [tracefs, btf]
    if tracefs.state != "missing" and btf.state != "missing":
        checks += _signals()
        checks.append(_load())
    return checks


def _machine() -> Check:
    what = f"Linux {platform.release()} on {platform.machine()}"
    if platform.machine() not in ("x86_64", "aarch64"):
        return Check("machine", "missing", what, "sockscope knows x86_64 and aarch64")
    return Check("machine", "ok", what)


def _privileges() -> Check:
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)
    lacking = [f"{name} ({why})" for bit, name, why in _CAPABILITIES if not effective >> bit & 1]
    if os.geteuid() != 0:
        return Check("privileges", "missing", f"not root; lacking {', '.join(lacking)}", "run it with sudo")
    if lacking:
        return Check(
            "privileges",
            "missing",
            f"root without {', '.join(lacking)}",
            "give the container these capabilities",
        )
    return Check("privileges", "ok", "root with " + ", ".join(name for _, name, _ in _CAPABILITIES))


def _bcc() -> Check:
    from sockscope.sources.kernel.bcc_module import load_bcc

    try:
        module = load_bcc()
    except SockscopeError as error:
        says, _, remedy = str(error).partition("; ")
        return Check("bcc", "missing", says, remedy)
    return Check(
        "bcc",
        "ok",
        f"{getattr(module, '__version__', 'unknown version')} at {Path(module.__file__ or '').parent}",
    )


def _tracefs() -> Check:
    from sockscope.sources.kernel.tracefs import tracing_directory

    try:
        return Check("tracefs", "ok", str(tracing_directory(mount=os.geteuid() == 0)))
    except SockscopeError as error:
        says, _, remedy = str(error).partition("; ")
        return Check("tracefs", "missing", says, remedy)


def _btf() -> Check:
    from sockscope.sources.kernel.btf import VMLINUX, Btf
    from sockscope.sources.kernel.headers import kernel_structs

    try:
        kernel_structs(Btf.of_running_kernel())
    except SockscopeError as error:
        says, _, remedy = str(error).partition("; ")
        return Check("BTF", "missing", says, remedy)
    return Check("BTF", "ok", f"{VMLINUX}, all fields that the probes read")


def _signals() -> list[Check]:
    from sockscope.sources.kernel.availability import Availability
    from sockscope.sources.kernel.signals import SIGNALS, choose

    checks = []
    try:
        chosen = choose(Availability.of_running_kernel())
    except SockscopeError as error:
        return [Check("signals", "missing", str(error))]
    for signal in SIGNALS:
        way = chosen[signal.name]
        ways = ", ".join(known.name for known in signal.ways)
        what = f"signal {signal.name}"
        if way is None:
            state = "missing" if signal.needed else "weaker"
            checks.append(
                Check(what, state, f"no way ({ways}) on this kernel: {signal.without}", "a newer kernel")
            )
        elif way.weaker:
            checks.append(Check(what, "weaker", f"by {way.name}: {way.weaker}", "a newer kernel"))
        else:
            checks.append(Check(what, "ok", f"by {way.name}: {signal.tells}"))
    return checks


def _load() -> Check:
    if os.geteuid() != 0:
        return Check("probes", "missing", "not tried: not root", "run it with sudo")
    import time

    from sockscope.sources.kernel.program import Limits
    from sockscope.sources.kernel.source import KernelSource
    from sockscope.sources.target import Target

    begin = time.monotonic()
    try:
        source = KernelSource(Target(ports=(1,)), Limits(connections=64, workers=64))
        try:
            source.start()
        finally:
            source.close()
    except SockscopeError as error:
        says, _, remedy = str(error).partition("; ")
        return Check("probes", "missing", says, remedy)
    return Check("probes", "ok", f"compiled, loaded and attached in {time.monotonic() - begin:.2f} s")


def _print(checks: list[Check]) -> None:
    marks = {"ok": "ok     ", "weaker": "weaker ", "missing": "MISSING"}
    width = max(len(check.what) for check in checks)
    for check in checks:
        print(f"{marks[check.state]}  {check.what:<{width}}  {check.says}")
        if check.remedy and check.state != "ok":
            print(f"{'':7}  {'':<{width}}  → {check.remedy}")
