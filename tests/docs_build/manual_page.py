"""Generate the manual page from the parsers of the commands: ``make man``.

Names, usage, options and descriptions are those of ``--help``; only the sections at the end are written here.
argparse-manpage is not used because it takes the wrapped text of ``--help``: paragraphs are lost, and the page
differs between versions of Python.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from sockscope.cli import COMMANDS, build_parser
from sockscope.version import __version__

PAGE = Path(__file__).resolve().parents[2] / "docs" / "man" / "sockscope.1"

_NAME = "which thread listened, accepted, read and answered each TCP connection"

_END = r"""
.SH EXIT STATUS
.TP
.B 0
Success.
.TP
.B 1
Failure; one line on standard error gives the reason and a hint.
.TP
.B 2
Invalid usage.
.TP
.B 3
.B sockscope check
reported findings.
.TP
.B 4
.B sockscope check
could not tell.
.TP
.B 130
Interrupted.
.PP
.B sockscope record
with a command exits with the status of that command.
.SH ENVIRONMENT
.TP
.B SOCKSCOPE_LOG
Log level, such as
.B debug
or
.BR info .
.SH FILES
.TP
.I /var/cache/sockscope
Cache of compiled probes: only the first start on a kernel compiles them. It can be deleted.
.TP
.I FILE.sockscope
A recording: a DuckDB database. While it is written, and after a crash,
.I FILE.sockscope.wal
is next to it and contains the last seconds. Keep both together.
.SH EXAMPLES
Trace port 443 in the dashboard:
.PP
.RS 4
.EX
sudo sockscope live \-\-port 443
.EE
.RE
.PP
Record 30 seconds and write a report:
.PP
.RS 4
.EX
sudo sockscope record \-o slow.sockscope \-d 30s \-\-port 443
sockscope report slow.sockscope \-\-format html \-o slow.html
.EE
.RE
.PP
Count the connections per acceptor:
.PP
.RS 4
.EX
sockscope sql slow.sockscope "SELECT acceptor_tid, count(*) FROM connections GROUP BY ALL"
.EE
.RE
.PP
Compare recordings from before and after a change:
.PP
.RS 4
.EX
sockscope compare before.sockscope after.sockscope
.EE
.RE
.PP
Predict another setup from a recording:
.PP
.RS 4
.EX
sockscope what-if slow.sockscope --model reuseport --workers 8
.EE
.RE
.SH SEE ALSO
.BR ss (8),
.BR tcp (7),
.BR socket (7),
.BR listen (2),
.BR accept (2),
.BR bpf (2)
"""


def page() -> str:
    """Return the page as roff."""
    return "\n".join(_lines()).rstrip() + "\n"


def escaped(text: str) -> str:
    """Escape text so that roff does not interpret it."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga")
    text = "".join(sign if sign.isascii() else f"\\[u{ord(sign):04X}]" for sign in text)
    return re.sub(r"^(['.])", r"\\&\1", text, flags=re.M)


def _lines() -> Iterator[str]:
    parser, commands = build_parser([name for name, *_ in COMMANDS])
    yield '.\\" Generated from the parsers of the commands by tests/docs_build/manual_page.py: run "make man".'
    yield f'.TH SOCKSCOPE 1 "" "sockscope {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"sockscope \\- {escaped(_NAME)}"
    yield ".SH SYNOPSIS"
    for name in commands:
        yield ".br"
        yield f".B sockscope {name}"
        yield "…".replace("…", r"\[u2026]")
    yield ".SH DESCRIPTION"
    yield escaped(parser.description or "")
    yield ".SH COMMANDS"
    (subparsers,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    for name, _, _, summary in COMMANDS:
        yield from _command(name, summary, subparsers.choices[name])
    yield _END.strip()


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f".SS {name}"
    yield f"{escaped(summary.rstrip('.'))}."
    _, _, further = cleandoc(parser.description or "").partition("\n")
    for paragraph in re.split(r"\n\s*\n", further.strip()) if further.strip() else []:
        yield ".PP"
        if paragraph.startswith(" "):  # set apart from the text: an example
            yield from (".RS 4", ".EX", escaped(cleandoc(paragraph)), ".EE", ".RE")
        else:
            yield escaped(" ".join(paragraph.split()))
    yield ".PP"
    yield f".B sockscope {name}"
    yield " ".join(
        _usage(action) for action in parser._actions if not isinstance(action, argparse._HelpAction)
    )
    for action in parser._actions:
        if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            yield ".TP"
            yield ", ".join(_names(action))
            yield escaped(_help(action))


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        word = f"\\fI{escaped(_metavar(action))}\\fR"
        return f"[{word}\\ ...]" if action.nargs == "*" else f"{word}\\ ..." if action.nargs == "+" else word
    usage = f"\\fB{escaped(action.option_strings[0])}\\fR"
    if action.nargs != 0:
        usage += f"\\ \\fI{escaped(_metavar(action))}\\fR"
    return usage if action.required else f"[{usage}]"


def _names(action: argparse.Action) -> Iterator[str]:
    value = "" if action.nargs == 0 else f" \\fI{escaped(_metavar(action))}\\fR"
    if not action.option_strings:
        yield value.strip()
    for option in action.option_strings:
        yield f"\\fB{escaped(option)}\\fR{value}"


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return action.dest.upper()


def _help(action: argparse.Action) -> str:
    return " ".join(
        (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default)).split()
    )


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE).write_text(page(), encoding="ascii")
