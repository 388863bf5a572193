"""The bench: faults and healthy controls on reference servers, small faulty ones and real ones."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from sockscope.analysis.thresholds import Thresholds
from tests.diagnosis.stage import (
    Case,
    During,
    Load,
    Place,
    Start,
    announced,
    folder,
    free_port,
    load,
    namespace,
    on_port,
    pause,
    python,
    run_beside,
)

HERE = Path(__file__).parent


def reference(model: str, *flags: str, slow_us: int = 0, prefix: tuple[str, ...] = ()) -> Start:
    """A reference server; with ``slow_us`` one worker, picked by chance, is slower than the others."""

    def start(chance: random.Random, stack: contextlib.ExitStack) -> Place:
        words = [model, *flags]
        if slow_us:
            workers = next(int(flag.partition("=")[2]) for flag in flags if flag.startswith("--workers"))
            words.append(f"--slow={chance.randrange(workers)}:{slow_us}")
        return announced(stack, [*prefix, *python("servers", *words)])

    return start


def inside(somaxconn: int, model: str, *flags: str) -> Start:
    """A reference server in a network namespace of its own."""

    def start(chance: random.Random, stack: contextlib.ExitStack) -> Place:
        prefix = stack.enter_context(namespace(somaxconn))
        return announced(stack, python("servers", model, *flags), prefix)

    return start


def faulty(kind: str) -> Start:
    return lambda chance, stack: announced(stack, python("tests.diagnosis.faulty", kind))


def nginx(workers: int, listen: str = "", events: str = "", server: str = "") -> Start:
    def start(chance: random.Random, stack: contextlib.ExitStack) -> Place:
        port, home = free_port(), folder(stack)
        (home / "nginx.conf").write_text(
            f"daemon off; master_process on; worker_processes {workers}; pid {home}/pid; user root;\n"
            f"error_log {home}/error.log crit; events {{ worker_connections 4000; {events} }}\n"
            f"http {{ access_log off; keepalive_requests 100000; client_body_temp_path {home}/b; proxy_temp_path {home}/p;\n"
            f"fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n"
            f"server {{ listen 127.0.0.1:{port} {listen}; {server} location / {{ return 200 'ok'; }} }} }}\n"
        )
        return on_port(
            stack, port, ["nginx", "-p", str(home), "-e", f"{home}/error.log", "-c", f"{home}/nginx.conf"]
        )

    return start


def node(kind: str) -> Start:
    def start(chance: random.Random, stack: contextlib.ExitStack) -> Place:
        port = free_port()
        return on_port(stack, port, ["node", str(HERE / "node_server.js"), str(port), kind])

    return start


def memcached(*flags: str) -> Start:
    def start(chance: random.Random, stack: contextlib.ExitStack) -> Place:
        port = free_port()
        return on_port(stack, port, ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), *flags])

    return start


def http(**options: str | float) -> Load:
    """The reference load, its numbers 10 % more or less by chance."""

    def loads(chance: random.Random, place: Place) -> list[Sequence[str]]:
        varied = {
            name: round(float(value) * chance.uniform(0.9, 1.1), 2) if name in ("rate", "think") else value
            for name, value in options.items()
        }
        return [load(place, **varied)]

    return loads


def both(*loads: Load) -> Load:
    return lambda chance, place: [command for one in loads for command in one(chance, place)]


def wrk(connections: int, *flags: str) -> Load:
    return lambda chance, place: [
        ["wrk", "-t1", f"-c{connections}", "-d30s", *flags, f"http://{place.address}/"]
    ]


def items(light: int, heavy: int, size: int, rate: float = 0) -> Load:
    words = [str(word) for word in (light, heavy, size)]
    return lambda chance, place: [
        python("tests.diagnosis.memcached_load", str(place.port), *words, *([str(rate)] if rate else []))
    ]


def nothing(chance: random.Random, place: Place) -> list[Sequence[str]]:
    return []


def late_clients(chance: random.Random, place: Place) -> list[Sequence[str]]:
    """Forty clients that say nothing for a second and a quarter."""
    return [python("tests.diagnosis.late_clients", str(place.port), "40", "1.25")]


def half_open(number: int) -> Load:
    return lambda chance, place: [python("tests.diagnosis.half_open", str(place.port), str(number))]


def pause_a_child(chance: random.Random, place: Place, stack: contextlib.ExitStack) -> None:
    pause(chance.choice(place.children()), stack)


def burst(connections: int, **options: str | float) -> During:
    """A second load, halfway."""

    def act(chance: random.Random, place: Place, stack: contextlib.ExitStack) -> None:
        run_beside(stack, load(place, connections=connections, concurrency=connections, **options))

    return act


def crowd(connections: int) -> During:
    """So many connections in a moment in which the server's process does not run."""

    def act(chance: random.Random, place: Place, stack: contextlib.ExitStack) -> None:
        with contextlib.ExitStack() as stopped:
            pause(place.pid, stopped)
            for _ in range(connections):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", place.port))
            time.sleep(0.02)

    return act


def neighbours(number: int) -> During:
    """So many programs that burn CPU wherever they can, until the case is over."""

    def act(chance: random.Random, place: Place, stack: contextlib.ExitStack) -> None:
        for _ in range(number):
            run_beside(stack, [*python("tests.diagnosis.burn"), "30"])

    return act


CALM = http(rate=120, concurrency=32, requests=3, think=5)

FAULTS: tuple[Case, ...] = (
    Case("straggler in a reuseport group", reference("reuseport", "--workers=3", slow_us=14_000), http(rate=120, concurrency=64), "straggler", short=True),
    Case("straggler among threads of a reuseport group", reference("reuseport", "--workers=3", "--threads", slow_us=14_000), http(rate=100, concurrency=64), "straggler"),
    Case("straggler on a shared socket", reference("shared", "--workers=3", "--wait=epoll", "--work=1500", slow_us=12_000), http(rate=200, concurrency=64), "straggler"),
    Case("straggler, blocking accept", reference("shared", "--workers=3", "--wait=accept", slow_us=14_000), http(rate=150, concurrency=64), "straggler"),
    Case("straggler among readers of a hand-off", reference("handoff", "--workers=3", slow_us=14_000), http(rate=100, concurrency=64), "straggler"),
    Case("straggler among processes of a hand-off", reference("handoff", "--workers=3", "--processes", slow_us=14_000), http(rate=100, concurrency=64), "straggler"),
    Case("straggler among workers of a dispatcher", reference("dispatch", "--workers=3", slow_us=14_000), http(rate=60, concurrency=64), "straggler"),
    Case("heavy clients, reuseport", reference("reuseport", "--workers=4", "--work=200"), both(http(rate=30, requests=20, think=40, concurrency=60), http(connections=1, concurrency=1, requests=1000000)), "heavy-connections"),
    Case("long-lived connections, last waiter first", reference("shared", "--workers=4", "--work=1000"), http(rate=40, connections=60, concurrency=60, requests=10000, think=140), "accept-skew-shared"),
    Case("thundering herd", faulty("herd"), http(rate=500, concurrency=16), "thundering-herd", short=True),
    Case("member stopped, reuseport", reference("reuseport", "--workers=3"), http(rate=100, concurrency=200), "member-stalled", pause_a_child),
    Case("leaked member", faulty("leak"), http(rate=60, concurrency=300), "member-orphaned", short=True),
    Case("tiny backlog", reference("single", "--backlog=3"), wrk(100, "-H", "Connection: close"), "queue-overflow", short=True),
    Case("backlog cut by somaxconn", inside(6, "single", "--backlog=4096"), wrk(100, "-H", "Connection: close"), "backlog-clamped"),
    Case("blocked loop", faulty("block"), http(rate=80, concurrency=64, requests=2, think=5), "loop-stall", short=True),
    Case("saturated dispatcher", faulty("slow-dispatcher"), http(concurrency=48, requests=50), "dispatcher-saturated"),
    Case("saturated workers of a dispatcher", reference("dispatch", "--workers=2", "--work=5000"), http(concurrency=64, requests=100), "workers-saturated"),
    Case("saturated workers, reuseport", reference("reuseport", "--workers=2", "--work=6000"), http(concurrency=64, requests=5), "workers-saturated"),
    Case("saturated single thread", reference("single", "--work=2500"), http(concurrency=48, requests=5), "single-saturated"),
    Case("saturated acceptor", faulty("slow-acceptor"), http(concurrency=48), "acceptor-saturated"),
    Case("bound before the fork", faulty("prefork"), CALM, "reuseport-unused"),
    Case("steered to half of the members", reference("reuseport", "--workers=4", "--steer=cpu"), CALM, "accept-skew-reuseport"),
    Case("four workers on one CPU", reference("reuseport", "--workers=4", "--work=3000", prefix=("taskset", "-c", "1")), http(concurrency=48, requests=5), "too-few-cpus"),
    Case("neighbours take the CPUs", reference("reuseport", "--workers=2", "--work=1000"), http(rate=300, concurrency=32), "cpu-starved", neighbours(8), seconds=6.0),
    Case("accept lock held while serving", faulty("accept-lock"), http(rate=25, concurrency=64), "accept-lock-contention"),
    Case("connections kept by one worker", faulty("keeper"), http(rate=60, concurrency=200, requests=1000, think=400), "open-connections-skew"),
    Case("queue near its limit", reference("single", "--backlog=100", "--work=300"), http(rate=60, concurrency=32, requests=1), "queue-near-limit", crowd(85)),
    Case("reader comes late", faulty("late-reader"), http(rate=50, concurrency=64, requests=2), "reader-late"),
    Case("acceptor comes rarely", faulty("rare-acceptor"), http(rate=60, concurrency=64), "queue-wait-high"),
    Case("watched for writing all the time", faulty("always-writable"), http(rate=40, concurrency=20, requests=100, think=80), "wasted-wakeups"),
    Case("Nginx: worker stopped, reuseport", nginx(3, "reuseport"), http(rate=100, concurrency=200), "member-stalled", pause_a_child),
    Case("Nginx: tiny backlog", nginx(1, "backlog=1"), wrk(200, "-H", "Connection: close"), "queue-overflow"),
    Case("Memcached: heavy clients", memcached("-t", "4"), items(40, 1, 20000), "heavy-connections"),
    Case("Node: blocked loop", node("block"), http(rate=80, concurrency=64, requests=2, think=5), "loop-stall"),
    Case("Node: saturated", node("work"), http(concurrency=48, requests=5), "single-saturated"),
    Case("Node: straggler in a cluster", node("straggler"), http(rate=90, concurrency=64), "straggler"),
)  # fmt: skip

CONTROLS: tuple[Case, ...] = (
    Case("single", reference("single"), CALM),
    Case("single, bursts", reference("single"), CALM, during=burst(60)),
    Case("single, work", reference("single", "--work=500"), CALM),
    Case("hand-off", reference("handoff", "--workers=3"), CALM),
    Case("hand-off to the least loaded", reference("handoff", "--workers=3", "--pick=least"), CALM),
    Case("hand-off to processes", reference("handoff", "--workers=3", "--processes"), CALM),
    Case("dispatch", reference("dispatch", "--workers=3", "--work=300"), CALM),
    Case("dispatch, the dispatcher replies", reference("dispatch", "--workers=3", "--reply=dispatcher"), CALM),
    Case("shared, exclusive", reference("shared", "--workers=4"), CALM, short=True),
    Case("shared, every waiter woken", reference("shared", "--workers=4", "--wait=epoll"), CALM),
    Case("shared, accept lock", reference("shared", "--workers=4", "--wait=lock"), CALM),
    Case("shared, blocking accept", reference("shared", "--workers=8", "--wait=accept"), http(rate=120, concurrency=16)),
    Case("shared, threads", reference("shared", "--workers=4", "--threads"), CALM),
    Case("shared, few connections", reference("shared", "--workers=4"), http(connections=5, concurrency=5, requests=100, think=20)),
    Case("reuseport", reference("reuseport", "--workers=4"), CALM, short=True),
    Case("reuseport, threads", reference("reuseport", "--workers=4", "--threads"), CALM),
    Case("reuseport, bursts", reference("reuseport", "--workers=4", "--work=200"), CALM, during=burst(100)),
    Case("reuseport, few connections", reference("reuseport", "--workers=4"), http(connections=4, concurrency=4, requests=1000, think=10)),
    Case("reuseport, forty long-lived connections", reference("reuseport", "--workers=4", "--work=200"), http(connections=40, concurrency=40, requests=1000, think=30)),
    Case("reuseport, many connections", reference("reuseport", "--workers=4"), http(rate=600, concurrency=32)),
    Case("idle server", reference("shared", "--workers=4"), nothing, waits_for_traffic=False),
    Case("idle connections", reference("shared", "--workers=4"), http(connections=12, concurrency=12, requests=3, think=1500)),
    Case("large backlog asked", reference("single", "--backlog=65535"), CALM),
    Case("pool of blocking threads", faulty("pool"), CALM),
    Case("loop with timers", faulty("timers"), CALM),
    Case("Nginx", nginx(2), CALM, short=True),
    Case("Nginx, reuseport", nginx(4, "reuseport"), CALM),
    Case("Nginx, accept_mutex", nginx(3, "", "accept_mutex on; accept_mutex_delay 50ms;"), CALM),
    Case("Nginx, multi_accept", nginx(2, "", "multi_accept on;"), CALM),
    Case("Nginx, few connections", nginx(4), http(connections=6, concurrency=6, requests=200, think=10)),
    Case("Nginx, bursts", nginx(2), CALM, during=burst(150)),
    Case("Memcached", memcached("-t", "4"), items(40, 0, 100, rate=50)),
    Case("Memcached, many connections", memcached("-t", "4"), items(200, 0, 100)),
    Case("Memcached, few connections", memcached("-t", "4"), items(3, 0, 100)),
    Case("Node", node("plain"), CALM),
    Case("Node, cluster", node("cluster"), CALM),
    Case("Node, few connections", node("plain"), http(connections=3, concurrency=3, requests=500, think=5)),
)  # fmt: skip

#: Shown, not counted: findings that are advice, limits that the user sets, and what clients alone do.
SHOWN: tuple[Case, ...] = (
    Case("a limit for the largest share", reference("shared", "--workers=4"), CALM, "share-above-limit", thresholds=Thresholds(max_share=0.5)),
    Case("a limit for the queue wait", reference("single", "--work=3000"), http(concurrency=6, think=5), "queue-wait-above-limit", thresholds=Thresholds(max_queue_wait_ns=1_000_000)),
    Case("eight workers, five times the connections that one needs", reference("shared", "--workers=8"), http(rate=40, concurrency=4), "idle-workers"),
    Case("hand-off to another CPU", faulty("crossing"), http(rate=200, concurrency=16), "handoff-across-cpus"),
    Case("clients that connect and wait", reference("shared", "--workers=2"), late_clients, "client-slow"),
    Case("handshakes that never end", inside(4096, "single", "--backlog=64"), both(http(rate=60, concurrency=32), half_open(60)), "syn-queue-pressure"),
)  # fmt: skip

#: Programs that some cases need beyond Python.
NEEDED = {"Nginx": "nginx", "Memcached": "memcached", "Node": "node"}


def can_play(case: Case) -> bool:
    """Whether the programs that a case needs are installed."""
    real = NEEDED.get(case.name.split(":")[0].split(",")[0])
    return real is None or shutil.which(real) is not None
