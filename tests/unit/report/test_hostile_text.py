"""A recording may come from a stranger, and a process calls itself what it likes: text stays text."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Frame
from sockscope.cli import doctor, run
from sockscope.cli.export import Export
from sockscope.cli.output import write_output
from sockscope.compare.model import Recorded, compare
from sockscope.compare.text import FORMATS as COMPARED
from sockscope.errors import SockscopeError
from sockscope.export.table_format import write_csv
from sockscope.model.history import History
from sockscope.model.state import State
from sockscope.records.batch import AttachedSignal, Batch, Health, Meta, Process
from sockscope.report import FORMATS, render
from sockscope.store import Writer
from tests.synthetic import Scenario, SyntheticSource

#: An escape sequence, a line of its own, markup, right-to-left text, a lone surrogate (what is no UTF-8).
NASTY = "\x1b]0;owned\x07<script>alert(1)</script>\r\n\u202egpj.exe | `$(id)` \udcff"


def stranger(ticks: int = 6) -> tuple[Meta, list[Batch]]:
    source = SyntheticSource(Scenario("shared", workers=3, names=("=cmd|'/C'!A0", "@SUM(1)", "-bash")))
    meta = replace(
        source.meta, host=NASTY, kernel=NASTY, version=NASTY, target=NASTY, command=NASTY,
        signals=(AttachedSignal(NASTY, NASTY, NASTY),),
    )  # fmt: skip
    batches = list(source.batches(ticks))
    batches[-1] = replace(
        batches[-1],
        processes=tuple(
            Process(one.pid, one.parent_pid, NASTY, NASTY, NASTY, NASTY) for one in batches[-1].processes
        ),
        health=Health(lost=((NASTY, 3),), notes=(NASTY,)),
    )
    return meta, batches


def hostile_frame() -> tuple[Frame, History]:
    meta, batches = stranger()
    state, history = State(), History()
    for batch in batches:
        state.apply(batch)
        history.apply(batch)
    return analyse(meta, state.snapshot()), history


def harmless(text: str) -> None:
    """No control character but the end of a line, nothing invisible, nothing that cannot be written."""
    text.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("form", [name for name, _ in FORMATS])
def test_a_report_has_nothing_that_a_terminal_or_a_page_obeys(form: str) -> None:
    frame, history = hostile_frame()
    text = render(form, frame, history.view())
    harmless(text)
    assert "gpj.exe" in text
    if form == "html":
        assert "<script" not in text
    if form == "markdown":
        assert "<script" not in text.replace("\\<", "")
    if form == "json":
        assert json.loads(text)["meta"]["host"].startswith("\ufffd]0;owned\ufffd<script>")
    else:
        lines = [line for line in text.splitlines() if "gpj.exe" in line]
        assert all("owned" in line for line in lines if "exe |" in line)  # no line begins in a name


@pytest.mark.parametrize("form", COMPARED)
def test_so_has_a_comparison(form: str) -> None:
    frame, history = hostile_frame()
    side = Recorded("a\x1b[31m<b>.sockscope", frame, history.view())
    text = COMPARED[form](compare([side, side]))
    harmless(text)
    assert "<b>.sockscope" in text or form == "html"
    assert "<b>.sockscope" not in text or form != "html"


#: Command lines that print what a recording says; FILE is it.
_PRINTED = (
    "check FILE",
    "check FILE --format json",
    "check FILE --format junit",
    "compare FILE FILE",
    "report FILE",
    "sql FILE 'SELECT * FROM processes'",
    "sql FILE 'SELECT * FROM meta' --format json",
    "sql FILE 'SELECT comm, count(*) FROM workers GROUP BY comm' --format csv",
    "sql FILE 'SELECT $ FROM workers'",
)


@pytest.mark.parametrize("line", _PRINTED)
def test_no_command_prints_what_a_terminal_obeys(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta, batches = stranger(2)
    path = tmp_path / "x.sockscope"
    with Writer(path, meta) as writer:
        for batch in batches:
            writer.write(batch)
    status = run([str(path) if word == "FILE" else word for word in shlex.split(line)])
    said = capsys.readouterr()
    assert status in (0, 2, 3), said.err
    assert said.out or said.err
    harmless(said.out.replace("\r\n", "\n"))  # CSV's end of a line (RFC 4180)
    harmless(said.err)


def test_the_doctor_prints_a_folders_name_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = doctor.Check("bcc", "limited", f"0.30 at {NASTY}", f"look at {NASTY}")
    monkeypatch.setattr(doctor, "examine", lambda: ([where], ()))
    assert run(["doctor"]) == 0
    said = capsys.readouterr().out
    harmless(said)
    assert len(said.splitlines()) == 2
    assert said.count("gpj.exe") == 2


def rows_of(text: str) -> Iterable[list[str]]:
    return csv.reader(io.StringIO(text))


def test_csv_has_no_formulas(tmp_path: Path) -> None:
    out = io.StringIO()
    write_csv(["=1+1", "n"], [["=1", -5], ["+1", 1], ["-1", 1], ["@x", 1], ["\tx", 1], ["a=b", 1]], out)
    assert [row[0] for row in rows_of(out.getvalue())] == ["'=1+1", "'=1", "'+1", "'-1", "'@x", "'\tx", "a=b"]
    assert "-5" in out.getvalue()  # a number is a number

    meta, batches = stranger()
    path = tmp_path / "x.sockscope"
    with Writer(path, meta) as writer:
        for batch in batches:
            writer.write(batch)
    for form in ("csv", "jsonl"):
        command, parser = Export(), argparse.ArgumentParser()
        command.prepare(parser)
        command.run(parser.parse_args([str(path), "--format", form, "-o", str(tmp_path)]))
    names = {row["comm"] for row in csv.DictReader((tmp_path / "workers.csv").open(newline=""))}
    assert "'=cmd|'/C'!A0" in names
    for file in tmp_path.glob("*.csv"):
        for row in csv.reader(file.open(newline="")):
            assert not [cell for cell in row if re.match(r"[=+@\t\r]|-[^\d]", cell)]
    lines = [json.loads(line) for line in (tmp_path / "workers.jsonl").read_text().splitlines()]
    assert "=cmd|'/C'!A0" in {line["comm"] for line in lines}  # elsewhere they are as they were


def test_the_json_report_lists_the_connections_that_waited_longest() -> None:
    frame, _ = hostile_frame()
    whole = json.loads(render("json", frame))["connections"]
    few = json.loads(render("json", frame, connections=7))["connections"]
    assert (len(few), json.loads(render("json", frame, connections=0))["connections"]) == (7, [])

    def waited(one: dict[str, Any]) -> int:
        accepted, data, read, answered = (
            one[f"{name}_ns"] or 0 for name in ("accepted", "first_data", "first_read", "first_write")
        )
        late = max(read - max(data, accepted), 0) if accepted and data and read else 0
        return (one["queue_wait_ns"] or 0) + late + max(answered - read, 0) * bool(read and answered)

    assert sorted(map(waited, few)) == sorted(map(waited, whole))[-7:]
    assert all(one in whole for one in few)


def test_a_terminal_that_knows_only_ascii_gets_its_report(tmp_path: Path) -> None:
    straggler = Path(__file__).resolve().parents[3] / "docs" / "recordings" / "straggler.sockscope"
    done = subprocess.run(
        [sys.executable, "-m", "sockscope", "report", str(straggler)],
        capture_output=True, timeout=60, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True,
    )  # fmt: skip
    assert done.stdout.isascii()
    assert b"straggler" in done.stdout


def test_a_report_is_written_where_a_link_leads_and_replaces_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("before")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_output("after", tmp_path / "link.txt")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "after"
    write_output("anything", Path("/dev/null"))
    assert not Path("/dev/null").is_file()
    with pytest.raises(SockscopeError, match="choose another path"):
        write_output("x", tmp_path / "none" / "x.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.txt", "real.txt"]
