"""docs/findings.md has a section for each finding, with its title, all of its evidence, and a run that shows it."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest

from sockscope.analysis.findings import FINDINGS
from sockscope.analysis.findings._detector import Detector
from sockscope.analysis.severity import SEVERITIES
from tests.diagnosis.cases import CONTROLS, FAULTS, SHOWN
from tests.diagnosis.excerpts import BEGIN, END
from tests.field.cases import FAULTS as FIELD_FAULTS

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "findings.md").read_text()
SECTIONS = dict(re.findall(r"^## ([a-z-]+)\n(.*?)(?=^## |\Z)", DOCUMENT, re.S | re.M))
SKEW = {"sharers", "max_over_mean", "cv", "noise_cv", "p_value"}


def evidence_of(detector: Detector) -> set[str]:
    """The keys of the evidence that a detector's source writes."""
    keys: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[type(detector).__module__]))):
        if isinstance(node, ast.Dict):
            keys |= {
                key.value for key in node.keys if isinstance(key, ast.Constant) and type(key.value) is str
            }
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "skew_evidence":
            assert isinstance(node.args[0], ast.Constant)
            keys |= {str(node.args[0].value)} | SKEW
    return keys


def test_the_sections_are_the_findings_in_their_order() -> None:
    assert list(SECTIONS) == [detector.id for detector in FINDINGS]


@pytest.mark.parametrize("detector", FINDINGS, ids=lambda detector: detector.id)
def test_a_section_has_title_evidence_and_remedy(detector: Detector) -> None:
    section = SECTIONS[detector.id]
    assert f"**{detector.title}.**" in section
    assert "How to read it: " in section
    assert "What to do:\n\n- " in section
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.M)) == evidence_of(detector)


@pytest.mark.parametrize("detector", FINDINGS, ids=lambda detector: detector.id)
def test_a_section_shows_what_a_run_said(detector: Detector) -> None:
    section = SECTIONS[detector.id]
    seen = section.partition(BEGIN)[2].partition(END)[0]
    line = re.search(r"```\n(\w+): (.+) \[([a-z-]+)\]\n  \S.+\n```", seen)
    assert line is not None
    assert line[1] in SEVERITIES
    assert line[2] == detector.title
    assert line[3] == detector.id
    case = re.search(r"^Seen in a run of the bench \((.+)\):$", seen, re.M)
    assert case is not None
    assert case[1] in {case.name for case in (*FAULTS, *CONTROLS, *SHOWN, *FIELD_FAULTS)}
