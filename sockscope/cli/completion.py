"""``sockscope completion``: what a shell needs to complete command lines."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

from sockscope.cli import completion_scripts as scripts
from sockscope.cli.reference_servers import import_reference_servers

_WRITERS: dict[str, Callable[[dict[str, scripts.Words]], str]] = {
    "bash": scripts.bash,
    "zsh": scripts.zsh,
    "fish": scripts.fish,
}


class Completion:
    """Print a script that completes command lines in bash, zsh or fish

    bash and zsh take it from a line in ~/.bashrc or ~/.zshrc (there after compinit, if that is called):

      source <(sockscope completion bash)
      source <(sockscope completion zsh)

    fish looks for it in ~/.config/fish/completions/sockscope.fish; put this line there:

      sockscope completion fish | source
    """

    name = "completion"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("shell", choices=tuple(_WRITERS), metavar="SHELL", help=", ".join(_WRITERS))

    def run(self, args: argparse.Namespace) -> int:
        print(_WRITERS[args.shell](words_of_commands()))
        return 0


#: Kinds of values (metavar) that are names of files, and those that are a command with its arguments.
_FILES = ("FILE", "PLACE", "PATH")
_COMMANDS = ("COMMAND",)


def words_of_commands() -> dict[str, scripts.Words]:
    """Every command as its own parser has it."""
    from sockscope.cli import COMMANDS

    known = _kinds()
    found = {}
    for name, module, attribute, summary in COMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        getattr(importlib.import_module(f"sockscope.cli.{module}"), attribute)().prepare(parser)
        options, arguments = [], []
        for action in parser._actions:  # argparse offers no public way to what was added
            value = _value(action, known)
            if action.option_strings:
                options.append(scripts.Option(tuple(action.option_strings), _help(action), value))
            else:
                arguments.append(value)
        options.append(scripts.Option(("-h", "--help"), "show the help", None))
        found[name] = scripts.Words(summary.rstrip("."), tuple(options), _all(arguments))
    return found


def _value(action: argparse.Action, known: dict[str, tuple[str, ...]]) -> scripts.Value | None:
    if action.option_strings and action.nargs == 0:
        return None
    kind = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    words = tuple(str(choice) for choice in action.choices or known.get(kind, ()))
    return scripts.Value(words, kind in _FILES, kind in _COMMANDS, action.nargs == "?")


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _all(arguments: list[scripts.Value | None]) -> scripts.Value:
    """What may stand anywhere behind a command: which argument is which depends on too much."""
    values = [value for value in arguments if value]
    return scripts.Value(
        tuple(word for value in values for word in value.words),
        any(value.files for value in values),
        any(value.command for value in values),
    )


def _kinds() -> dict[str, tuple[str, ...]]:
    """Kind of value → the words of it that there are, where the parser itself does not name them."""
    from sockscope.analysis.findings import FINDINGS, SEVERITIES
    from sockscope.tracer.event_sources import SIGNALS
    from sockscope.tracer.selection import OFF

    models = tuple(model.name for model in import_reference_servers("models").MODELS)
    bar = (*SEVERITIES, *(finding.id for finding in FINDINGS))
    ways = [
        f"{signal.name}={way}"
        for signal in SIGNALS
        for way in (*(way.name for way in signal.ways), *((OFF,) if signal.optional else ()))
    ]
    return {
        "MODEL": models,
        "MODEL ...": models,
        "SEVERITY|FINDING": bar,
        "WHAT": bar,
        "SIGNALS": tuple(signal.name for signal in SIGNALS if signal.optional),
        "NAME=WAY": tuple(ways),
    }
