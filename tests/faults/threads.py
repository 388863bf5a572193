"""The server of threads.c recorded: a new thread for each connection, which says what it did."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.faults.replying import Answer
from tests.kernel.command import begin, report, until_tracing


def recorded(
    tmp_path: Path,
    number: int,
    rate: int,
    inside: tuple[str, ...] = (),
    clients: tuple[str, ...] = ("127.0.0.1", "127.0.0.1"),
) -> tuple[dict[str, Any], list[Answer], float]:
    """Record the server, asked so often a second (0: as often as it can).

    :param inside: what to put before a command that is to run in the server's network
    :param clients: the server's address, the clients', and the file of the clients' network, if it is another
    :return: the report, what the server said itself, and the threads a second that it came to
    """
    out, program = tmp_path / "run.sockscope", tmp_path / "threads"
    source = Path(__file__).with_name("threads.c")
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program, source], check=True, timeout=60)
    elsewhere = (clients[0], clients[2]) if len(clients) == 3 else ()
    command = [*inside, str(program), str(number), "3", str(rate), *elsewhere]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        where = ("--netns", inside[3]) if inside else ()
        recorder = begin("record", "-o", out, "--port", int(server.stdout.readline()), *where)
        until_tracing(recorder)
        begin_s = time.monotonic()
        said = server.communicate("\n", timeout=120)[0]
        took_s = time.monotonic() - begin_s
    recorder.send_signal(signal.SIGINT)
    recorder.communicate(timeout=60)
    lines = map(str.split, said.splitlines())
    answers = [
        Answer(f"{clients[1]}:{port}", int(pid), int(tid), int(octets)) for port, pid, tid, octets in lines
    ]
    assert len(answers) == number
    return report(out, connections=number), answers, number / took_s
