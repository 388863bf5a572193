"""The commands: one small file each, one visible list, one place where errors become a line.

Modules are named, not imported: ``--help`` must not pay for what every command needs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import resource
import signal
import sys
import textwrap
from collections.abc import Collection, Sequence
from typing import NoReturn, Protocol

from sockscope.errors import SockscopeError, told_by_the_system
from sockscope.formatting import printable

#: Recording worked from 370 MB on, which is not what is resident (110 MB).
_LEAST_ROOM = 450_000_000


class Command(Protocol):
    """A subcommand.  The first line of its docstring is its help, the rest its description."""

    name: str

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit status."""


#: name → (module, class, help).  A test proves that every module here is listed, and that the
#: help is the first line of the class's docstring.
COMMANDS: tuple[tuple[str, str, str, str], ...] = (
    ("demo", "demo", "Demo", "Trace the five server models under load and tell them apart"),
    ("record", "record", "Record", "Trace servers into a file"),
    ("report", "report", "Report", "Report on a recording, or on those of many hosts"),
    ("live", "live", "Live", "Watch servers in a dashboard"),
    ("replay", "replay", "Replay", "Open a recording in the dashboard"),
    ("check", "check", "Check", "Look for faults, and say by exit status whether there are any"),
    ("export", "export", "Export", "Write a recording as Parquet, CSV, JSON Lines or a timeline"),
    ("sql", "sql", "Sql", "Ask a recording in SQL"),
    ("compare", "compare", "Compare", "Compare recordings: before and after, or several hosts"),
    ("metrics", "metrics", "Metrics", "Serve figures of running servers in the OpenMetrics format"),
    (
        "completion",
        "completion",
        "Completion",
        "Print a script that completes command lines in bash, zsh or fish",
    ),
    ("listeners", "listeners", "Listeners", "Print every listening TCP socket, its queues and who holds it."),
    ("doctor", "doctor", "Doctor", "Say what works on this machine, and what to do about the rest"),
    ("serve", "serve", "Serve", "Run a reference server of one of the five models"),
)


#: A shell has what it starts in the background ignore SIGINT, but a script that sends it means it.
_ENDS = (signal.SIGINT, signal.SIGTERM)


def run(arguments: Sequence[str]) -> int:
    """Run a command line (without the program's name); the exit status."""
    # what can be interrupted at any moment ends like any other Unix tool: quietly, with 130
    before = {number: signal.signal(number, _interrupt) for number in _ENDS}
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs is no reason to fail
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except SockscopeError as error:
        print(f"sockscope: {printable(str(error))}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader (head, less) has gone; do not fail again when Python flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except (MemoryError, ImportError, OSError) as error:
        told = told_by_the_system(error)
        if told is None:
            raise
        print(f"sockscope: {told}", file=sys.stderr)
        with contextlib.suppress(OSError):
            sys.stdout.close()  # else Python tries at exit to write what could not be written
        return told.exit_status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, whatever the words were that it was given."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Help(argparse.RawDescriptionHelpFormatter):
    """Paragraphs as wide as the terminal; what is set apart from the text, an example, as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = re.split(r"\n\s*?\n", text)
        return "\n\n".join(
            textwrap.indent(paragraph, indent)
            if paragraph.startswith(" ")
            else textwrap.fill(
                " ".join(paragraph.split()), width, initial_indent=indent, subsequent_indent=indent
            )
            for paragraph in paragraphs
        )


class _Version(argparse.Action):
    """``--version``: which build this is, found out only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from sockscope.build_info import description

        print(f"sockscope {description()}")
        parser.exit()


def _interrupt(number: int, frame: object) -> None:
    """Either signal ends a command as Ctrl-C does: what was recorded is kept."""
    raise KeyboardInterrupt


def _run(arguments: Sequence[str]) -> int:
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    parser, commands = parser_of({wanted})
    args = parser.parse_args(arguments)
    _need_room()
    return commands[args.command].run(args)


def parser_of(wanted: Collection[str]) -> tuple[argparse.ArgumentParser, dict[str, Command]]:
    """The parser of the whole command line, and the commands in ``wanted``: of these alone it knows the
    arguments, since for that their modules are imported."""
    parser = _Parser(
        prog="sockscope",
        description="Which thread listened, accepted, read and answered each TCP connection, how long each "
        "step waited, and whether the work is shared fairly.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, its commit and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands: dict[str, Command] = {}
    for name, module, attribute, summary in COMMANDS:
        subparser = subparsers.add_parser(name, help=summary)
        if name in wanted:
            commands[name] = getattr(importlib.import_module(f"sockscope.cli.{module}"), attribute)()
            subparser.description = _description(commands[name])
            subparser.formatter_class = _Help
            commands[name].prepare(subparser)
    return parser, commands


def _description(command: Command) -> str:
    """The docstring without its indentation."""
    summary, _, further = (command.__doc__ or "").partition("\n")
    return f"{summary}\n{textwrap.dedent(further)}".strip()


def _need_room() -> None:
    """Below this, libraries that numpy and DuckDB load abort with words of their own, or none.

    :raises SockscopeError: when the address space is limited to less
    """
    room, _ = resource.getrlimit(resource.RLIMIT_AS)
    if room != resource.RLIM_INFINITY and room < _LEAST_ROOM:
        raise SockscopeError(
            f"the address space is limited to {room // 1_000_000} MB, and {_LEAST_ROOM // 1_000_000} are "
            "needed; raise it (ulimit -v)"
        )
