"""The library: its examples run, its names are real, and asking for it costs next to nothing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sockscope

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.S)
STRAGGLER = ROOT / "docs" / "recordings" / "straggler.sockscope"


@pytest.mark.parametrize(
    "example", [one for one in EXAMPLES if "# as root" not in one], ids=lambda one: one.splitlines()[2][:50]
)
def test_examples_run(
    example: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(example, "docs/api.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_every_name_is_there_and_explained() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOCS, re.M)
    assert sorted([*documented, "__version__"]) == sorted(sockscope.__all__) == sorted(dir(sockscope))
    for name in documented:
        thing = getattr(sockscope, name)
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                assert method.startswith("_") or inspect.getdoc(function), f"{name}.{method}"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sockscope.nonsense


def test_importing_it_brings_in_nothing_that_takes_its_time() -> None:
    code = "import sys, sockscope; print([m for m in ('numpy', 'duckdb', 'argparse', 'sockscope.errors') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_types_go_with_it() -> None:
    assert (Path(sockscope.__file__).parent / "py.typed").exists()


def test_the_last_of_the_frames_is_the_frame_at_the_end() -> None:
    with sockscope.Recording(STRAGGLER) as recording:
        *_, last = recording.frames(keep_closed=None)
        end = recording.frame()
    assert [(one.model, one.connections) for one in last.servers] == [
        (one.model, one.connections) for one in end.servers
    ]
    assert [finding.id for finding in last.findings] == [finding.id for finding in end.findings]
    assert last.queue_wait == end.queue_wait


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(sockscope.SockscopeError, match="does not exist; make it with"):
        sockscope.Recording(tmp_path / "none.sockscope")
    with sockscope.Recording(STRAGGLER) as recording:
        with pytest.raises(sockscope.UsageError, match="unknown report format 'pdf'; formats: text"):
            recording.report("pdf")
        for query in ("SELECT nope FROM workers", "FROM read_csv('/etc/passwd')"):
            with pytest.raises(sockscope.UsageError) as caught:
                recording.sql(query)
            assert "\n" not in str(caught.value)
    with pytest.raises(sockscope.UsageError, match="nothing has been traced yet"):
        sockscope.Recorder().frame()
    assert list(sockscope.Recorder().frames()) == []
    (tmp_path / "there.sockscope").touch()
    with pytest.raises(sockscope.SockscopeError, match="exists; choose another name, or pass overwrite=True"):
        sockscope.Recorder(path=tmp_path / "there.sockscope").__enter__()


def test_sql_reaches_what_was_worked_out() -> None:
    with sockscope.Recording(STRAGGLER) as recording:
        frame = recording.frame()
        assert recording.sql("SELECT count(*) AS n FROM workers")[0]["n"] > 3
        for _ in range(2):
            asked = recording.sql("SELECT id FROM findings JOIN servers ON servers.server = 0")
            assert [row["id"] for row in asked] == [finding.id for finding in frame.findings]
