"""The parts of the servers, without a server."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import servers
from servers import models
from servers.accept_lock import AcceptLock
from servers.burn import Burner
from servers.http1 import MAX_HEAD_BYTES, Request, take_request
from servers.ledger import Ledger
from servers.listening import text_address
from servers.tally import Tally

STREAM = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    b"\r\nPOST /a?b HTTP/1.1\r\ncontent-length: 5\r\nX: \xff\r\n\r\nab\r\n\r"
    b"HEAD / HTTP/1.1\nHost: x\n\n"
    b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    b"GET / HTTP/1.1\r\nConnection: TE, close\r\n\r\n"
)
REQUESTS = [
    Request(),
    Request(),
    Request(head_only=True),
    Request(old=True),
    Request(keep_alive=False),
]


def requests_of(pieces):
    buffer, found = bytearray(), []
    for piece in pieces:
        buffer += piece
        while (request := take_request(buffer)) is not None:
            found.append(request)
    return found, bytes(buffer)


def test_requests_are_found_however_the_stream_is_cut():
    assert requests_of([STREAM]) == (REQUESTS, b"")
    for cut in range(1, len(STREAM)):
        assert requests_of([STREAM[:cut], STREAM[cut:]]) == (REQUESTS, b""), cut
    assert requests_of(bytes([byte]) for byte in STREAM) == (REQUESTS, b"")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", 417),
        (b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /" + b"a" * MAX_HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    ],
)
def test_what_cannot_be_served_is_refused_and_ends_the_connection(head, status):
    assert take_request(bytearray(head)) == Request(status=status, keep_alive=False)


def test_an_address_is_written_as_one_would_type_it():
    assert text_address(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert text_address(("::1", 80, 0, 0)) == "[::1]:80"
    assert text_address(("::ffff:127.0.0.1", 80, 0, 0)) == "127.0.0.1:80"


def test_burning_uses_the_cpu_time_that_was_asked_for():
    burner = Burner()
    burner.calibrate()
    for microseconds in (200, 5_000, 50_000):
        used = []
        for _ in range(5):
            begin = time.thread_time_ns()
            burner.burn(microseconds)
            used.append((time.thread_time_ns() - begin) / 1000)
        assert microseconds <= min(used) < microseconds * 1.2 + 100, used


def test_the_accept_lock_has_one_holder_at_a_time_and_outlives_none():
    lock = AcceptLock()
    one, other = lock.share(), lock.share()
    assert one.try_take()
    assert one.try_take()
    assert not other.try_take()
    one.release()
    assert other.try_take()
    other.release()
    child = os.fork()
    if child == 0:
        os._exit(0 if lock.share().try_take() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert one.try_take()


def test_the_tally_takes_turns_among_equals_and_forgets_the_dead():
    tally = Tally(3)
    order = []
    for _ in range(4):
        order.append(tally.least())
        tally.given(order[-1])
    assert order == [0, 1, 2, 0]
    tally.closed(2)
    assert tally.least() == 2
    tally.given(2)
    tally.retire(1)
    assert [tally.next() for _ in range(3)] == [0, 2, 0]
    assert [tally.least(), tally.least()] == [2, 2]


def test_a_ledger_writes_whole_lines_and_appends(tmp_path):
    path = tmp_path / "ledger"
    for _ in range(2):
        ledger = Ledger(path)
        ledger.add({"a": 1})
        ledger.flush()
    assert path.read_text() == '{"a": 1}\n' * 2
    Ledger(None).flush()


def test_every_model_has_a_file_and_a_place_in_the_registry():
    package = Path(models.__file__).parent
    with_model = {path.stem for path in package.glob("*.py") if "\nMODEL = Model(" in path.read_text()}
    assert {model.name for model in models.MODELS} == with_model
    assert [model.name for model in models.MODELS] == ["single", "handoff", "dispatch", "shared", "reuseport"]


def test_a_server_that_cannot_start_says_why_to_who_started_it():
    with pytest.raises(servers.ServerError, match="single has one worker"):
        servers.start("single", workers=2)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(servers.ServerError, match="in use"):
        servers.start("handoff", port=taken.getsockname()[1])


_SIGNAL_DURING_A_LONG_CALL = """
import hashlib, os, signal, threading, time
from servers.stop import Stop

stop, calling, seen = Stop(), threading.Event(), []
stop.on_signals()

def ask():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    calling.wait()
    os.kill(os.getpid(), signal.SIGINT)
    seen.append((stop.is_set(within_s=60), time.monotonic()))

asking = threading.Thread(target=ask)
asking.start()
calling.set()
hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)  # a second or more, which no signal cuts short
returned = time.monotonic()
asking.join()
print(seen[0][0], seen[0][1] < returned)
"""


def test_a_signal_stops_the_server_though_its_main_thread_is_in_a_call_that_goes_on() -> None:
    """As when it comes just before the wait for events: no handler in Python runs then."""
    done = subprocess.run(
        [sys.executable, "-c", _SIGNAL_DURING_A_LONG_CALL],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout == "True True\n", done.stderr
