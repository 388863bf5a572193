"""What counts as much, long and often: every threshold of the findings, with its default.

A TOML file changes any of them, durations as text (``"100ms"``)::

    queue-wait = "20ms"
    straggler = 3.0
"""

from __future__ import annotations

import tomllib
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from sockscope import formatting
from sockscope.errors import UsageError


def _limit(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True)
class Thresholds:
    """Names that end in ``_ns`` are durations: in a file they lose the ending and are text."""

    fewest: int = _limit(20, "connections below which nothing is said about who got how many")
    window_ns: int = _limit(10**9, "traffic must last this long before a thread is called saturated")
    effect: float = _limit(1.5, "largest share over the fair share, from which on unevenness matters")
    busy: float = _limit(0.85, "part of the time away from epoll_wait, poll or select: saturated")
    loaded: float = _limit(0.4, "part of the time at work from which on a worker's share of the work matters")
    slack: float = _limit(0.6, "part of the time at work below which a thread has room for more")
    felt_ns: int = _limit(
        5_000_000, "a wait that clients feel: a busy thread without such waits is just busy"
    )
    queue_wait_ns: int = _limit(100_000_000, "p99 of established to accepted")
    queue_wait_severe_ns: int = _limit(10**9, "the same, from which on it is severe")
    data_wait_ns: int = _limit(100_000_000, "p99 of readable to read, on accepted connections")
    data_wait_severe_ns: int = _limit(10**9, "the same, from which on it is severe")
    stall_ns: int = _limit(100_000_000, "a thread away from its event loop while connections wait")
    stall_severe_ns: int = _limit(10**9, "the same, from which on it is severe")
    hang_ns: int = _limit(500_000_000, "a connection that nobody accepts for this long hangs")
    client_late_ns: int = _limit(10**9, "median of accepted to first data: the clients are slow")
    queue_fill: float = _limit(0.7, "peak of the accept queue over its limit")
    syn_fill: float = _limit(0.5, "handshakes under way over the limit of the accept queue")
    herd: float = _limit(0.3, "wake-ups for nothing per accepted connection")
    herd_rate: float = _limit(100.0, "wake-ups for nothing a second: below this they cost nothing")
    wasted: float = _limit(0.3, "wake-ups for nothing per wake-up, whatever they were for")
    straggler: float = _limit(2.0, "time a request over the median of the peers")
    straggler_gap_ns: int = _limit(300_000, "and by how much at least")
    lock_turns: float = _limit(
        0.02, "part of an acceptor's waits that end by timeout, from which on it may be taking turns"
    )
    crossing: float = _limit(0.9, "part of the connections read on another CPU than accepted on")
    crossing_rate: float = _limit(5000.0, "such connections a second: below this they cost nothing")
    preempted: float = _limit(1.6, "time at work over CPU time used: threads wait for a CPU")
    starved: float = _limit(0.25, "part of the time that a worker is ready to run and has no CPU")
    max_share: float = _limit(1.0, "largest part of the connections that one worker may accept (0 to 1)")
    max_queue_wait_ns: int = _limit(0, "longest p99 of established to accepted allowed; 0: any")

    @classmethod
    def load(cls, path: Path | str) -> Thresholds:
        """The defaults, changed by a TOML file.

        :raises UsageError: when it cannot be read, or has a key or value that makes no sense
        """
        try:
            with open(path, "rb") as file:
                given = tomllib.load(file)
        except OSError as error:
            raise UsageError(f"cannot read thresholds from {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not valid TOML: {error}") from error
        except RecursionError:
            raise UsageError(
                f"{path} is nested too deeply", hint='write lines such as stall = "20ms"'
            ) from None
        known = {key_of(entry): entry for entry in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                raise UsageError(
                    f"{path}: unknown threshold {key!r}", hint=f"known thresholds: {', '.join(sorted(known))}"
                )
            values[known[key].name] = _value(known[key], value, f"{path}: {key}")
        return cls(**values)


def key_of(entry: Field[Any]) -> str:
    """A threshold's name in a file."""
    return entry.name.removesuffix("_ns").replace("_", "-")


def as_toml(thresholds: Thresholds) -> str:
    """A file that gives these thresholds, with what each means."""
    lines = []
    for entry in fields(Thresholds):
        value = getattr(thresholds, entry.name)
        text = f'"{_plain(value)}"' if entry.name.endswith("_ns") else f"{value}"
        lines.append(f"{key_of(entry)} = {text}  # {entry.metadata['doc']}")
    return "\n".join(lines) + "\n"


def _plain(ns: int) -> str:
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns and ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns"


def _value(entry: Field[Any], value: Any, where: str) -> float | int:
    if entry.name.endswith("_ns"):
        if not isinstance(value, str):
            raise UsageError(f"{where} must be a duration", hint='write it as a string, for example "100ms"')
        try:
            return formatting.parse_duration(value)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UsageError(f"{where} must be a number of at least 0, not {value!r}")
    if entry.type == "int" and not isinstance(value, int):
        raise UsageError(f"{where} must be an integer, not {value!r}")
    return value
