"""``sockscope completion``: print a completion script for a shell.

The scripts are our own.  shtab 1.13 completes options, file names and values (signals with their attach
methods, findings) in bash as well, if they are set as choices before it is called, but not the words of
COMMAND after ``record --``: 0 candidates for ``-- pyth`` where these scripts give all matching programs.
Its scripts are also longer (307, 314 and 209 lines for bash, zsh and fish; these are 132, 198 and 157).
"""

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

    For bash and zsh, add one of these lines to ~/.bashrc or ~/.zshrc (after compinit):

      source <(sockscope completion bash)
      source <(sockscope completion zsh)

    For fish, add this line to ~/.config/fish/completions/sockscope.fish:

      sockscope completion fish | source
    """

    name = "completion"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("shell", choices=tuple(_WRITERS), metavar="SHELL", help=", ".join(_WRITERS))

    def run(self, args: argparse.Namespace) -> int:
        print(_WRITERS[args.shell](words_of_commands()))
        return 0


#: Metavars of file names, and of a command with its arguments.
_FILES = ("FILE", "PATH")
_COMMANDS = ("COMMAND",)


def words_of_commands() -> dict[str, scripts.Words]:
    """Return the options and values of every command, from its parser."""
    from sockscope.cli import COMMANDS

    known = _kinds()
    found = {}
    for name, module, attribute, summary in COMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        getattr(importlib.import_module(f"sockscope.cli.{module}"), attribute)().prepare(parser)
        options, arguments = [], []
        for action in parser._actions:  # argparse has no public access to added arguments
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
    """Merge the values of all positional arguments: any may be completed anywhere."""
    values = [value for value in arguments if value]
    return scripts.Value(
        tuple(word for value in values for word in value.words),
        any(value.files for value in values),
        any(value.command for value in values),
    )


def _kinds() -> dict[str, tuple[str, ...]]:
    """Return metavar → possible words, where the parser itself does not list them."""
    from sockscope.analysis.findings import FINDINGS
    from sockscope.analysis.severity import SEVERITIES
    from sockscope.tracer.event_sources import SIGNALS
    from sockscope.tracer.selection import OFF

    models = tuple(model.name for model in import_reference_servers("models").MODELS)
    bar = (*SEVERITIES, *(finding.id for finding in FINDINGS))
    methods = [
        f"{signal.name}={method}"
        for signal in SIGNALS
        for method in (*(method.name for method in signal.methods), *((OFF,) if signal.optional else ()))
    ]
    return {
        "MODEL": models,
        "MODEL ...": models,
        "SEVERITY|FINDING": bar,
        "SIGNALS": tuple(signal.name for signal in SIGNALS if signal.optional),
        "SIGNAL=METHOD": tuple(methods),
    }
