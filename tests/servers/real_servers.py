"""Real servers, as distributions and registries ship them: how each is started, and what it is.

Every entry is a fact about a server that its own documentation or source tells; nothing in
sockscope knows these names.  ``python -m tests.servers.table_of_servers`` makes docs/servers.md of
them and of what the tests see.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import real_clients as clients

HERE = Path(__file__).parent


class MissingError(Exception):
    """A package that this server needs is not installed."""


@dataclass(frozen=True)
class Real:
    """A server, and its true way of working.

    ``prepare`` writes its files into a directory of its own and gives the command that runs it in
    the foreground.  ``packages`` are Debian's.
    """

    name: str
    software: str
    how: str
    packages: tuple[str, ...]
    version: tuple[str, ...]
    prepare: Callable[[Path, int], list[str]]
    model: str
    handoff: str = "none"
    roaming: bool = False
    talk: clients.Talk = clients.http
    remark: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    #: set where the server's own threads are chosen by chance (a runtime's scheduler)
    may_roam: bool = False
    #: how many at full rate; fewer where each costs a process
    connections: int = 200
    #: clients with an address each: OpenSSH since 9.8 refuses one that came and went without logging in
    spread: bool = False


@dataclass
class Started:
    """A running server."""

    real: Real
    port: int
    process: subprocess.Popen[bytes]
    place: Path

    def pids(self) -> list[int]:
        """Its process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += [int(word) for word in task.read_text().split()]
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """From the kernel's table: asking by connecting would put a connection into the record."""
    wanted = f":{port:04X} "
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines():
            fields = line.split()
            if fields[1].endswith(wanted.strip()) and fields[3] == "0A":
                return True
    return False


@contextlib.contextmanager
def running(real: Real, port: int = 0) -> Iterator[Started]:
    """The server, from the moment it listens until all of it has ended."""
    port = port or free_port()
    place = Path(tempfile.mkdtemp(prefix="sockscope-real-"))
    place.chmod(0o755)  # servers give up root and still must reach their files
    try:
        command = real.prepare(place, port)
        with open(place / "output.txt", "wb") as output:
            process = subprocess.Popen(
                command,
                cwd=place,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **real.environment},
            )
        try:
            _until_ready(process, port, place)
            yield Started(real, port, process, place)
        finally:
            _end(process)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _until_ready(process: subprocess.Popen[bytes], port: int, place: Path) -> None:
    deadline = time.monotonic() + 30
    while not is_listening(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{process.args} does not listen: {(place / 'output.txt').read_text()}")
        time.sleep(0.02)
    _until_settled(process.pid)


def _until_settled(pid: int) -> None:
    """Until it has started no further thread or process for a while."""
    before, since = -1, time.monotonic()
    deadline = since + 10
    while time.monotonic() < min(since + 0.25, deadline):
        count = 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    if os.getpgid(int(entry.name)) == pid:
                        count += len(list((entry / "task").iterdir()))
        if count != before:
            before, since = count, time.monotonic()
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop; what is left of its own session is killed."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def version_of(real: Real) -> str:
    """What the server says of itself: the first number with a dot in it."""
    done = subprocess.run(real.version, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"\d+(?:\.\d+)+\w*", done.stdout + done.stderr)
    return found[0] if found else ""


def program(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise MissingError(name)
    return path


def is_there(real: Real) -> bool:
    try:
        program(real.version[0])
        done = subprocess.run(real.version, capture_output=True, timeout=60, check=False)
    except MissingError:
        return False
    return done.returncode in (0, 1)


# -- nginx -----------------------------------------------------------------------------------------


def _nginx(events: str, listen: str) -> Callable[[Path, int], list[str]]:
    def prepare(place: Path, port: int) -> list[str]:
        (place / "nginx.conf").write_text(
            f"""daemon off; user root; worker_processes 2; pid {place}/pid; error_log {place}/error.log;
            events {{ worker_connections 1024; {events} }}
            http {{ access_log off; keepalive_requests 1000000;
              client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
              uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
              server {{ listen 127.0.0.1:{port} {listen}; location / {{ return 200 "hello\\n"; }} }} }}"""
        )
        return [program("nginx"), "-c", str(place / "nginx.conf"), "-p", str(place)]

    return prepare


def _nginx_entry(name: str, how: str, model: str, events: str, listen: str, remark: str = "") -> Real:
    return Real(
        name, "Nginx", how, ("nginx-light",), ("nginx", "-v"), _nginx(events, listen), model, remark=remark
    )  # fmt: skip


# -- Apache ----------------------------------------------------------------------------------------


def _apache(mpm: str, more: str) -> Callable[[Path, int], list[str]]:
    def prepare(place: Path, port: int) -> list[str]:
        modules = Path("/usr/lib/apache2/modules")
        (place / "www").mkdir()
        (place / "www" / "index.html").write_text("hello\n")
        wanted = (f"mpm_{mpm}", "authz_core", "dir", "mime")
        loads = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in wanted)
        (place / "types").write_text("text/html html\n")
        (place / "httpd.conf").write_text(
            f"""{loads}
            ServerRoot {place}
            ServerName localhost
            Listen 127.0.0.1:{port}
            PidFile {place}/pid
            DefaultRuntimeDir {place}
            ErrorLog {place}/error.log
            User www-data
            Group www-data
            DocumentRoot {place}/www
            DirectoryIndex index.html
            TypesConfig {place}/types
            MaxKeepAliveRequests 0
            {more}
            """
        )
        return [program("apache2"), "-f", str(place / "httpd.conf"), "-D", "FOREGROUND"]

    return prepare


_THREADS = """StartServers 2
ServerLimit 2
ThreadsPerChild 32
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64"""


def _apache_entry(name: str, how: str, prepare: Callable[[Path, int], list[str]], *model: object) -> Real:
    return Real(
        name, "Apache", how, ("apache2",), ("apache2", "-v"), prepare, *model,  # type: ignore[arg-type]
        remark="accepts once the request has arrived (TCP_DEFER_ACCEPT)",
    )  # fmt: skip


# -- Node ------------------------------------------------------------------------------------------


def _node(policy: str) -> Callable[[Path, int], list[str]]:
    def prepare(place: Path, port: int) -> list[str]:
        (place / "data").write_text("hello\n")
        serve = f"""
            const fs = require('fs');
            require('http').createServer((request, response) => {{
              fs.readFile('{place}/data', (error, data) => response.end(data)); // by the helper pool
            }}).listen({{port: {port}, host: '127.0.0.1'}});"""
        if policy:
            serve = f"""
            const cluster = require('cluster');
            cluster.schedulingPolicy = cluster.{policy};
            if (cluster.isPrimary) {{ cluster.fork(); cluster.fork(); cluster.fork(); }} else {{ {serve} }}"""
        (place / "server.js").write_text(serve)
        return [program("node"), str(place / "server.js")]

    return prepare


def _node_entry(name: str, how: str, policy: str, model: str, handoff: str, remark: str) -> Real:
    return Real(
        name, "Node", how, ("nodejs",), ("node", "--version"), _node(policy), model, handoff, remark=remark
    )  # fmt: skip


# -- Python ----------------------------------------------------------------------------------------

_WSGI = """
def application(environment, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\\n"]
"""
_ASGI = """
async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"6")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello\\n"})
"""


def _python(text: str, *words: str) -> Callable[[Path, int], list[str]]:
    """``words`` with PORT filled in, beside an ``app.py`` of ``text``."""

    def prepare(place: Path, port: int) -> list[str]:
        (place / "app.py").write_text(text)
        first, *rest = (word.replace("PORT", str(port)) for word in words)
        return [sys.executable if first == "python" else program(first), *rest]

    return prepare


_SOCKETSERVER = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\\n")
    def log_message(self, *words):
        pass
class Server(socketserver.KIND, http.server.HTTPServer):
    request_queue_size = 256
    daemon_threads = True
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


# -- others ----------------------------------------------------------------------------------------


def _memcached(place: Path, port: int) -> list[str]:
    return [program("memcached"), "-t", "4", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0"]


def _redis(*more: str) -> Callable[[Path, int], list[str]]:
    def prepare(place: Path, port: int) -> list[str]:
        words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(place), *more]
        return [program("redis-server"), *words]

    return prepare


def _lighttpd(workers: int) -> Callable[[Path, int], list[str]]:
    def prepare(place: Path, port: int) -> list[str]:
        (place / "www").mkdir()
        (place / "www" / "index.html").write_text("hello\n")
        (place / "lighttpd.conf").write_text(
            f"""server.document-root = "{place}/www"
            server.port = {port}
            server.bind = "127.0.0.1"
            server.max-worker = {workers}
            server.max-keep-alive-requests = 1000
            index-file.names = ("index.html")
            """
        )
        return [program("lighttpd"), "-D", "-f", str(place / "lighttpd.conf")]

    return prepare


def _haproxy(place: Path, port: int) -> list[str]:
    (place / "haproxy.cfg").write_text(
        f"""global
    nbthread 2
defaults
    mode http
    timeout client 10s
    timeout http-keep-alive 10s
frontend front
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string hello
"""
    )
    return [program("haproxy"), "-db", "-f", str(place / "haproxy.cfg")]


def _postgresql(place: Path, port: int) -> list[str]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise MissingError("postgres")
    shutil.chown(place, "postgres", "postgres")
    as_postgres = [program("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = place / "data"
    initdb = [*as_postgres, str(found[-1].parent / "initdb"), "-D", str(data), "-A", "trust", "--no-sync"]
    initdb += ["-U", "postgres"]
    subprocess.run(initdb, check=True, capture_output=True, timeout=60, cwd=place)
    return [
        *as_postgres, str(found[-1]), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(place),
        "-c", "fsync=off", "-c", "max_connections=50",
    ]  # fmt: skip


def _sshd(place: Path, port: int) -> list[str]:
    key = place / "key"
    keygen = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(keygen, check=True, timeout=20)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    config = place / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile {place}/pid\n"
        "MaxStartups 1000\nUsePAM no\nUseDNS no\n"
    )
    return [program("sshd"), "-D", "-e", "-f", str(config)]


def _dnsmasq(place: Path, port: int) -> list[str]:
    return [
        program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root",
        f"--pid-file={place}/pid", "--address=/name.test/127.0.0.9",
    ]  # fmt: skip


def _caddy(place: Path, port: int) -> list[str]:
    (place / "Caddyfile").write_text(
        f"{{\n\tadmin off\n\tauto_https off\n}}\n"
        f'http://127.0.0.1:{port}, http://localhost:{port} {{\n\tbind 127.0.0.1\n\trespond "hello"\n}}\n'
    )
    return [program("caddy"), "run", "--config", str(place / "Caddyfile"), "--adapter", "caddyfile"]


def _puma(place: Path, port: int) -> list[str]:
    (place / "config.ru").write_text(
        'run ->(environment) { [200, {"content-type" => "text/plain", "content-length" => "6"}, ["hello\\n"]] }\n'
    )
    words = ["-b", f"tcp://127.0.0.1:{port}", "-t", "3:3", "-w", "2", "-e", "production"]
    return [program("puma"), *words, str(place / "config.ru")]


def _java(place: Path, port: int) -> list[str]:
    compiled = [program("javac"), "-nowarn", "-d", str(place), str(HERE / "HttpPool.java")]
    subprocess.run(compiled, check=True, timeout=60, capture_output=True)
    flags = ["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m"]
    # without it the JDK's server lets Nagle's algorithm delay every answer by 40 ms
    return [
        program("java"),
        *flags,
        "-Dsun.net.httpserver.nodelay=true",
        "-cp",
        str(place),
        "HttpPool",
        str(port),
        "4",
    ]


def _polling(place: Path, port: int) -> list[str]:
    binary = place / "polling_dispatch"
    subprocess.run(
        [program("gcc"), "-O2", "-pthread", "-o", str(binary), str(HERE / "polling_dispatch.c")],
        check=True, timeout=60,
    )  # fmt: skip
    return [str(binary), str(port), "3"]


_PYTHON_VERSION = (sys.executable, "--version")

REAL: tuple[Real, ...] = (
    _nginx_entry("nginx", "worker_processes 2", "shared", "", ""),
    _nginx_entry("nginx-accept-mutex", "worker_processes 2, accept_mutex on", "shared", "accept_mutex on;", ""),
    _nginx_entry(
        "nginx-reuseport", "worker_processes 2, listen … reuseport", "reuseport", "", "reuseport",
        "every process holds every socket; only what is accepted from counts",
    ),
    _apache_entry(
        "apache-prefork", "mpm_prefork, 4 processes",
        _apache("prefork", "StartServers 4\nServerLimit 4\nMaxRequestWorkers 4"), "shared",
    ),
    _apache_entry("apache-worker", "mpm_worker, 2 × 32 threads", _apache("worker", _THREADS), "shared+handoff", "thread"),
    Real(
        "apache-event", "Apache", "mpm_event, 2 × 32 threads", ("apache2",), ("apache2", "-v"),
        _apache("event", _THREADS), "shared+handoff", "thread", roaming=True,
        remark="between requests a connection goes back to the listener thread, and on to any worker",
    ),
    Real(
        "memcached", "Memcached", "-t 4", ("memcached",), ("memcached", "-V"), _memcached, "handoff", "thread",
        talk=clients.memcached,
    ),
    Real(
        "redis", "Redis", "as it comes", ("redis-server",), ("redis-server", "--version"), _redis(), "single",
        talk=clients.redis,
    ),
    _node_entry(
        "node", "http.createServer, files read by its helper pool", "", "single", "none",
        "the helper pool is woken for every file, and is no dispatch: it is not what answers",
    ),
    _node_entry(
        "node-cluster-rr", "cluster, 3 workers, SCHED_RR", "SCHED_RR", "handoff", "process",
        "the primary passes each connection's descriptor to a worker",
    ),
    _node_entry("node-cluster-none", "cluster, 3 workers, SCHED_NONE", "SCHED_NONE", "shared", "none", ""),
    Real(
        "waitress", "waitress", "4 threads", ("python3-waitress",),
        ("/usr/bin/python3", "-c", "import importlib.metadata as m; print(m.version('waitress'))"),
        _python(_WSGI, "/usr/bin/python3", "-m", "waitress", "--listen=127.0.0.1:PORT", "--threads=4", "app:application"),
        "dispatch", "request",
    ),
    Real(
        "gunicorn-sync", "gunicorn", "3 sync workers", ("gunicorn",), ("gunicorn", "--version"),
        _python(_WSGI, "gunicorn", "-w", "3", "-b", "127.0.0.1:PORT", "app:application"), "shared",
        talk=clients.http_once,
    ),
    Real(
        "gunicorn-gthread", "gunicorn", "2 gthread workers × 3 threads", ("gunicorn",), ("gunicorn", "--version"),
        _python(_WSGI, "gunicorn", "-k", "gthread", "-w", "2", "--threads", "3", "-b", "127.0.0.1:PORT", "app:application"),
        "shared+handoff", "thread", roaming=True,
    ),
    Real(
        "uvicorn", "uvicorn", "--workers 2", ("uvicorn",), ("uvicorn", "--version"),
        _python(_ASGI, "uvicorn", "--workers", "2", "--port", "PORT", "--log-level", "warning", "app:application"),
        "shared",
    ),
    Real(
        "threading-server", "Python socketserver", "ThreadingMixIn: a thread per connection", (), _PYTHON_VERSION,
        _python(_SOCKETSERVER.replace("KIND", "ThreadingMixIn"), "python", "app.py", "PORT"), "handoff", "thread",
    ),
    Real(
        "forking-server", "Python socketserver", "ForkingMixIn: a process per connection", (), _PYTHON_VERSION,
        _python(_SOCKETSERVER.replace("KIND", "ForkingMixIn"), "python", "app.py", "PORT"), "handoff", "fork", connections=80,
    ),
    Real(
        "puma", "Puma", "2 workers × 3 threads", ("puma",), ("puma", "--version"), _puma, "shared+handoff", "thread",
        may_roam=True,
    ),
    Real(
        "lighttpd", "lighttpd", "as it comes", ("lighttpd",), ("lighttpd", "-v"), _lighttpd(0), "single",
    ),
    Real(
        "lighttpd-workers", "lighttpd", "server.max-worker = 2", ("lighttpd",), ("lighttpd", "-v"), _lighttpd(2), "shared",
    ),
    Real("haproxy", "HAProxy", "nbthread 2", ("haproxy",), ("haproxy", "-v"), _haproxy, "shared+handoff", "thread"),
    Real(
        "postgresql", "PostgreSQL", "as it comes: a process per connection", ("postgresql",), ("psql", "--version"),
        _postgresql, "handoff", "fork", connections=80, talk=clients.postgresql,
    ),
    Real(
        "sshd", "OpenSSH", "sshd -D", ("openssh-server",), ("ssh", "-V"), _sshd, "handoff", "fork", connections=60, talk=clients.ssh, spread=True,
    ),
    Real(
        "dnsmasq", "dnsmasq", "DNS over TCP: a process per connection", ("dnsmasq-base",), ("dnsmasq", "--version"),
        _dnsmasq, "handoff", "fork", talk=clients.dns,
    ),
    Real(
        "java-pool", "JDK", "com.sun.net.httpserver, pool of 4 threads", ("default-jdk-headless",), ("java", "-version"),
        _java, "handoff", "thread", roaming=True,
    ),
    Real(
        "caddy", "Caddy (Go)", "caddy run", ("caddy",), ("caddy", "version"), _caddy, "shared+handoff", "thread",
        roaming=True, environment={"HOME": "/tmp", "GOMAXPROCS": "4"},
        remark="goroutines run on whichever thread is free",
    ),
    Real(
        "polling-dispatch", "RAMCloud's shape (gcc)", "a polling dispatch thread, 3 workers that spin", ("gcc",),
        ("gcc", "--version"), _polling, "dispatch", "request", talk=clients.echo,
        remark="workers that spin are woken by nobody: late answers and their CPU time tell of them",
    ),
)  # fmt: skip
