"""``sockscope steer``: steer the SO_REUSEPORT group of a running server."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sockscope import formatting
from sockscope.cli.output import write_output
from sockscope.errors import SockscopeError, UsageError

if TYPE_CHECKING:
    from sockscope.compare.model import Recorded
    from sockscope.steer.steering import Steering, Wanted
    from sockscope.steer.text import Result

_POLICIES = ("least-loaded", "avoid-stalled", "cpu-local", "weighted")


class Steer:
    """Steer new connections of a SO_REUSEPORT group by load

    Attaches a program to the group of a running, unmodified server. The program selects the member for each
    new connection by the state of the members, until the command ends. Then it prints a comparison of
    before, during and after. If sockscope is killed, the kernel's hash selects again within 1 s.

    Examples:

      sockscope steer --port 443 --dry-run
      sockscope steer --port 443 -d 60s
      sockscope steer --port 443 --policy avoid-stalled --stall 50ms --yes --log steer.log
      sockscope steer --port 443 --policy weighted --weight 0=1 --weight 1=3 -d 10m
      sockscope steer --port 443 --release
    """

    name = "steer"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument("--port", type=int, required=True, help="listening port of the group")
        parser.add_argument(
            "--address", default="", help="listening address, if several groups have the port"
        )
        parser.add_argument("--netns", default="", help="network namespace: name, path, pid or inode")
        parser.add_argument(
            "--policy", choices=_POLICIES, default="least-loaded", help="how to select (default least-loaded)"
        )
        parser.add_argument(
            "--weight",
            action="append",
            default=[],
            metavar="MEMBER=N",
            help="weight of a member, 0 to 100; 0 drains it; default 1 (with --policy weighted; repeatable)",
        )
        parser.add_argument(
            "--stall",
            default="20ms",
            metavar="DURATION",
            help="avoid members that made no progress for DURATION (with --policy avoid-stalled; default 20ms)",
        )
        parser.add_argument(
            "-d", "--duration", metavar="DURATION", help="steer for DURATION (default: until Ctrl-C)"
        )
        parser.add_argument(
            "--measure",
            default="5s",
            metavar="DURATION",
            help="trace for DURATION before and after, to compare; 0 traces nothing (default 5s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
        parser.add_argument(
            "--yes", "--confirm", action="store_true", dest="yes", help="do not ask for confirmation"
        )
        parser.add_argument(
            "--release", action="store_true", help="detach the program that a killed sockscope left"
        )
        parser.add_argument(
            "--log", type=Path, metavar="FILE", help="append each action to FILE (JSON Lines)"
        )
        parser.add_argument(
            "--format", choices=("text", "json", "html"), default="text", help="text (default), json or html"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of standard output"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Steer until the end; the status is 1 if steering ended early."""
        from sockscope.host import netns, privileges
        from sockscope.steer.steering import Wanted, release

        if not 0 < args.port < 65536:
            raise UsageError(f"--port {args.port}: out of range", hint="ports are 1 to 65535")
        seconds = None if args.duration is None else _seconds("--duration", args.duration, zero=False)
        measured = _seconds("--measure", args.measure, zero=True)
        stall = _seconds("--stall", args.stall, zero=False)
        weights = _weights(args)
        privileges.require()
        namespace = netns.resolve(args.netns).inode if args.netns else 0
        with _Log(args.log) as log:
            if args.release:
                print(release(args.port, namespace, args.address, log))
                return 0
            wanted = Wanted(args.port, args.policy, namespace, args.address, round(stall * 1e9), weights)
            return _steer(args, wanted, log, seconds, measured)


def _steer(
    args: argparse.Namespace, wanted: Wanted, log: _Log, seconds: float | None, measured: float
) -> int:
    from sockscope.bpf.btf import Btf
    from sockscope.steer.groups import GroupFinder, select_group
    from sockscope.steer.program import POLICIES
    from sockscope.steer.steering import Steering, check_group, weights_of
    from sockscope.steer.text import FORMATS, plan_lines
    from sockscope.target import Target

    with GroupFinder(Btf.of_running_kernel()) as finder:
        group = select_group(finder.find(), wanted.port, wanted.netns, wanted.address)
    plan = "\n".join(plan_lines(group, wanted.policy, POLICIES[wanted.policy][1]))
    check_group(group)
    weights_of(group, wanted.weights)
    if args.dry_run:
        print(plan)
        return 0
    if not args.yes:
        _ask(plan)
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGINT))
    target = Target((wanted.port,), netns=str(group.netns))
    phases: list[Recorded] = []
    if measured:
        from sockscope.steer.measure import trace

        _say(f"measuring before steering, {measured:g} s")
        phases.append(trace("before", target, measured, lambda: True))
    begin = time.monotonic()
    with Steering(wanted, log) as steering:
        _say(f"steering {group.name} by {wanted.policy}; Ctrl-C ends it")
        screen = _Screen(steering)
        if measured:
            phases.append(trace("during", target, seconds, screen.tick))
        else:
            _wait(seconds, screen)
        spent, runs = steering.run_time()  # in the tracer's samples of BPF statistics
        cost = spent / runs if runs else None
        ended, lasted = steering.ended, time.monotonic() - begin
    if measured:
        _say(f"measuring after steering, {measured:g} s")
        phases.append(trace("after", target, measured, lambda: True))
    result = _result(group.name, wanted.policy, lasted, ended, steering, cost, phases)
    write_output(FORMATS[args.format](result), args.output)
    if ended:
        print(f"sockscope: steering ended early: {formatting.printable(ended)}", file=sys.stderr)
    return 1 if ended else 0


def _result(
    group: str,
    policy: str,
    seconds: float,
    ended: str,
    steering: Steering,
    cost: float | None,
    recorded: Sequence[Recorded],
) -> Result:
    from sockscope.compare.model import compare
    from sockscope.steer.text import Result

    comparison = compare(recorded, "Steering: before, during, after") if recorded else None
    return Result(group, policy, seconds, ended, steering.view(), cost, comparison)


def _wait(seconds: float | None, screen: _Screen) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            time.sleep(0.5 if end is None else min(0.5, max(end - time.monotonic(), 0)))
            if not screen.tick():
                return
    except KeyboardInterrupt:
        return


class _Screen:
    """The members, redrawn on standard error if it is a terminal."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering
        self._drawn = 0

    def tick(self) -> bool:
        """Redraw; False when steering has ended."""
        from sockscope.steer.text import member_lines

        if sys.stderr.isatty():
            lines = list(member_lines(self._steering.view()))
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            print(up + "".join(f"\x1b[2K{line}\n" for line in lines), end="", file=sys.stderr, flush=True)
            self._drawn = len(lines)
        return not self._steering.ended


class _Log:
    """The actions, as JSON Lines."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stream: TextIO | None = None

    def __enter__(self) -> _Log:
        if self._path is not None:
            from sockscope.store.secure_file import hand_over

            is_new = not self._path.exists()
            try:
                self._stream = self._path.open("a", encoding="utf-8", buffering=1)
            except OSError as error:
                raise SockscopeError(
                    f"cannot write {self._path} ({error.strerror})", hint="choose another path with --log"
                ) from error
            if is_new:
                hand_over(self._path)
        return self

    def __call__(self, action: str, details: Mapping[str, object]) -> None:
        if self._stream is not None:
            entry = {"time_ns": time.time_ns(), "action": action, **details}
            self._stream.write(json.dumps(entry) + "\n")

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


def _ask(plan: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("steering needs a confirmation", hint="pass --yes, or see --dry-run")
    print(plan, file=sys.stderr)
    print("Steer? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SockscopeError("not confirmed; nothing was done")


def _say(words: str) -> None:
    print(f"sockscope: {words}", file=sys.stderr, flush=True)


def _seconds(option: str, given: str, *, zero: bool) -> float:
    nanoseconds = 0 if zero and given == "0" else formatting.parse_duration(given)
    if not nanoseconds and not zero:
        raise UsageError(f"{option} must be greater than 0", hint=f"for example {option} 30s")
    return nanoseconds / 1e9


def _weights(args: argparse.Namespace) -> dict[int, int] | None:
    weights = {}
    for given in args.weight:
        member, equals, number = given.partition("=")
        if not (equals and member.isdecimal() and number.isdecimal() and int(number) <= 100):
            raise UsageError(
                f"--weight {given}: not MEMBER=N", hint="for example --weight 0=3; N is 0 to 100"
            )
        weights[int(member)] = int(number)
    if weights and args.policy != "weighted":
        raise UsageError("--weight needs --policy weighted")
    if args.policy == "weighted" and not weights:
        raise UsageError("--policy weighted needs --weight", hint="for example --weight 0=3")
    return weights or None
