"""Splitting dumps: every page exactly once for any set of ranges, and the same outcomes."""

from __future__ import annotations

import bz2
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.outcomes import Outcome
from stages.wikipedia import index_offsets, split, stream_offsets
from tests.stages.wikipedia_dumps import documents, dump, errors, multistream, page, read, titles


def pages(count: int, words: int = 3) -> list[str]:
    return [page(f"Text {i}. " + "word " * words, i, f"P{i}") for i in range(count)]


GROUPS = [pages(40)[i : i + 4] for i in range(0, 40, 4)]
DUMP = multistream(GROUPS)
NAMES = [f"P{i}" for i in range(40)]


def in_parts(data: bytes, ranges: list[tuple[int, int]]) -> list[Outcome]:
    return [outcome for start, end in ranges for outcome in read(data, start=start, end=end)]


def ranges_of(cuts: list[int], size: int) -> list[tuple[int, int]]:
    edges = sorted({0, size, *(cut for cut in cuts if 0 < cut < size)})
    return list(itertools.pairwise(edges))


def test_stream_offsets_are_those_of_the_streams() -> None:
    offsets = stream_offsets(io.BytesIO(DUMP))
    assert len(offsets) == len(GROUPS) + 2
    for start, end in zip(offsets, [*offsets[1:], len(DUMP)], strict=True):
        bz2.decompress(DUMP[start:end])


def test_an_index_gives_the_same_cuts_as_a_search() -> None:
    offsets = stream_offsets(io.BytesIO(DUMP))
    lines = [
        f"{offset}:{i}:Title: {i}\n".encode() for i, offset in enumerate(offsets) for _ in "ab"
    ]
    assert index_offsets(lines) == offsets
    found = split(io.BytesIO(DUMP), len(DUMP), 500)
    assert split(io.BytesIO(DUMP), len(DUMP), 500, index_offsets(lines)) == found
    with pytest.raises(ValueError, match="multistream index"):
        index_offsets([b"no offset\n"])


@pytest.mark.parametrize("target", [1, 300, 1000, 10**9])
def test_split_tiles_the_file_at_stream_starts(target: int) -> None:
    parts = split(io.BytesIO(DUMP), len(DUMP), target)
    offsets = set(stream_offsets(io.BytesIO(DUMP)))
    assert parts[0][0] == 0 and parts[-1][1] == len(DUMP)
    assert all(start in offsets for start, _ in parts)
    assert all(left[1] == right[0] for left, right in itertools.pairwise(parts))
    assert titles(in_parts(DUMP, parts)) == NAMES


def test_a_file_of_one_stream_is_one_unit() -> None:
    data = bz2.compress(dump(*pages(40)))
    assert split(io.BytesIO(data), len(data), 100) == [(0, len(data))]
    assert titles(in_parts(data, ranges_of([100, 300], len(data)))) == NAMES


def test_an_uncompressed_dump_is_cut_anywhere() -> None:
    data = dump(*pages(40))
    parts = split(io.BytesIO(data), len(data), 777)
    assert len(parts) > 5
    assert in_parts(data, parts) == read(data)
    utf16 = data.decode().encode("utf-16")
    assert split(io.BytesIO(utf16), len(utf16), 777) == [(0, len(utf16))]
    assert titles(in_parts(utf16, ranges_of([777, 2000], len(utf16)))) == NAMES


@given(st.lists(st.integers(1, len(DUMP) - 1), max_size=6))
@settings(max_examples=30, deadline=None)
def test_any_split_gives_each_page_once(cuts: list[int]) -> None:
    assert in_parts(DUMP, ranges_of(cuts, len(DUMP))) == read(DUMP)


PLAIN = dump(*pages(12, words=40))


@given(
    st.lists(st.integers(1, len(PLAIN) - 1), max_size=12),
    st.lists(st.integers(1, 10**6), max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_streams_may_end_anywhere_even_inside_a_tag(borders: list[int], cuts: list[int]) -> None:
    """As parallel compressors write them: 900 kB streams, whatever stands there."""
    edges = sorted({0, len(PLAIN), *borders})
    packed = b"".join(bz2.compress(PLAIN[start:end]) for start, end in itertools.pairwise(edges))
    whole = read(packed)
    assert [document.text for document in documents(whole)] == [
        document.text for document in documents(read(PLAIN))
    ]
    assert in_parts(packed, ranges_of([cut % len(packed) for cut in cuts], len(packed))) == whole


def test_a_unit_in_the_middle_knows_the_header() -> None:
    group = [page("Text.", 1, "A"), page("x", 2, "Talk:A", ns=None), page("[[Picture Room:x]]", 3)]
    data = multistream([group, group], dbname="dewiki")
    offsets = stream_offsets(io.BytesIO(data))
    outcomes = read(data, "dump.xml.bz2", start=offsets[2], end=offsets[3])
    assert [document.language for document in documents(outcomes)] == ["de"]
    assert len(outcomes) == 3 and titles(outcomes) == ["A"]


def test_a_damaged_stream_costs_its_pages_and_is_reported_once() -> None:
    offsets = stream_offsets(io.BytesIO(DUMP))
    data = bytearray(DUMP)
    data[(offsets[4] + offsets[5]) // 2] ^= 0x55
    whole = read(bytes(data))
    assert titles(whole) == [name for name in NAMES if name not in ("P12", "P13", "P14", "P15")]
    assert errors(whole) == ["compression"]
    for cut in (offsets[4], offsets[5], offsets[4] + 20):
        assert in_parts(bytes(data), ranges_of([cut], len(data))) == whole


def test_a_cut_dump_is_reported_once_by_the_unit_that_owns_its_end() -> None:
    offsets = stream_offsets(io.BytesIO(DUMP))
    for end in (offsets[-1], offsets[-2] + 30):
        data = DUMP[:end]
        whole = read(data)
        assert errors(whole) == ["truncated"]
        assert in_parts(data, ranges_of([offsets[3], offsets[6] + 5], len(data))) == whole


def test_padding_and_garbage_between_streams() -> None:
    offsets = stream_offsets(io.BytesIO(DUMP))
    padded = DUMP[: offsets[3]] + b"\0" * 50 + DUMP[offsets[3] :] + b"\0" * 9
    assert titles(read(padded)) == NAMES and errors(read(padded)) == []
    dirty = DUMP[: offsets[3]] + b"junk" * 50 + DUMP[offsets[3] :]
    assert titles(read(dirty)) == NAMES and errors(read(dirty)) == ["garbage"]
    empty = DUMP[: offsets[3]] + bz2.compress(b"") + DUMP[offsets[3] :]
    assert titles(read(empty)) == NAMES and errors(read(empty)) == []


def test_target_bytes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        split(io.BytesIO(DUMP), len(DUMP), 0)
