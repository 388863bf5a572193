"""Minimal HTTP/1.1 with keep-alive: parse requests from a buffer, build one small reply."""

import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024

_HEAD_END = re.compile(rb"\n\r?\n")
_REQUEST_LINE = re.compile(rb"([!-~]+) [!-~\x80-\xff]+ HTTP/1\.([01])")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    413: "Content Too Large",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request; one that cannot be served has a status other than 200."""

    status: int = 200
    head_only: bool = False
    keep_alive: bool = True
    old: bool = False


def _refusal(status: int) -> Request:
    return Request(status=status, keep_alive=False)


def take_request(buffer: bytearray) -> Request | None:
    """Remove one complete request with its body from the front of the buffer; return None if it is incomplete.

    A refusal ends the connection, so what follows it in the buffer no longer matters.
    """
    while buffer.startswith((b"\r\n", b"\n")):  # allowed between requests
        del buffer[: buffer.index(b"\n") + 1]
    found = _HEAD_END.search(buffer)
    if (found.end() if found else len(buffer)) > MAX_HEAD_BYTES:
        return _refusal(431)
    if found is None:
        return None
    end = found.end()
    line, *fields = bytes(buffer[: found.start()]).split(b"\n")
    first = _REQUEST_LINE.fullmatch(line.rstrip(b"\r"))
    if first is None:
        return _refusal(400)
    names: dict[bytes, bytes] = {}
    for text in fields:
        name, colon, value = text.partition(b":")
        if not colon:
            return _refusal(400)
        key = name.lower()
        if key == b"content-length" and names.get(key, value.strip()) != value.strip():
            return _refusal(400)
        names[key] = value.strip()
    return _with_body(buffer, end, first[1], first[2] == b"0", names)


def _with_body(
    buffer: bytearray, end: int, method: bytes, old: bool, fields: dict[bytes, bytes]
) -> Request | None:
    length = fields.get(b"content-length", b"0")
    if not length.isdigit():
        return _refusal(400)
    if b"transfer-encoding" in fields:
        return _refusal(501)
    if b"expect" in fields:  # a client that hears this sends the request again without it
        return _refusal(417)
    if len(length) > 9 or int(length) > MAX_BODY_BYTES:
        return _refusal(413)
    if len(buffer) < end + int(length):
        return None
    del buffer[: end + int(length)]
    wishes = {wish.strip() for wish in fields.get(b"connection", b"").lower().split(b",")}
    keep_alive = b"keep-alive" in wishes if old else b"close" not in wishes
    return Request(head_only=method == b"HEAD", keep_alive=keep_alive, old=old)


def render_reply(request: Request, pid: int, acceptor: str, reader: str, writer: str, listener: int) -> bytes:
    """Build the reply, which contains the ground truth. Acceptor, reader and writer are `pid/tid`."""
    body = f"pid={pid} acceptor={acceptor} reader={reader} writer={writer} listener={listener}\n"
    if not request.keep_alive:
        connection = "Connection: close\r\n"
    else:
        connection = "Connection: keep-alive\r\n" if request.old else ""
    head = (
        f"HTTP/1.1 {request.status} {_REASONS[request.status]}\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        f"X-Server-Pid: {pid}\r\nX-Acceptor: {acceptor}\r\nX-Reader: {reader}\r\nX-Writer: {writer}\r\n"
        f"X-Listener: {listener}\r\n{connection}\r\n"
    )
    return (head if request.head_only else head + body).encode()
