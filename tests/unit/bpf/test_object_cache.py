"""Compiled probes are kept, and taken only from where nobody else can have put them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockscope.bpf.object_cache import CompiledObject, Function, MapDefinition, ObjectCache

IMAGE = CompiledObject(
    {"workers": MapDefinition(1, 4, 100, 64, 0)}, {"on_recv": Function(b"\x18\0\xff" * 8, ((0, "workers"),))}
)


@given(
    st.dictionaries(st.text(min_size=1), st.builds(MapDefinition, *[st.integers(0, 2**32 - 1)] * 5)),
    st.dictionaries(st.text(min_size=1), st.binary()),
)
def test_an_image_survives_being_written(maps: dict[str, MapDefinition], codes: dict[str, bytes]) -> None:
    image = CompiledObject(maps, {name: Function(code, ((3, "a"), (9, "b"))) for name, code in codes.items()})
    assert CompiledObject.from_text(image.to_text()) == image


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"maps": {"a": {}}, "functions": {}}', '{"maps": 1, "functions": {}}']
)
def test_a_text_that_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        CompiledObject.from_text(text)


def test_what_was_put_is_got_and_nothing_else(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    key = cache.key("probes", "offsets", "bcc 1")
    assert cache.get(key) is None
    cache.put(key, IMAGE)
    assert cache.get(key) == IMAGE
    assert cache.get(cache.key("probes", "offsets", "bcc 2")) is None
    assert cache.key("ab", "c") != cache.key("a", "bc")


def test_a_directory_or_file_that_others_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    key = cache.key("probes")
    cache.put(key, IMAGE)
    (tmp_path / "cache" / key).chmod(0o666)
    assert cache.get(key) is None
    (tmp_path / "cache" / key).chmod(0o600)
    assert cache.get(key) == IMAGE
    (tmp_path / "cache").chmod(0o777)
    assert cache.get(key) is None
    cache.put("another", IMAGE)
    assert not (tmp_path / "cache" / "another").exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    cache.put("real", IMAGE)
    (tmp_path / "cache" / "link").symlink_to(tmp_path / "cache" / "real")
    assert cache.get("link") is None


def test_a_damaged_file_is_no_image_and_no_error(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    cache.put("key", IMAGE)
    (tmp_path / "cache" / "key").write_text("{")
    assert cache.get("key") is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ObjectCache(tmp_path / "file" / "cache")
    cache.put("key", IMAGE)
    assert cache.get("key") is None


def test_old_images_are_forgotten(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    for number in range(40):
        cache.put(f"key{number}", IMAGE)
    assert len(list((tmp_path / "cache").iterdir())) == 16
    assert cache.get("key39") == IMAGE
