"""The steps of one connection with time, thread, and the wait before each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sockscope.analysis.frame import Frame
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.records.layout import ConnectionFlag
from sockscope.tui.labels import thread_label


@dataclass(frozen=True)
class Step:
    """One step; ``at_ns`` 0: not happened (``why`` explains); ``waited``: the kind of wait before it."""

    title: str
    at_ns: int
    who: str
    waited: str
    colour: str
    why: str = ""


#: Why a step has no time when it may still come.
NOT_YET = "not yet"

#: flag → what it means for what is shown.
INEXACT: tuple[tuple[ConnectionFlag, str], ...] = (
    (ConnectionFlag.OPEN_BEFORE, "open before tracing started: early steps were not observed"),
    (ConnectionFlag.LATE, "first observed at accept: the queue wait is a lower bound"),
    (ConnectionFlag.IO_LOST, "some reads or writes could not be recorded: their threads are unknown"),
    (
        ConnectionFlag.BEST_EFFORT,
        "inexact: an event was missed, or a signal used an inexact attach method",
    ),
    (ConnectionFlag.LISTENER_GUESSED, "several listeners on that port: this one is assumed"),
    (ConnectionFlag.UNACCEPTED_BEFORE, "in the accept queue before tracing started"),
)
REMARKS: tuple[tuple[ConnectionFlag, str], ...] = (
    (ConnectionFlag.FAST_OPEN, "TCP Fast Open: queued before the handshake was complete"),
    (ConnectionFlag.DATA_WITH_HANDSHAKE, "the last packet of the handshake carried data"),
    (ConnectionFlag.PEER_CLOSED_FIRST, "the client closed first"),
    (ConnectionFlag.WE_CLOSED_FIRST, "the server closed first"),
    (ConnectionFlag.RESET, "reset or aborted"),
)


def build_steps(frame: Frame, record: Any) -> list[Step]:
    """Return the steps in order of time; those that have not happened come last."""
    accepted, data, read = (int(record[name]) for name in ("accepted_ns", "first_data_ns", "first_read_ns"))
    before = bool(int(record["flags"]) & ConnectionFlag.OPEN_BEFORE)
    closed = int(record["closed_ns"])
    unseen = "not seen" if before else "never" if closed else NOT_YET
    reason = partial(_why_not, frame, unseen)
    reader, writer = get_first(frame, record, "reads"), get_first(frame, record, "writes")
    data_first = bool(data) and (not accepted or data < accepted)
    steps = [
        Step("established", int(record["established_ns"]), "kernel", "", "accent",
             "not seen" if accepted else unseen),
        Step("accepted", accepted, thread_label(frame, int(record["acceptor"])),
             "queue wait" + (", data waiting" if data_first else ""), "acceptor", unseen),
        Step("first data", data, "kernel", "queue wait" if data_first else "waiting for the client",
             "accent", reason("data")),
        Step("first read", read, reader, "data wait", "reader", reason("reader")),
        Step("first answer", int(record["first_write_ns"]), writer, "of work", "writer", reason("writer")),
        Step("closed", closed, _closer(record), "further traffic", "muted", "still open"),
    ]  # fmt: skip
    return sorted(steps, key=lambda step: (step.at_ns == 0, step.at_ns))


def _why_not(frame: Frame, otherwise: str, what: str) -> str:
    return otherwise if is_traced(frame.snapshot, what) else NOT_TRACED


def get_first(frame: Frame, record: Any, verb: str) -> str:
    """Return the thread that did most of it; which of several was first is not recorded."""
    connection_io = frame.snapshot.connection_io
    own = connection_io[(connection_io["connection"] == record["id"]) & (connection_io[verb] > 0)]
    if not len(own):
        return "–"
    name = thread_label(frame, int(own["worker"][own[verb].argmax()]))
    return name if len(own) == 1 else f"{name} +{len(own) - 1}"


def get_remarks(record: Any) -> tuple[list[str], list[str]]:
    """Return why the record is inexact, and other remarks."""
    flags = int(record["flags"])
    return [words for flag, words in INEXACT if flags & flag], [
        words for flag, words in REMARKS if flags & flag
    ]


def _closer(record: Any) -> str:
    flags = int(record["flags"])
    if flags & ConnectionFlag.RESET:
        return "reset"
    if flags & ConnectionFlag.PEER_CLOSED_FIRST:
        return "client first"
    return "server first" if flags & ConnectionFlag.WE_CLOSED_FIRST else "–"
