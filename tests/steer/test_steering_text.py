"""The formats of a result without a comparison; the one with it is tested where a server is steered."""

from __future__ import annotations

import json

from sockscope.steer.steering import MemberView, View
from sockscope.steer.text import FORMATS, Result

_MEMBER = MemberView(0, 812, "<b>nginx\x1b[2J", 7, 30, 30, 0.75, 0.5, 2, 0.25, 3)
_RESULT = Result(
    "127.0.0.1:80", "least-loaded", 2.0, "", View(40, {"lease expired": 1}, (_MEMBER,), 0), 150.0, None
)


def test_text_shows_shares_beside_those_of_the_hash() -> None:
    text = FORMATS["text"](_RESULT)
    assert "75.0%" in text
    assert "50.0%" in text
    assert "1 lease expired" in text
    assert "150 ns per SYN" in text
    assert "\x1b" not in text


def test_json_has_every_member() -> None:
    document = json.loads(FORMATS["json"](_RESULT))
    assert document["members"][0]["hash_share"] == 0.5
    assert document["hashed"] == {"lease expired": 1}


def test_names_are_escaped_in_html() -> None:
    page = FORMATS["html"](_RESULT)
    assert "<b>nginx" not in page
    assert "&lt;b&gt;nginx" in page
    assert "75.0 %" in page
