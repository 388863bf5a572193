"""Labels of threads, processes, models and roles."""

from __future__ import annotations

from collections.abc import Mapping

from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.model.snapshot import Worker
from sockscope.tui.text_line import plain

#: model → what it means, in the words of someone who sees it for the first time.
MODELS: Mapping[str, str] = {
    "single": "one thread accepts, reads and replies",
    "handoff": "one thread accepts, others read and reply",
    "dispatch": "one thread accepts and reads, others process the requests",
    "shared": "several threads accept from one queue",
    "reuseport": "each worker has its own queue; the kernel selects one by hash",
    "unknown": "not known yet",
}

#: severity → the colour's name in a palette.
SEVERITY_COLOURS: Mapping[str, str] = {
    "info": "muted",
    "notice": "notice",
    "warning": "warning",
    "critical": "critical",
}
SEVERITY_SIGNS: Mapping[str, str] = {"info": "·", "notice": "○", "warning": "▲", "critical": "✗"}


def worker_label(worker: Worker) -> str:
    """Return ``nginx 4001``: name and id, because threads often share a name."""
    return f"{plain(worker.comm) or 'thread'} {worker.number}"


def thread_label(frame: Frame, number: int) -> str:
    """Return the label of a worker by id, also of an unknown one."""
    if not number:
        return "–"
    worker = frame.snapshot.workers.get(number)
    return worker_label(worker) if worker else f"worker #{number}"


def model_label(server: Server) -> str:
    """Return the meaning of the model, for one server."""
    if server.model in MODELS:
        words = MODELS[server.model]
    else:
        accept, _, serve = server.model.partition("+")
        words = f"{MODELS.get(accept, accept)}; then " + (
            "requests are dispatched to other threads"
            if serve == "dispatch"
            else "connections are handed to other threads"
        )
    return f"{words} (several threads read one connection)" if server.roaming else words


def get_role_labels(frame: Frame) -> dict[int, str]:
    """Return worker id → letters of its roles: L listener, A acceptor, R reader, W writer, · worker."""
    roles: dict[int, str] = {}
    snapshot = frame.snapshot
    listened = {listener.listened_by for listener in snapshot.listeners}
    answerers = {int(number) for number in snapshot.roles["writer"]}
    for number, worker in snapshot.workers.items():
        letters = ("L" if number in listened else "") + ("A" if worker.accepts else "")
        letters += ("R" if worker.reads else "") + ("W" if worker.writes or number in answerers else "")
        roles[number] = letters or "·"
    return roles


def find_server(frame: Frame, name: str) -> Server | None:
    """Return the server of that name, or the busiest one."""
    for server in frame.servers:
        if server.group.name == name:
            return server
    return max(frame.servers, key=lambda server: server.connections, default=None)
