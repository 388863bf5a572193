"""The BTF reader, on a BTF section made here and, where there is one, on the running kernel's."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockscope.bpf.btf import VMLINUX, Btf, BtfError
from sockscope.bpf.kernel_headers import FIELDS, kernel_structs

INT, PTR, ARRAY, STRUCT, UNION, TYPEDEF, FUNCTION = 1, 2, 3, 4, 5, 8, 12


class Maker:
    """Writes BTF: types are numbered from 1 in the order of the calls."""

    def __init__(self) -> None:
        self._text, self._types, self.count = bytearray(b"\0"), bytearray(), 0

    def name(self, text: str) -> int:
        at = len(self._text) if text else 0
        if text:
            self._text += text.encode() + b"\0"
        return at

    def add(
        self, name: str, kind: int, size: int, entries: int = 0, extra: bytes = b"", bits: bool = False
    ) -> int:
        info = bits << 31 | kind << 24 | entries
        self._types += struct.pack("<III", self.name(name), info, size) + extra
        self.count += 1
        return self.count

    def integer(self, name: str, size: int) -> int:
        return self.add(name, INT, size, extra=struct.pack("<I", size * 8))

    def struct(
        self,
        name: str,
        size: int,
        members: list[tuple[str, int, int]],
        kind: int = STRUCT,
        bits: bool = False,
    ) -> int:
        packed = b"".join(
            struct.pack("<III", self.name(field), number, offset) for field, number, offset in members
        )
        return self.add(name, kind, size, len(members), packed, bits)

    def raw(self) -> bytes:
        types, text = bytes(self._types), bytes(self._text)
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(text)) + types + text


@pytest.fixture
def btf() -> Btf:
    maker = Maker()
    u16, u32 = maker.integer("u16", 2), maker.integer("u32", 4)
    alias = maker.add("__be16", TYPEDEF, u16)
    pointer = maker.add("", PTR, u32)
    array = maker.add("", ARRAY, 0, extra=struct.pack("<III", u32, u32, 4))
    inner = maker.struct("", 8, [("port", alias, 0), ("number", u16, 16)], UNION)
    nested = maker.struct("ns_common", 8, [("inum", u32, 32)])
    maker.struct(
        "sock", 64, [("", inner, 96), ("next", pointer, 128), ("words", array, 192), ("ns", nested, 320)]
    )
    maker.struct("bits", 4, [("first", u32, 3 << 24 | 0), ("second", u32, 1 << 24 | 3)], bits=True)
    maker.add("bpf_iter_tcp", FUNCTION, 0)
    maker.add("btf_trace_sk_data_ready", TYPEDEF, u32)
    return Btf(maker.raw())


def test_fields_of_anonymous_members_count_as_the_structs_own(btf: Btf) -> None:
    fields = btf.fields(btf.structs(["sock"])["sock"])
    assert (fields["port"].offset, fields["port"].size) == (12, 2)
    assert (fields["number"].offset, fields["number"].size) == (14, 2)


def test_pointers_and_arrays_have_their_sizes(btf: Btf) -> None:
    fields = btf.fields(btf.structs(["sock"])["sock"])
    assert (fields["next"].offset, fields["next"].size) == (16, 8)
    assert (fields["words"].offset, fields["words"].size) == (24, 16)


def test_a_dotted_path_leads_into_nested_structs(btf: Btf) -> None:
    number = btf.structs(["sock"])["sock"]
    field = btf.field(number, "ns.inum")
    assert field is not None
    assert field.offset == 44
    assert btf.field(number, "ns.nothing") is None
    assert btf.field(number, "nobody.inum") is None


def test_bit_fields_have_offsets_and_sizes_in_bits(btf: Btf) -> None:
    fields = btf.fields(btf.structs(["bits"])["bits"])
    assert (fields["first"].bit_offset, fields["first"].bit_size) == (0, 3)
    assert (fields["second"].bit_offset, fields["second"].bit_size) == (3, 1)


def test_functions_and_tracepoints_are_found_by_name(btf: Btf) -> None:
    assert btf.function("bpf_iter_tcp") == 10
    assert btf.function("sock") is None
    assert btf.has_tracepoint("sk_data_ready")
    assert not btf.has_tracepoint("sk_data")
    assert btf.tracepoint("sk_data_ready") == 11
    assert btf.tracepoint("sk_data") is None
    assert btf.structs(["ns_common", "nothing"]).keys() == {"ns_common"}


@given(st.binary(max_size=200))
def test_bytes_that_are_no_btf_are_refused_with_one_line(raw: bytes) -> None:
    with pytest.raises(BtfError, match=r"^[^\n]+$"):
        Btf(raw)


@given(st.data())
def test_damaged_btf_is_read_or_refused_but_never_breaks_the_reader(data: st.DataObject) -> None:
    maker = Maker()
    word = maker.integer("u32", 4)
    inner = maker.struct("", 4, [("a", word, 0)])
    maker.struct("sock", 8, [("", inner, 0), ("b", word, 32)])
    raw = bytearray(maker.raw())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(24, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        btf = Btf(bytes(raw))
        for number in btf.structs(["sock"]).values():
            btf.fields(number)
    except BtfError:
        pass


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
def test_the_running_kernel_has_every_field_that_the_probes_read() -> None:
    structs = kernel_structs(Btf.of_running_kernel())
    for name, fields in FIELDS.items():
        assert f"struct {name} {{" in structs.text
        assert all(f" {field};" in structs.text for field in fields)
    assert any(define.startswith("-DREUSEPORT_MASK=") for define in structs.defines)


def test_without_btf_the_error_says_what_the_kernel_lacks(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BtfError, match="CONFIG_DEBUG_INFO_BTF"):
        Btf.of_running_kernel(tmp_path / "vmlinux")
