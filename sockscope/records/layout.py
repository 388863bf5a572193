"""The numpy twin of probes/records.h: what the kernel hands over, byte for byte.

A test compiles the header with the host's compiler and compares every offset and size with these
types, so that neither side can change alone.  Times are nanoseconds of ``CLOCK_MONOTONIC``
(0: has not happened); addresses are 16 bytes in network order, IPv4 as IPv4-mapped IPv6.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np

VERSION = 2
INLINE_IO = 2
FIRST_OCTAVE = 10
LAST_OCTAVE = 36
BUCKETS = 106


class ConnectionFlag(IntFlag):
    """``struct connection.flags``; the header says what each means."""

    OPEN_BEFORE = 0x1
    LATE = 0x2
    FAST_OPEN = 0x4
    DATA_WITH_HANDSHAKE = 0x8
    PEER_CLOSED_FIRST = 0x10
    WE_CLOSED_FIRST = 0x20
    IO_LOST = 0x40
    CLOSED = 0x80
    LISTENER_GUESSED = 0x100
    UNACCEPTED_BEFORE = 0x200
    RESET = 0x400
    ACCEPT_GUESSED = 0x800
    BEST_EFFORT = 0x1000
    MPTCP = 0x2000


class WorkerFlag(IntFlag):
    """``struct worker.flags``; the header says what each means."""

    IN_WAIT = 0x1
    WOKEN = 0x2
    GOT_EAGAIN = 0x4
    DID_WORK = 0x8
    READ_SINCE = 0x10
    SEEDED = 0x20
    ENDED = 0x40
    READ_THIS_TURN = 0x80


class ConnectionEnd(IntEnum):
    """``struct connection.ended``: how a connection ended; the header says what each means."""

    OPEN = 0
    CLOSED_BY_PEER = 1
    CLOSED_BY_SERVER = 2
    RESET_BY_PEER = 3
    RESET_BY_SERVER = 4
    TIMED_OUT = 5
    UNACCEPTED_PEER_GAVE_UP = 6
    UNACCEPTED_LISTENER_CLOSED = 7
    UNACCEPTED_PROCESS_DIED = 8


class Loss(IntEnum):
    """Indexes into the map ``losses``: what could not be recorded."""

    CONNECTIONS_FULL = 0
    CLOSED_RING_FULL = 1
    WORKERS_FULL = 2
    EXITED_RING_FULL = 3
    IO_OVERFLOW_FULL = 4
    LISTENERS_FULL = 5
    WAKES_FULL = 6
    ACCEPTS_UNKNOWN = 7
    EVENTS_RING_FULL = 8
    RETURNS_MISSED = 9
    PROCESSES_FULL = 10
    WAITING_FULL = 11
    ACCEPT_ERRORS_FULL = 12


class Phase(IntEnum):
    """What a session is about, as the probes are told."""

    TRACING = 0
    INITIAL_SCAN = 1
    ENDING = 2


class EventKind(IntEnum):
    """``struct event.kind``; the header says what ``about`` means with each."""

    ACCEPT = 1
    RECEIVE = 2
    SEND = 3
    WAIT = 4
    WOKEN = 5
    WAKE = 6


IO = np.dtype(
    [
        ("reads", "<u8"),
        ("bytes_read", "<u8"),
        ("writes", "<u8"),
        ("bytes_written", "<u8"),
        ("worker", "<u8"),
    ]
)

IO_KEY = np.dtype([("connection", "<u8"), ("worker", "<u4"), ("unused", "<u4")])

CONNECTION = np.dtype(
    [
        ("id", "<u8"),
        ("established_ns", "<u8"),
        ("accepted_ns", "<u8"),
        ("first_data_ns", "<u8"),
        ("first_read_ns", "<u8"),
        ("first_write_ns", "<u8"),
        ("ending_ns", "<u8"),
        ("closed_ns", "<u8"),
        ("touched_ns", "<u8"),
        ("readable_ns", "<u8"),
        ("unanswered_ns", "<u8"),
        ("data_wait_max_ns", "<u8"),
        ("close_wait_ns", "<u8"),
        ("listener", "<u4"),
        ("acceptor", "<u4"),
        ("unanswered_by", "<u4"),
        ("unanswered_turn", "<u4"),
        ("unread_bytes", "<u4"),
        ("closed_by", "<u4"),
        ("local", "u1", 16),
        ("remote", "u1", 16),
        ("local_port", "<u2"),
        ("remote_port", "<u2"),
        ("flags", "<u2"),
        ("established_cpu", "<u2"),
        ("accepted_cpu", "<u2"),
        ("first_read_cpu", "<u2"),
        ("family", "u1"),
        ("ended", "u1"),
        ("unused", "u1", 2),
        ("io", IO, INLINE_IO),
    ]
)

WORKER = np.dtype(
    [
        ("start_ns", "<u8"),
        ("first_seen_ns", "<u8"),
        ("ended_ns", "<u8"),
        ("touched_ns", "<u8"),
        ("cgroup", "<u8"),
        ("cpu_before_ns", "<u8"),
        ("cpu_wait_before_ns", "<u8"),
        ("id", "<u4"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("parent_pid", "<u4"),
        ("flags", "<u4"),
        ("last_wait", "<u4"),
        # raw bytes: numpy's S16 would lose trailing NULs, which a comm may not have but a test may
        ("comm", "u1", 16),
        ("accepts", "<u8"),
        ("accepts_eagain", "<u8"),
        ("accepts_failed", "<u8"),
        ("reads", "<u8"),
        ("bytes_read", "<u8"),
        ("reads_eagain", "<u8"),
        ("eof_reads", "<u8"),
        ("writes", "<u8"),
        ("bytes_written", "<u8"),
        ("waits", "<u8"),
        ("wakeups", "<u8"),
        ("wakeups_spurious", "<u8"),
        ("read_turns", "<u8"),
        ("deferred_replies", "<u8"),
        ("wait_ns", "<u8"),
        ("busy_ns", "<u8"),
        ("stall_max_ns", "<u8"),
        ("stall_max_at_ns", "<u8"),
        ("wait_enter_ns", "<u8"),
        ("wait_exit_ns", "<u8"),
        ("queue_wait", "<u4", BUCKETS),
        ("data_wait", "<u4", BUCKETS),
        ("answer", "<u4", BUCKETS),
        ("stall", "<u4", BUCKETS),
    ]
)

LISTENER = np.dtype(
    [
        ("inode", "<u8"),
        ("listened_ns", "<u8"),
        ("closed_ns", "<u8"),
        ("established", "<u8"),
        ("accepted", "<u8"),
        ("drops", "<u8"),
        ("samples", "<u8"),
        ("samples_several", "<u8"),
        ("waiters", "<u8"),
        ("exclusive", "<u8"),
        ("id", "<u4"),
        ("netns", "<u4"),
        ("listened_by", "<u4"),
        ("backlog", "<u4"),
        ("queue", "<u4"),
        ("queue_max", "<u4"),
        ("waiting", "<u4"),
        ("samples_changed", "<u4"),
        ("address", "u1", 16),
        ("port", "<u2"),
        ("family", "u1"),
        ("reuseport", "u1"),
        ("v6only", "u1"),
        ("mptcp", "u1"),
        ("defer_accept", "u1"),
        ("unused", "u1", (1,)),
    ]
)

WAKE_KEY = np.dtype([("waker", "<u4"), ("wakee", "<u4")])
WAKE_COUNT = np.dtype([("wakes", "<u8"), ("after_read", "<u8")])

WAITING_KEY = np.dtype([("listener", "<u4"), ("worker", "<u4")])
WAITING_COUNT = np.dtype([("samples", "<u8"), ("last_sample", "<u8")])

ACCEPT_ERROR_KEY = np.dtype([("listener", "<u4"), ("worker", "<u4"), ("error", "<u4"), ("unused", "<u4")])
ACCEPT_ERROR = np.dtype([("count", "<u8"), ("first_ns", "<u8"), ("last_ns", "<u8")])

SOCKET_OWNER = np.dtype(
    [
        ("socket", "<u8"),
        ("inode", "<u8"),
        ("pid", "<u4"),
        ("fd", "<u4"),
        ("netns", "<u4"),
        ("listener", "<u4"),
        ("address", "u1", 16),
        ("port", "<u2"),
        ("family", "u1"),
        ("state", "u1"),
        ("protocol", "<u4"),
    ]
)

EVENT = np.dtype(
    [
        ("time_ns", "<u8"),
        ("connection", "<u8"),
        ("worker", "<u4"),
        ("result", "<i4"),
        ("about", "<u4"),
        ("kind", "<u2"),
        ("cpu", "<u2"),
    ]
)

TARGET = np.dtype(
    [
        ("cgroup", "<u8"),
        ("cgroup_level", "<u4"),
        ("netns", "<u4"),
        ("by_port", "<u4"),
        ("by_pid", "<u4"),
        ("by_comm", "<u4"),
        ("tracer", "<u4"),
        ("phase", "<u4"),
        ("unused", "<u4"),
        ("comm", "u1", 16),
    ]
)

#: Every struct that crosses the boundary, by its name in the header.
TWINS: tuple[tuple[str, np.dtype[np.void]], ...] = (
    ("connection_io", IO),
    ("io_key", IO_KEY),
    ("connection", CONNECTION),
    ("worker", WORKER),
    ("listener", LISTENER),
    ("wake_key", WAKE_KEY),
    ("wake_count", WAKE_COUNT),
    ("waiting_key", WAITING_KEY),
    ("waiting_count", WAITING_COUNT),
    ("accept_error_key", ACCEPT_ERROR_KEY),
    ("accept_error", ACCEPT_ERROR),
    ("socket_owner", SOCKET_OWNER),
    ("target", TARGET),
    ("event", EVENT),
)
