"""Waits of single connections, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Records = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Waits:
    """One wait per connection: duration, end, listener, acceptor, reader, and whether it is over."""

    ns: Records
    end_ns: Records
    listener: Records
    acceptor: Records
    reader: Records
    over: Records

    def of(self, chosen: Any) -> Waits:
        """Select some of the waits."""
        if isinstance(chosen, np.ndarray) and chosen.dtype == bool and chosen.all():
            return self
        columns = (self.ns, self.end_ns, self.listener, self.acceptor, self.reader, self.over)
        return Waits(*(column[chosen] for column in columns))

    def by_listener(self) -> dict[int, Waits]:
        """Return listener id → its waits, in this order."""
        order = np.argsort(self.listener, kind="stable")
        numbers, begins = np.unique(self.listener[order], return_index=True)
        ends = [*begins[1:], len(order)][: len(begins)]
        return {
            int(number): self.of(order[begin:end])
            for number, begin, end in zip(numbers, begins, ends, strict=True)
        }

    def episodes(self, least_ns: int) -> tuple[int, int]:
        """Return number and total length (ns) of the periods in which a connection waited ``least_ns`` or more."""
        late = self.ns >= least_ns
        ends, begins = self.end_ns[late], self.end_ns[late] - self.ns[late]
        number = together = reached = 0
        for at in np.argsort(begins):
            begin, end = int(begins[at]), int(ends[at])
            number += begin > reached
            together += max(end - max(begin, reached), 0)
            reached = max(reached, end)
        return number, together

    def percentile(self, fraction: float) -> float:
        return float(np.percentile(self.ns, 100 * fraction)) if len(self.ns) else 0.0

    def __len__(self) -> int:
        return len(self.ns)
