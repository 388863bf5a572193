"""Write the manual page from the commands' own parsers: ``make man``.

What a command says with ``--help`` is what the page says; only the sections at its end are written here.
argparse-manpage would do, but it wraps texts as a terminal of some width shows them: their paragraphs
are lost, and the page differs from one version of Python to the next.
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
It was done.
.TP
.B 1
It could not be done; one line on standard error says why, and what to do about it.
.TP
.B 2
The command line was wrong.
.TP
.B 3
.B sockscope check
found something wrong.
.TP
.B 130
It was interrupted.
.PP
.B sockscope record
with a command ends with the status of that command.
.SH FILES
.TP
.I /var/cache/sockscope
Compiled probes, so that only the first start on a kernel takes a compiler. It may be removed.
.TP
.I FILE.sockscope
A recording: a DuckDB database. While it is written, and after a crash,
.I FILE.sockscope.wal
stands next to it and holds its last seconds.
.SH EXAMPLES
Watch everything on port 443:
.PP
.RS 4
.EX
sudo sockscope live \-\-port 443
.EE
.RE
.PP
Record half a minute, and send a report on it:
.PP
.RS 4
.EX
sudo sockscope record \-o slow.sockscope \-d 30s \-\-port 443
sockscope report slow.sockscope \-\-format html \-o slow.html
.EE
.RE
.PP
Which thread accepted how many connections?
.PP
.RS 4
.EX
sockscope sql slow.sockscope "SELECT acceptor_tid, count(*) FROM connections GROUP BY ALL"
.EE
.RE
.PP
Before and after a change:
.PP
.RS 4
.EX
sockscope compare before.sockscope after.sockscope
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
    """The whole page."""
    return "\n".join(_lines()).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text that roff takes for nothing but text."""
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
