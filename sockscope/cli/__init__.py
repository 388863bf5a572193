"""The commands: one file each, one list, and the one place that prints errors.

Commands are listed by module name and imported on demand: ``--help`` must not import them all.
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

from sockscope.cli.deprecated import replace_renamed_options
from sockscope.cli.log import VARIABLE, configure_logging
from sockscope.errors import SockscopeError, translate_system_error
from sockscope.formatting import printable

#: Address space in bytes below which libraries abort; recording worked from 370 MB on (110 MB resident).
_MIN_ADDRESS_SPACE = 450_000_000


class Command(Protocol):
    """A subcommand; the first line of its docstring is its help, the rest its description."""

    name: str

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command and return the exit status."""


#: name → (module, class, help).  A test proves that every module here is listed, and that the
#: help is the first line of the class's docstring.
COMMANDS: tuple[tuple[str, str, str, str], ...] = (
    ("demo", "demo", "Demo", "Trace reference servers of the five models under load"),
    ("record", "record", "Record", "Trace servers and record to a file"),
    ("report", "report", "Report", "Report on a recording, or on recordings of many hosts"),
    ("live", "live", "Live", "Watch running servers in a terminal dashboard"),
    ("replay", "replay", "Replay", "Open a recording in the dashboard"),
    ("check", "check", "Check", "Check servers for faults; the exit status is the result"),
    ("export", "export", "Export", "Write a recording as Parquet, CSV, JSON Lines or a timeline"),
    ("sql", "sql", "Sql", "Query a recording in SQL"),
    ("compare", "compare", "Compare", "Compare recordings: before and after, or several hosts"),
    ("what-if", "what_if", "WhatIf", "Predict another model, worker count, backlog or load from a recording"),
    ("metrics", "metrics", "Metrics", "Serve metrics of running servers in the OpenMetrics format"),
    (
        "completion",
        "completion",
        "Completion",
        "Print a script that completes command lines in bash, zsh or fish",
    ),
    ("steer", "steer", "Steer", "Steer new connections of a SO_REUSEPORT group by load"),
    ("why", "why", "Why", "Account for the time of a server's threads, and name what blocked them"),
    ("listeners", "listeners", "Listeners", "List listening TCP sockets with their queues and owners"),
    ("doctor", "doctor", "Doctor", "Check what works on this machine, and how to fix the rest"),
    ("serve", "serve", "Serve", "Run a reference server of one of the five models"),
)


#: Handled even if ignored: shells start background jobs with SIGINT ignored, but scripts send it.
_ENDS = (signal.SIGINT, signal.SIGTERM)


def run(arguments: Sequence[str]) -> int:
    """Run a command line (without the program name) and return the exit status."""
    # an interrupt ends a command as it ends other Unix tools: no message, status 130
    before = {number: signal.signal(number, _interrupt) for number in _ENDS}
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal with another encoding is no reason to fail
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
        # the reader (head, less) has exited; do not fail again when Python flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except (MemoryError, ImportError, OSError) as error:
        known = translate_system_error(error)
        if known is None:
            raise
        print(f"sockscope: {known}", file=sys.stderr)
        with contextlib.suppress(OSError):
            sys.stdout.close()  # otherwise Python tries to flush it again at exit
        return known.exit_status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one printable line."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Help(argparse.RawDescriptionHelpFormatter):
    """Wrap paragraphs at the width of the terminal; keep indented ones (examples) as they are."""

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
    """Print the version and the commit, which are determined on demand."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from sockscope.build_info import description

        print(f"sockscope {description()}")
        parser.exit()


def _interrupt(number: int, frame: object) -> None:
    """End a command as Ctrl-C does: what was recorded is kept."""
    raise KeyboardInterrupt


def _run(arguments: Sequence[str]) -> int:
    if not arguments and sys.stdout.isatty():
        from sockscope.cli.start_page import show_start_page

        return show_start_page()
    arguments = replace_renamed_options(arguments)
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    parser, commands = build_parser({wanted})
    args = parser.parse_args(arguments)
    configure_logging(args.verbose)
    _require_address_space()
    return commands[args.command].run(args)


def build_parser(wanted: Collection[str]) -> tuple[argparse.ArgumentParser, dict[str, Command]]:
    """Return the parser of the command line, and the commands in ``wanted``.

    Only the arguments of those commands are known, because that imports their modules.
    """
    parser = _Parser(
        prog="sockscope",
        description="Which thread listened, accepted, read and answered each TCP connection, how long each "
        "step waited, and whether the work is shared fairly.",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help=f"log to stderr (also: {VARIABLE}=debug)"
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
            subparser.add_argument(
                "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="log to stderr"
            )
    return parser, commands


def _description(command: Command) -> str:
    """Return the docstring without its indentation."""
    summary, _, further = (command.__doc__ or "").partition("\n")
    return f"{summary}\n{textwrap.dedent(further)}".strip()


def _require_address_space() -> None:
    """Check the limit of the address space: with less, libraries of numpy and DuckDB abort.

    :raises SockscopeError: when it is too low
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _MIN_ADDRESS_SPACE:
        raise SockscopeError(
            f"the address space is limited to {limit // 1_000_000} MB; {_MIN_ADDRESS_SPACE // 1_000_000} MB are needed",
            hint="raise the limit (ulimit -v)",
        )
