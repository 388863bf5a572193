"""What came of a load."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Latency:
    """Percentiles by nearest rank, in microseconds; zeros when nothing was measured."""

    p50_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Latency":
        """The percentiles of these times, given in seconds."""
        ordered = sorted(seconds)
        if not ordered:
            return cls()
        ranks = [max(math.ceil(share * len(ordered)), 1) - 1 for share in (0.5, 0.99, 1.0)]
        return cls(*(round(ordered[rank] * 1e6, 1) for rank in ranks))


@dataclass(frozen=True)
class Result:
    """Figures of one load.

    `connections` counts those that connected, `failed` the connections that met any error (`errors`
    says which). `acceptors` and `listeners` count connections, `readers` and `writers` count requests,
    by `pid/tid` or socket inode.
    """

    connections: int
    requests: int
    failed: int
    errors: Mapping[str, int]
    seconds: float
    connect: Latency
    request: Latency
    acceptors: Mapping[str, int]
    readers: Mapping[str, int]
    writers: Mapping[str, int]
    listeners: Mapping[int, int]
    bytes_sent: int
    bytes_received: int

    @property
    def requests_per_second(self) -> float:
        """Requests answered a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def connections_per_second(self) -> float:
        """Connections made a second."""
        return self.connections / self.seconds if self.seconds else 0.0

    def as_json(self) -> str:
        """Everything, with the rates, as one JSON object."""
        rates = {
            "requests_per_second": round(self.requests_per_second, 1),
            "connections_per_second": round(self.connections_per_second, 1),
        }
        return json.dumps(asdict(self) | rates, indent=2)

    def as_text(self) -> str:
        """For people."""
        lines = [
            f"connections  {self.connections} in {self.seconds:.2f} s, {self.connections_per_second:.0f}/s",
            f"requests     {self.requests}, {self.requests_per_second:.0f}/s",
            f"errors       {_errors(self.failed, self.errors)}",
            f"connect      {_latency(self.connect)}",
            f"request      {_latency(self.request)}",
        ]
        lines += _shares("acceptor", "connections", self.acceptors)
        lines += _shares("writer", "requests", self.writers)
        return "\n".join(lines)


def _errors(failed: int, errors: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in errors.items())
    return f"{failed} ({reasons})" if reasons else "0"


def _latency(latency: Latency) -> str:
    return f"p50 {latency.p50_us:.0f} µs   p99 {latency.p99_us:.0f} µs   max {latency.max_us:.0f} µs"


def _shares(role: str, unit: str, counts: Mapping[str, int]) -> list[str]:
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [f"{role:<12} {who:<15} {count / total:6.1%}  {count} {unit}" for who, count in ordered]
