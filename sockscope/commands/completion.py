"""``sockscope completion``: what a shell needs to complete command lines."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass, field

_WAYS = {
    "bash": "source <(sockscope completion bash)",
    "zsh": "source <(sockscope completion zsh)",
    "fish": "sockscope completion fish | source",
}


class Completion:
    """Print a script that completes command lines in bash, zsh or fish

    Put one of these into the shell's start file:

      bash, zsh   source <(sockscope completion bash)
      fish        sockscope completion fish | source
    """

    name = "completion"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("shell", choices=tuple(_WAYS), metavar="SHELL", help=", ".join(_WAYS))

    def run(self, args: argparse.Namespace) -> int:
        words = _words()
        print(_fish(words) if args.shell == "fish" else _bash(words, args.shell))
        return 0


@dataclass
class Words:
    """A command with its help, its options, and the values that options and arguments may have."""

    help: str
    options: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    arguments: tuple[str, ...] = ()


def _words() -> dict[str, Words]:
    """Every command as its own parser has it."""
    from sockscope.commands import COMMANDS

    found = {}
    for name, module, attribute, summary in COMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        getattr(importlib.import_module(f"sockscope.commands.{module}"), attribute)().prepare(parser)
        words = found[name] = Words(summary.rstrip("."))
        for action in parser._actions:  # argparse offers no public way to what was added
            choices = tuple(str(choice) for choice in action.choices or ())
            if not action.option_strings:
                words.arguments += choices
                continue
            for option in action.option_strings:
                words.options[option] = action.help or ""
                words.values[option] = choices
                if action.nargs == 0:
                    words.flags.add(option)
        words.options["--help"] = "show the help"
        words.flags.add("--help")
    return found


def _bash(words: dict[str, Words], shell: str) -> str:
    cases, values = [], []
    for name, command in words.items():
        options, arguments = " ".join(command.options), " ".join(command.arguments)
        cases.append(f"    {name}) options='{options}' arguments='{arguments}' ;;")
        values += [
            f"    {name}:{option}) COMPREPLY=($(compgen -W '{' '.join(choices)}' -- \"$word\")); return ;;"
            for option, choices in command.values.items()
            if choices
        ]
    lines = [
        *(["autoload -Uz compinit bashcompinit; compinit; bashcompinit"] if shell == "zsh" else []),
        "_sockscope() {",
        '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" options arguments',
        "  COMPREPLY=()",
        '  if [ "$COMP_CWORD" -eq 1 ]; then',
        f"    COMPREPLY=($(compgen -W '{' '.join(words)} --help --version' -- \"$word\")); return",
        "  fi",
        '  case "${COMP_WORDS[1]}:$before" in',
        *values,
        "  esac",
        '  case "${COMP_WORDS[1]}" in',
        *cases,
        "  esac",
        '  if [[ "$word" == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$word"))',
        '  else COMPREPLY=($(compgen -W "$arguments" -- "$word"))',
        # a file is called what anybody likes: its name is split at lines only, and no pattern
        "    local IFS=$'\\n' patterns=; [[ $- == *f* ]] || patterns=off; set -f",
        '    COMPREPLY+=($(compgen -f -- "$word")); [ -z "$patterns" ] || set +f; fi',
        "}",
        "complete -o filenames -F _sockscope sockscope",
    ]
    return "\n".join(lines)


def _fish(words: dict[str, Words]) -> str:
    lines = ["complete -c sockscope -n __fish_use_subcommand -l version -d 'print the version'"]
    for name, command in words.items():
        lines.append(
            f"complete -c sockscope -f -n __fish_use_subcommand -a {name} -d {_quoted(command.help)}"
        )
        here = f"-n '__fish_seen_subcommand_from {name}'"
        for option, text in command.options.items():
            long = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            needs = "" if option in command.flags else " -r"
            choices = (
                f" -f -a {_quoted(' '.join(command.values.get(option, ())))}"
                if command.values.get(option)
                else ""
            )
            lines.append(f"complete -c sockscope {here} {long}{needs}{choices} -d {_quoted(text)}")
        if command.arguments:
            lines.append(f"complete -c sockscope {here} -f -a {_quoted(' '.join(command.arguments))}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
