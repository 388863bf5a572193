"""Whatever is typed: an answer, or one clear line; exit status 0, 1, 2 or 3; never a traceback."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import servers.__main__
from sockscope.cli import COMMANDS, build_parser, run
from sockscope.errors import SockscopeError
from sockscope.session import live
from tests.packages.building import ROOT

_RECORDING = ROOT / "docs" / "recordings" / "straggler.sockscope"
_VALUES = (
    "0", "1", "-1", "80", "65536", "1e9", "nan", "10s", "200ms", "1h", "", " ", "nobody", "no/such/file", "/dev/null",
    "/", ".", "text", "json", "html", "warning", "accept=off", "read=tracepoint", "connections=1", "x=y", "=", "--",
    "SELECT 1", "SELECT", "a\nb", "\x1b[31m", "é", "\udcff", "9" * 30, "127.0.0.1:0", "[::1]:x", "single", "out.file",
    str(_RECORDING),
)  # fmt: skip
#: These begin something that goes on until it is stopped, which is not what is tried here.
_ENDLESS = {"--web", "--watch"}


def _options(name: str) -> list[str]:
    parser, _ = build_parser({name})
    (action,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    found = [word for one in action.choices[name]._actions for word in one.option_strings]
    return [word for word in found if word not in _ENDLESS]


@st.composite
def _command_line(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from([command[0] for command in COMMANDS]))
    values = st.one_of(st.sampled_from(_VALUES), st.text(max_size=8))
    words = st.one_of(values, st.sampled_from(_options(name)), values.map(lambda value: f"--port={value}"))
    given_words = draw(st.lists(words, max_size=6))
    if any(word.startswith(endless) for word in given_words for endless in _ENDLESS):
        given_words = []
    recording = [str(_RECORDING)] if draw(st.booleans()) else []
    return draw(st.sampled_from([[name], [name, name], []])) + recording + given_words


@pytest.fixture
def nothing_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What would trace, serve or start something says that it would have."""

    def refuse(*_: object, **__: object) -> None:
        raise SockscopeError("this would begin now; it is only tried whether it would")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live.LiveSession, "__init__", refuse)
    monkeypatch.setattr(servers, "start", refuse)
    monkeypatch.setattr(servers.__main__, "main", refuse)
    monkeypatch.setattr("sockscope.session.child.Child.__init__", refuse)
    monkeypatch.setattr("sockscope.export.metrics_server.Endpoint.__init__", refuse)
    monkeypatch.setattr("sockscope.tracer.source.KernelSource.__init__", refuse)


@pytest.mark.parametrize("many", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_any_words_end_in_an_answer_or_one_line(
    many: int, nothing_begins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    @settings(max_examples=many, deadline=None, derandomize=many < 100, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(_command_line())
    def typed(words: list[str]) -> None:
        capsys.readouterr()
        try:
            status = run(words)
        except SystemExit as left:
            status = int(left.code or 0)
        said = capsys.readouterr().err
        assert status in (0, 1, 2, 3), words
        assert "Traceback" not in said
        if status in (1, 2) and said:
            lines = [line for line in said.splitlines() if not line.startswith(("usage: ", " "))]
            assert len(lines) == 1 or words[:1] == ["doctor"], (words, said)
            assert all(sign.isprintable() for sign in lines[0]), (words, said)

    typed()
