"""Many hosts: what stands out does, what is alike is not called different, what cannot be read is said."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from sockscope import fleet
from sockscope.analysis.analyse import analyse
from sockscope.cli.export import Export
from sockscope.cli.report import Report
from sockscope.errors import SockscopeError, UsageError
from sockscope.fleet.document import document
from sockscope.fleet.gather import Member, columns_of
from sockscope.fleet.rows import TABLES, rows_of
from sockscope.fleet.services import services_of
from sockscope.model.history import History
from sockscope.model.state import State
from sockscope.store import Writer
from tests.synthetic import Scenario, SyntheticSource
from tests.unit.report.test_json_docs import keys_of

DOCS = Path(__file__).resolve().parents[3] / "docs" / "fleet.md"

#: Host → what its server does.
HOSTS = {
    "web-1": Scenario("reuseport", seed=1),
    "web-2": Scenario("reuseport", seed=2),
    "web-3": Scenario("reuseport", seed=3),
    "web-4": Scenario("reuseport", seed=4, straggler=2),
    "web-5": Scenario("reuseport", seed=5, overflow=True, rate=1500.0, backlog=64),
    "db-<b>1": Scenario("handoff", port=11211),
}


def run(command: Any, *words: object) -> int:
    parser = argparse.ArgumentParser()
    command.prepare(parser)
    return int(command.run(parser.parse_args([str(word) for word in words])))


def put(directory: Path, host: str, scenario: Scenario, ticks: int = 6) -> None:
    """Record a host, and export it below ``directory``; names of memcached have markup in them."""
    source = SyntheticSource(replace(scenario, interval_ns=2_000_000_000))
    path = directory.parent / "recording.sockscope"
    with Writer(path, replace(source.meta, host=host), overwrite=True) as writer:
        for batch in source.batches(ticks):
            named = [replace(one, comm=one.comm.replace("mem", "mem<i>")) for one in batch.processes]
            writer.write(replace(batch, processes=tuple(named)))
    run(Export(), path, "--by-host", "-o", directory)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fleet") / "fleet"
    for host, scenario in HOSTS.items():
        put(directory, host, scenario)
    return directory


@pytest.fixture(scope="session")
def fleet_json(exported: Path) -> dict[str, Any]:
    return document(fleet.fleet([str(exported)]))


def test_the_worse_host_stands_out_and_the_others_do_not(fleet_json: dict[str, Any]) -> None:
    (service,) = (one for one in fleet_json["services"] if one["program"] == "envoy")
    out = {host["name"]: {what["figure"] for what in host["stands_out"]} for host in service["hosts"]}
    assert out["web-1"] == out["web-2"] == out["web-3"] == set()
    assert "data_wait" in out["web-4"]
    assert {"dropped", "queue_wait"} <= out["web-5"]
    assert "dropped" not in out["web-4"]


def test_hosts_that_are_alike_are_called_so() -> None:
    (service,) = services_of([member(number) for number in range(10)])
    assert [dict(place.stands_out) for place in service.places] == [{}] * 10
    assert service.spread is not None
    assert service.spread.judgement in ("even", "within_noise")


def member(number: int) -> Member:
    """A recording that went through no file."""
    source = SyntheticSource(Scenario("shared", seed=number + 20))
    state, history = State(), History()
    for batch in source.batches(12):
        state.apply(batch)
        history.apply(batch)
    rows: Any = rows_of(analyse(source.meta, state.snapshot()), history.view())
    (recording,) = rows["recordings"]
    parts = (tuple(rows[table]) for table in ("servers", "server_waits", "server_shares", "findings"))
    return Member(f"h{number}", "", recording, *parts)


def test_figures_are_those_of_the_recordings(fleet_json: dict[str, Any], exported: Path) -> None:
    for recording in fleet_json["recordings"]:
        (folder,) = exported.glob(f"host={re.sub(r'[<>]', '_', recording['hostname'])}/*")
        rows = duckdb.sql(f"SELECT count(*) FROM '{folder}/connections.parquet'").fetchall()
        assert recording["connections"] == rows[0][0]
    (service,) = (one for one in fleet_json["services"] if one["program"] == "envoy")
    assert service["connections"] == sum(host["connections"] for host in service["hosts"])
    for kind, wait in service["waits"].items():
        assert wait["samples"] == sum(host["waits"][kind]["samples"] for host in service["hosts"])


def test_a_pattern_a_folder_and_files_name_the_same(exported: Path) -> None:
    files = sorted(str(path) for path in exported.rglob("*.parquet"))
    every = [fleet.render("json", fleet.fleet(names)) for names in ([str(exported)], [f"{exported}/**/*.parquet"], files)]  # fmt: skip
    assert every[0] == every[1] == every[2]


@pytest.mark.parametrize("form", [name for name, *_ in fleet.FORMATS])
def test_every_format_names_every_host_and_escapes_it(form: str, exported: Path) -> None:
    text = fleet.render(form, fleet.fleet([str(exported)]))
    assert all(f"web-{number}" in text.replace("\\", "") for number in range(1, 6))
    if form == "html":
        assert "mem&lt;i&gt;cached" in text
        assert "<i>cached" not in text
        assert text.count("<svg") == 5  # four waits and the connections, of the one service on several hosts
    if form == "markdown":
        assert "mem\\<i\\>cached" in text


def test_what_cannot_be_read_is_left_out_and_said(exported: Path, tmp_path: Path) -> None:
    broken, foreign, older = (tmp_path / name for name in ("host=broken", "foreign", "host=older"))
    whole = next(exported.glob("host=web-1/*"))
    for folder in (broken, older):
        folder.mkdir()
        for path in whole.glob("*.parquet"):
            (folder / path.name).write_bytes(path.read_bytes())
    (broken / "servers.parquet").write_bytes(b"PAR1 and nothing that follows PAR1")
    duckdb.sql("SELECT 1 AS hostname").write_parquet(str(older / "recordings.parquet"))
    foreign.mkdir()
    duckdb.sql("SELECT 1 AS x").write_parquet(str(foreign / "x.parquet"))
    got = document(fleet.fleet([str(exported), str(tmp_path), str(foreign)]))
    reasons = {Path(one["folder"]).name: one["reason"] for one in got["left_out"]}
    assert set(reasons) == {"host=broken", "foreign", "host=older"}
    assert "there is no findings.parquet" in reasons["foreign"]
    assert len(got["recordings"]) == len(HOSTS)
    text = fleet.render("text", fleet.fleet([str(exported), str(tmp_path), str(foreign)]))
    assert text.count("left out: ") == 3


ABSURD = (
    ("recordings", "elapsed_ns", "-1"),
    ("recordings", "elapsed_ns", "9223372036854775807"),
    ("recordings", "started_at", "TIMESTAMP 'infinity'"),
    ("recordings", "hostname", "NULL"),
    ("servers", "model", "NULL"),
    ("servers", "confidence", "'nan'::DOUBLE"),
    ("server_waits", "count", "9223372036854775807"),
    ("server_shares", "cv", "'inf'::DOUBLE"),
    ("findings", "remedy", "NULL"),
    ("servers", "port", "'http'"),
)


@pytest.mark.parametrize(("table", "column", "value"), ABSURD)
def test_values_that_no_recording_has_are_left_out_and_said(
    table: str, column: str, value: str, exported: Path, tmp_path: Path
) -> None:
    for path in next(exported.glob("host=web-5/*")).glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = duckdb.sql(f"SELECT * REPLACE ({value} AS {column}) FROM '{tmp_path}/{table}.parquet'")
    changed.write_parquet(str(tmp_path / "new"))
    (tmp_path / "new").replace(tmp_path / f"{table}.parquet")
    with pytest.raises(SockscopeError) as caught:
        fleet.fleet([str(tmp_path)])
    assert "export it again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_reported_in_one_line(exported: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    files = list(next(exported.glob("host=web-5/*")).glob("*.parquet"))
    refused = []
    for _ in range(15):
        for path in files:
            octets = bytearray(path.read_bytes())
            if path.stem in TABLES:
                for at in random.integers(0, len(octets), 3):
                    octets[at] = random.integers(0, 256)
            (tmp_path / path.name).write_bytes(
                octets[: random.integers(1, len(octets) + 1)] if random.random() < 0.1 else octets
            )
        try:
            got = fleet.fleet([str(tmp_path)])
        except SockscopeError as error:
            refused.append(str(error))
            continue
        for form in ("text", "json", "markdown"):
            assert fleet.render(form, got)
    assert refused
    assert not [line for line in refused if "\n" in line]


def test_signs_in_a_path_that_mean_something_in_a_pattern_mean_nothing(
    exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a[1]*'?" / "host=x%2Fy"
    folder.mkdir(parents=True)
    for path in next(exported.glob("host=web-1/*")).glob("*.parquet"):
        (folder / path.name).write_bytes(path.read_bytes())
    (recording,) = document(fleet.fleet([str(folder.parent)]))["recordings"]
    assert recording["host"] == "x/y"


def test_several_recordings_of_one_host_are_distinguished(exported: Path, tmp_path: Path) -> None:
    for start in ("20260101T000000Z", "20260102T000000Z"):
        folder = tmp_path / "host=web-1" / f"start={start}"
        folder.mkdir(parents=True)
        for path in next(exported.glob("host=web-1/*")).glob("*.parquet"):
            (folder / path.name).write_bytes(path.read_bytes())
    got = fleet.fleet([str(tmp_path)])
    assert fleet.render("text", got).startswith("1 host, 2 recordings")
    assert all(name.startswith("web-1 2023-11-14 ") for name in got.names)


def test_the_command_says_what_to_give(
    exported: Path, recording: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(Report(), f"{exported}/**/*.parquet") == 0
    assert "6 hosts, 6 recordings" in capsys.readouterr().out
    with pytest.raises(UsageError, match="one recording, or Parquet files"):
        run(Report(), exported, recording("even", 4))
    with pytest.raises(SockscopeError, match=r"no Parquet file matches .*; make some with"):
        run(Report(), f"{tmp_path}/**/*.parquet")
    duckdb.sql("SELECT 1 AS x").write_parquet(str(tmp_path / "x.parquet"))
    with pytest.raises(SockscopeError, match=r"there is no findings\.parquet; export it again"):
        run(Report(), tmp_path / "x.parquet")


def test_every_key_and_column_is_documented_and_no_other(fleet_json: dict[str, Any]) -> None:
    text = DOCS.read_text()
    rows = re.findall(r"^\| `(\w+)` \| (VARCHAR(?:\[\])?|BIGINT|DOUBLE|BOOLEAN|TIMESTAMP) \|", text, re.M)
    assert rows == [column for table in TABLES for column in columns_of(table).items()]

    columns = {
        f"{path}.{name}"
        for path, table in (
            ("recordings[]", "recordings"),
            ("services[].hosts[]", "servers"),
            ("services[].hosts[].shares[]", "server_shares"),
        )
        for name in columns_of(table)
    }
    keys = {re.sub(r"\.waits\.\w+", ".waits.*", key) for key in keys_of(fleet_json)}
    keys = {key for key in keys if not key.startswith("findings[].where[].evidence.")} - columns
    keys |= {"left_out[].folder", "left_out[].reason"}
    assert set(re.findall(r"^\| `([a-z0-9_\[\].*]+)` \| (?:text|number|array|object)", text, re.M)) == keys


@pytest.mark.parametrize(
    "query", re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.S) if DOCS.exists() else []
)
def test_the_questions_of_the_docs_have_answers(query: str, exported: Path) -> None:
    assert duckdb.sql(query.replace("fleet/", f"{exported}/")).fetchall()
