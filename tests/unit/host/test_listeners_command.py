"""The command ``listeners``: what it prints."""

from __future__ import annotations

import argparse
import json
import socket
import textwrap
from dataclasses import asdict, replace

import pytest

from sockscope.cli import COMMANDS
from sockscope.cli import listeners as module
from sockscope.cli.listeners import Listeners, text
from sockscope.errors import UsageError
from sockscope.host.overview import Listening, NotVisible, Overview, Owner
from sockscope.host.requested_backlog import requested_backlog
from sockscope.records.batch import HostCounters

NOTHING_HIDDEN = NotVisible(0, 0, (), (), 0)


def holder(pid: int, comm: str) -> Owner:
    return Owner(pid, comm, f"/usr/sbin/{comm} -g", "", (6,))


NGINX = tuple(holder(pid, "nginx") for pid in (812, 813, 814))
WEB = Listening(
    4026531840, "own", 31001, "0.0.0.0", 80, "ipv4", 1, 3, 511, requested_backlog(511, 4096), 2, 17, 0, NGINX
)  # fmt: skip
SEEN = Overview(
    time_ns=1_700_000_000_000_000_000,
    own=4026531840,
    names={4026531840: "own", 4026532208: "blue"},
    listeners=(
        WEB,
        *(
            replace(
                WEB, inode=31002 + at, port=8080, address="::", family="ipv6", group=3, queue=at,
                backlog=4096, requested_backlog=requested_backlog(4096, 4096), syn_queue=5, drops=at,
                owners=(holder(900 + at, "gunicorn"),),
            )
            for at in range(3)
        ),
        replace(WEB, inode=31009, port=9999, owners=(), uid=4_000_000_000),
        replace(
            WEB, netns=4026532208, netns_name="blue", inode=32000, port=443, family="ipv6",
            address="2001:db8:85a3:1234:5678:8a2e:370:7334", owners=(holder(77, "\x1b[31mred"),),
        ),
    ),
    hosts=(HostCounters(4026531840, 12, 14, 4096, 1), HostCounters(4026532208, 0, 0, 128, 0)),
    unseen=NotVisible(113, 110, ("green", "\x07bell"), ("/proc hides other users' processes (hidepid)",), 1),
)  # fmt: skip


def test_eighty_columns_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 1000)
    expected = """\
        LISTENER                QUEUE  LIMIT  ASKED  SYN  DROPS  OWNERS
        0.0.0.0:80                  3    511    511    2     17  nginx 812 (x3)
        [::]:8080 reuseport x3      3                  5      3
          inode 31002               0   4096  4096+           0  gunicorn 900
          inode 31003               1   4096  4096+           1  gunicorn 901
          inode 31004               2   4096  4096+           2  gunicorn 902
        0.0.0.0:9999                3    511    511    2     17  (user 4000000000)
        ListenOverflows 12, ListenDrops 14, SyncookiesSent 1, somaxconn 4096

        network namespace blue (4026532208):
        LISTENER                QUEUE  LIMIT  ASKED  SYN  DROPS  OWNERS
        [2001:db8:85a3:1234:5678:8a2e:370:7334]:443
                                    3    511    511    2     17  �[31mred 77
        ListenOverflows 0, ListenDrops 0, SyncookiesSent 0, somaxconn 128

        ASKED 128+ means 128 or more: net.core.somaxconn may have limited it.
        Not visible: the owners of 1 listeners; the descriptors of 113 processes; the
        network namespaces of 110 processes; network namespace green, �bell (root sees
        more). /proc hides other users' processes (hidepid)."""
    shown = text(SEEN, 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert shown == textwrap.dedent(expected)


@pytest.mark.parametrize("width", [40, 50, 60, 72, 80, 120, 1 << 16])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_lost(width: int) -> None:
    shown = text(SEEN, width)
    assert all(len(line) <= width for line in shown.splitlines())
    if width >= 50:
        rows = [line.split() for line in shown.splitlines()]
        assert any(row[:1] == ["0.0.0.0:80"] and row[1:6] == ["3", "511", "511", "2", "17"] for row in rows)
        assert "…" not in shown


def test_names_cannot_write_to_the_terminal() -> None:
    assert all(sign.isprintable() or sign == "\n" for sign in text(SEEN, 80))


def test_when_all_was_seen_it_says_so() -> None:
    seen = replace(SEEN, listeners=(), hosts=SEEN.hosts[:1], names={4026531840: "own"}, unseen=NOTHING_HIDDEN)
    assert text(seen, 80).splitlines() == [
        "No listening sockets.",
        "ListenOverflows 12, ListenDrops 14, SyncookiesSent 1, somaxconn 4096",
        "",
        "All processes and network namespaces were visible.",
    ]


def test_a_namespace_where_nobody_listens_is_not_shown_beside_others() -> None:
    seen = replace(SEEN, listeners=SEEN.listeners[:1])
    assert "blue" not in text(seen, 80)
    alone = replace(SEEN, listeners=(), hosts=SEEN.hosts[1:], names={4026532208: "blue"})
    assert text(alone, 80).startswith("network namespace blue (4026532208):\nNo listening sockets.\n")


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    Listeners().prepare(parser)
    return parser.parse_args(words)


def test_json_has_every_key_that_the_help_promises(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert Listeners().run(arguments("--port", str(port), "--format", "json")) == 0
    told = json.loads(capsys.readouterr().out)
    described = Listeners.__doc__ or ""
    (mine,) = (it for it in told["listeners"] if it["netns"] == told["own"])
    for keys in (told, mine, mine["requested_backlog"], mine["owners"][0], told["hosts"][0], told["unseen"]):
        for key in keys:
            if key not in map(str, (told["names"], told["own"])):
                assert key in described, key
    assert (mine["address"], mine["port"]) == ("127.0.0.1", port)


def test_json_survives_every_name() -> None:
    assert json.loads(json.dumps(asdict(SEEN)))["listeners"][-1]["owners"][0]["comm"] == "\x1b[31mred"


@pytest.mark.parametrize(
    "words",
    [("--port", "0"), ("--port", "65536"), ("--watch", "x"), ("--watch", "0"), ("--netns", "nowhere")],
)
def test_what_cannot_be_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Listeners().run(arguments(*words))


def test_a_watch_looks_again_until_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert Listeners().run(arguments("--watch", "500ms", "--format", "json", "--port", "1")) == 0
    assert pauses == [0.5] * 3
    assert [json.loads(line)["listeners"] for line in capsys.readouterr().out.splitlines()] == [[]] * 3


def test_the_list_of_commands_has_it_with_its_own_words() -> None:
    (listed,) = (row for row in COMMANDS if row[0] == Listeners.name)
    assert listed[1:3] == ("listeners", "Listeners")
    assert (Listeners.__doc__ or "").splitlines()[0] == listed[3]
