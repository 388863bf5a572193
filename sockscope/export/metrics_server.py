"""An HTTP endpoint that hands out the last exposition, in the format that the scraper asks for."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6

from sockscope.errors import SockscopeError, UsageError
from sockscope.export.openmetrics import CLASSIC_TYPE, CONTENT_TYPE

_PATIENCE_S = 10


def place_of(text: str) -> tuple[str, int]:
    """An address and a port from ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``.

    :raises UsageError: for anything else
    """
    host, colon, port = text.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        address = ""
    if not colon or not address or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"{text!r} is not an address and port", hint="write 127.0.0.1:9713 or [::1]:9713")
    return address, int(port)


class Endpoint:
    """Serve ``/metrics`` until closed; use as a context manager.

    :param made: returns the exposition, in the classic format when its argument is true; called once per
        request, one call at a time
    :raises SockscopeError: when the address cannot be listened on
    """

    def __init__(self, place: tuple[str, int], made: Callable[[bool], str]) -> None:
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S
            server_version = "sockscope"
            sys_version = ""

            def do_GET(self) -> None:
                if self.path.split("?", 1)[0] not in ("/metrics", "/"):
                    self.send_error(404, "try /metrics")
                    return
                classic = "application/openmetrics-text" not in self.headers.get("Accept", "")
                with lock:
                    body = made(classic).encode()
                self.send_response(200)
                self.send_header("Content-Type", CLASSIC_TYPE if classic else CONTENT_TYPE)
                self.send_header("Vary", "Accept")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Scrapes are not worth a line each."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            if ":" in place[0]:
                address_family = AF_INET6

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that goes away is its own business."""

        try:
            self._server = Server(place, Handler)
        except OSError as error:
            raise SockscopeError(
                f"cannot listen on {place[0]} port {place[1]} ({error.strerror})",
                hint="choose another address with --listen",
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_PATIENCE_S)

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
