"""Progress on a terminal: one line that is replaced, and nothing in a file or pipe."""

from __future__ import annotations

import io
import os

import pytest

from sockscope.cli.status_line import StatusLine, format_progress

SECOND = 10**9


class Terminal(io.StringIO):
    """A stream that is a terminal, but not the controlling one."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("no descriptor")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    return Terminal()


def test_each_update_replaces_the_line_and_the_end_erases_it(terminal: Terminal) -> None:
    with StatusLine(terminal) as status:
        status.update("first")
        status.update("second")
    assert terminal.getvalue() == "\r\033[Kfirst\r\033[Ksecond\r\033[K"


def test_a_line_is_cut_at_the_width_and_has_no_control_characters(terminal: Terminal) -> None:
    StatusLine(terminal).update("\x1b[2J" + "x" * 100)
    shown = terminal.getvalue().removeprefix("\r\033[K")
    assert len(shown) == 29
    assert shown.isprintable()


def test_the_line_is_erased_before_an_error_message(terminal: Terminal) -> None:
    def fail() -> None:
        with StatusLine(terminal) as status:
            status.update("tracing")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert terminal.getvalue().endswith("\r\033[K")


@pytest.mark.parametrize(
    ("stream", "term", "enabled"),
    [(io.StringIO, "xterm", True), (Terminal, "dumb", True), (Terminal, "xterm", False)],
    ids=["pipe", "dumb terminal", "disabled"],
)
def test_nothing_is_printed_where_a_line_cannot_be_replaced(
    stream: type[io.StringIO], term: str, enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    output = stream()
    with StatusLine(output, enabled=enabled) as status:
        status.update("tracing")
    assert output.getvalue() == ""


def test_a_background_process_does_not_write_progress(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    StatusLine(terminal).update("tracing")
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("elapsed_ns", "duration_ns", "text"),
    [
        (12 * SECOND, 30 * SECOND, "0:12 of 0:30, 0:18 left"),
        (31 * SECOND, 30 * SECOND, "0:31 of 0:30, 0:00 left"),
        (65 * SECOND, None, "1:05"),
        (7209 * SECOND, None, "2:00:09"),
    ],
)
def test_progress_is_elapsed_time_duration_and_time_left(
    elapsed_ns: int, duration_ns: int | None, text: str
) -> None:
    assert format_progress(elapsed_ns, duration_ns) == text
