"""Pages as a browser shows them: on a desk, on a phone, on paper, by day and by night, and read aloud."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sockscope.analysis.frame import Finding
from sockscope.compare.model import Recorded, compare
from sockscope.compare.text import FORMATS as COMPARED
from sockscope.fleet.gather import Gathered
from sockscope.fleet.page import render as fleet_page
from sockscope.fleet.wording import fleet_of
from sockscope.report.html import page as html_page
from tests.browser import Browser, browser, needs_chromium
from tests.unit.report.conftest import shown
from tests.unit.report.test_fleet import member
from tests.unit.report.test_html import rendered

pytestmark = needs_chromium

DESK, PHONE, PAPER = 1280, 390, 688  # paper: A4 less its margins, in CSS pixels

#: What stands too far to the right, and in nothing that can be scrolled.
BEYOND = """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg')
  && e.getClientRects().length && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.outerHTML.slice(0, 120))"""

#: Charts that are shown, with their size.
CHARTS = """[...document.querySelectorAll('svg.chart')].map(e => e.getBoundingClientRect())
  .filter(r => r.width).map(r => [Math.round(r.width), Math.round(r.height)])"""

#: Text whose contrast with what is behind it is less than WCAG's 4.5 : 1.
FAINT = """(() => {
  const rgb = t => (t.match(/[0-9.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > .99) return c; } return rgb(getComputedStyle(document.documentElement).backgroundColor); };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = new Set();
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), a = light(rgb(e.closest('svg') ? style.fill : style.color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.add(ratio.toFixed(2) + ' ' + e.tagName + '.' + e.getAttribute('class') + ': ' + walk.currentNode.data.trim().slice(0, 40));
  }
  return [...found]; })()"""

HEADINGS = "[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])"


def pages() -> dict[str, str]:
    frame, history = shown("straggler")
    words = "a long explanation of `what` is wrong " * 20
    found = Finding("x", "critical", words[:90], words[:200], words, {"number": 1.5}, (words, words))
    side = Recorded("before.sockscope", *shown("even"))
    other = Recorded("after.sockscope", frame, history)
    members = tuple(member(number) for number in range(6))
    return {
        "report": html_page.render(replace(frame, findings=(found,)), history),
        "overflow": rendered("overflow"),
        "comparison": COMPARED["html"](compare([side, other])),
        "fleet": fleet_page(fleet_of(Gathered(members, (("x", "y"),)))),
    }


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {}
    for name, text in pages().items():
        written[name] = folder / f"{name}.html"
        written[name].write_text(text)
    return written


NAMES = ("report", "overflow", "comparison", "fleet")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_it_fits_and_can_be_read_on_a_desk_and_on_a_phone(
    name: str, theme: str, tab: Browser, files: dict[str, Path]
) -> None:
    for width in (DESK, PHONE):
        tab.look(width, prefers_color_scheme=theme)
        tab.open(files[name])
        assert tab.complaints() == []
        assert tab.ask("document.documentElement.scrollWidth") <= width
        assert tab.ask(BEYOND) == []
        charts = tab.ask(CHARTS)
        assert len(charts) >= 4
        assert all(w >= 200 and h >= 40 for w, h in charts), charts
        assert tab.ask(FAINT) == []
        background = tab.ask("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (theme == "light")


@pytest.mark.parametrize("name", NAMES)
def test_it_fits_on_paper_in_light_colours(name: str, tab: Browser, files: dict[str, Path]) -> None:
    tab.look(PAPER, media="print", prefers_color_scheme="dark")
    tab.open(files[name])
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.ask("document.documentElement.scrollWidth") <= PAPER
    assert tab.ask(BEYOND.replace("!e.closest('.scroll') && ", "")) == []
    assert tab.ask(FAINT) == []
    paper = tab.paper()
    assert paper.startswith(b"%PDF-")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 12


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_read_aloud(name: str, tab: Browser, files: dict[str, Path]) -> None:
    tab.look(DESK)
    tab.open(files[name])
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = {"image", "table", "region", "link", "heading", "DisclosureTriangle"}
    seen = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    assert [role for role, name in seen if role in named and not name.strip()] == []
    assert len([name for role, name in seen if role == "image" and len(name) > 30]) >= 4
    levels = tab.ask(HEADINGS)
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    assert tab.ask("document.documentElement.lang") == "en"
