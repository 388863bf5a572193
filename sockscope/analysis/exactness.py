"""Count how many connections were observed completely, and why the others were not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.model.connection_io import is_exact
from sockscope.records.layout import ConnectionFlag

Records = np.ndarray[Any, np.dtype[Any]]

#: Flag of a connection's record → why the record is inexact.
REASONS: tuple[tuple[ConnectionFlag, str], ...] = (
    (ConnectionFlag.OPEN_BEFORE, "open before tracing started"),
    (ConnectionFlag.UNACCEPTED_BEFORE, "in the accept queue before tracing started"),
    (ConnectionFlag.LATE, "listener determined only at accept"),
    (ConnectionFlag.IO_LOST, "used by more threads than could be recorded"),
    (ConnectionFlag.ACCEPT_GUESSED, "accept not observed: acceptor assumed to be the first reader or writer"),
    (ConnectionFlag.LISTENER_GUESSED, "listener ambiguous: several on its address"),
    (ConnectionFlag.BEST_EFFORT, "an event was missed, or a signal used an inexact attach method"),
)


@dataclass(frozen=True)
class Exactness:
    """Number of exact connections of ``total``; ``reasons`` has (reason, number) for the others."""

    exact: int
    total: int
    reasons: tuple[tuple[str, int], ...]


def count_exact(connections: Records) -> Exactness:
    """Count exact connections and the reasons of inexact ones.

    :param connections: CONNECTION records
    """
    reasons = []
    for flag, reason in REASONS:
        if number := int(np.count_nonzero(connections["flags"] & int(flag))):
            reasons.append((reason, number))
    return Exactness(int(np.count_nonzero(is_exact(connections))), len(connections), tuple(reasons))
