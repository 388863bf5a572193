"""Small servers with a fault, for what no packaged server does on request.

``python -m tests.field.programs KIND``: says ``listening on ADDRESS:PORT`` and serves until it is ended.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def listen(port: int = 0, reuseport: bool = False, backlog: int = 128) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuseport:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(backlog)
    return sock


def announce(sock: socket.socket) -> None:
    print(f"listening on 127.0.0.1:{sock.getsockname()[1]}", flush=True)


def loop(listener: socket.socket, limit: int = 0, closes: bool = True) -> None:
    """An event loop; at ``limit`` open connections it stops watching the listener."""
    listener.setblocking(False)
    watching, served = True, {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while True:
            for number, _ in epoll.poll():
                if number == listener.fileno():
                    with contextlib.suppress(OSError):
                        connection, _ = listener.accept()
                        served[connection.fileno()] = connection
                        epoll.register(connection, select.EPOLLIN)
                    if limit and len(served) >= limit:
                        epoll.unregister(listener)
                        watching = False
                    continue
                try:
                    asked = served[number].recv(4096)
                    if asked:
                        served[number].sendall(_REPLY)
                        continue
                except OSError:
                    pass
                epoll.unregister(number)
                if closes:
                    served.pop(number).close()
                if not watching and len(served) < limit:
                    epoll.register(listener, select.EPOLLIN)
                    watching = True


def limited() -> None:
    """Stops accepting while 10 connections are open."""
    listener = listen()
    announce(listener)
    loop(listener, limit=10)


def out_of_files() -> None:
    """May open 20 files, and retries at once when accept() fails."""
    listener = listen()
    announce(listener)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    loop(listener)


def never_closes() -> None:
    """Ignores end of file."""
    listener = listen()
    announce(listener)
    loop(listener, closes=False)


def inherited() -> None:
    """The server goes away; a child that inherited its listening socket stays."""
    listener = listen()
    listener.set_inheritable(True)
    child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
    announce(listener)
    listener.close()
    signal.signal(signal.SIGTERM, lambda *_: (child.kill(), os._exit(0)))
    signal.pause()


def dying_member() -> None:
    """Two members of a SO_REUSEPORT group; one never accepts and exits after 3 seconds."""
    first = listen(reuseport=True)
    second = listen(first.getsockname()[1], reuseport=True)
    if os.fork() == 0:
        first.close()
        time.sleep(3)
        os._exit(1)
    second.close()
    announce(first)
    loop(first)


def stopped() -> None:
    """Stops itself after it has begun to listen."""
    listener = listen()
    announce(listener)
    os.kill(os.getpid(), signal.SIGSTOP)
    loop(listener)


def rejecting() -> None:
    """Serves 10 connections, and closes all further ones unread."""
    listener = listen()
    announce(listener)
    kept = []
    while True:
        connection, _ = listener.accept()
        if len(kept) >= 10:
            connection.close()
            continue
        connection.recv(4096)
        connection.sendall(_REPLY)
        kept.append(connection)


def blocking(seconds: float = 0.03) -> None:
    """Healthy: three processes block in accept(), and poll only with a connection."""
    listener = listen()
    for _ in range(2):
        if os.fork() == 0:
            break
    else:
        announce(listener)
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            connection.recv(4096)
            time.sleep(seconds)
            connection.sendall(_REPLY)


def deferring() -> None:
    """Healthy: TCP_DEFER_ACCEPT, so that the kernel counts drops that are none."""
    listener = listen()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    announce(listener)
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(_REPLY)


KINDS: dict[str, Callable[[], None]] = {
    "limited": limited,
    "out-of-files": out_of_files,
    "never-closes": never_closes,
    "inherited": inherited,
    "dying-member": dying_member,
    "stopped": stopped,
    "rejecting": rejecting,
    "blocking": blocking,
    "deferring": deferring,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
