"""Former option names still work, with one line on stderr; words of another command are left alone."""

from __future__ import annotations

import pytest

from sockscope.cli import COMMANDS, build_parser
from sockscope.cli.deprecated import RENAMED, replace_renamed_options


@pytest.mark.parametrize(
    ("command", "former", "option"),
    [(command, former, option) for command, names in RENAMED.items() for former, option in names.items()],
)
def test_a_former_option_is_replaced_with_one_line(
    command: str, former: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replace_renamed_options([command, former, "x"]) == [command, option, "x"]
    assert replace_renamed_options([command, f"{former}=x"]) == [command, f"{option}=x"]
    line = f"sockscope: {former} is deprecated; use {option}\n"
    assert capsys.readouterr().err == line * 2
    parser, _ = build_parser({command})
    (commands,) = [action for action in parser._actions if action.dest == "command"]
    known = commands.choices[command]._option_string_actions  # type: ignore[index, call-overload]
    assert option in known
    assert former not in known or former in RENAMED[command].values()


def test_words_after_the_separator_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["record", "-o", "x", "--", "server", "--detail", "--ring=5m"]
    assert replace_renamed_options(words) == words
    assert capsys.readouterr().err == ""


def test_only_existing_commands_have_renamed_options() -> None:
    assert RENAMED.keys() <= {name for name, *_ in COMMANDS}
