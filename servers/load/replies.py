"""What a reply of the reference servers says."""

import functools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; acceptor, reader and writer are `pid/tid`. `size` is in bytes, head and body."""

    status: int
    size: int
    keep_alive: bool
    acceptor: str
    reader: str
    writer: str
    listener: int


def first_reply(data: bytes) -> Reply | None:
    """The reply that `data` begins with; None while its head is incomplete. ValueError: not a reply.

    The body may still be incomplete: compare `size`.
    """
    end = data.find(b"\r\n\r\n") + 4
    return None if end < 4 else _parse(data[:end])


@functools.lru_cache(maxsize=4096)  # a server has few threads, so few different heads
def _parse(head: bytes) -> Reply:
    line, *fields = head.decode("latin-1").rstrip().split("\r\n")
    version, status, *_ = line.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not HTTP: {line!r}")
    names = dict(field.lower().split(": ", 1) for field in fields)
    return Reply(
        status=int(status),
        size=len(head) + int(names["content-length"]),
        keep_alive=names.get("connection") != "close",
        acceptor=names.get("x-acceptor", "?"),
        reader=names.get("x-reader", "?"),
        writer=names.get("x-writer", "?"),
        listener=int(names.get("x-listener", "0")),
    )
