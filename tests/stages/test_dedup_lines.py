"""Line dedup against cc_net's published behaviour and a plain implementation in memory."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import ccnet_text, registry
from stages.dedup import lines
from stages.dedup.runs import read_runs
from stages.engine.progress import Reporter
from stages.engine.step import Step
from tests.stages.helpers import read_rows, shuffle, write_part, write_parts


def dedup(
    folder: Path, units: list[list[str]], **given: Any
) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
    """(texts that stay, reasons of those that leave, counts) by document number."""
    numbers = iter(range(10**6))
    write_parts(folder / "in", [[{"id": str(next(numbers)), "text": t} for t in u] for u in units])
    step = Step("line_dedup", "line_dedup", f"{folder}/out", {"input": [f"{folder}/in"]}, given)
    counts = shuffle(step)
    return (
        {r["id"]: r["text"] for r in read_rows(folder / "out")},
        {r["id"]: r["reason"] for r in read_rows(folder / "out", "rejected")},
        counts,
    )


# -- by hand --------------------------------------------------------------------------------------


def test_every_copy_goes_the_first_included(tmp_path: Path) -> None:
    stay, left, counts = dedup(
        tmp_path,
        [["Accept cookies\nOne of a kind"], ["accept COOKIES\nAnother"], ["Accept cookies"]],
    )
    assert stay == {"0": "One of a kind", "1": "Another"}
    assert left == {"2": "duplicate_lines"}
    assert counts["other"] == {"lines_in": 5, "lines_removed": 3}
    assert counts["reasons"] == {"duplicate_lines": 1}


def test_keep_first_keeps_the_line_in_the_first_document(tmp_path: Path) -> None:
    stay, left, _ = dedup(
        tmp_path,
        [["Accept cookies\nOne"], ["accept COOKIES\nAnother"], ["Accept cookies"]],
        keep="first",
    )
    assert stay == {"0": "Accept cookies\nOne", "1": "Another"}
    assert left == {"2": "duplicate_lines"}


@pytest.mark.parametrize("keep", ["none", "first"])
def test_a_line_repeated_within_one_document_alone_stays_once(tmp_path: Path, keep: str) -> None:
    stay, _, _ = dedup(tmp_path, [["Chorus 1\nverse\nchorus 2\nCHORUS 3"], ["else"]], keep=keep)
    assert stay == {"0": "Chorus 1\nverse", "1": "else"}


def test_copies_within_one_file_count_as_those_between_files(tmp_path: Path) -> None:
    stay, left, _ = dedup(tmp_path, [["x\na", "x\nb", "x"]])
    assert (stay, left) == ({"0": "a", "1": "b"}, {"2": "duplicate_lines"})


def test_lines_are_compared_by_their_normal_form(tmp_path: Path) -> None:
    # Case, digits, outer blanks and CJK punctuation do not count; accents and ASCII do.
    stay, _, _ = dedup(
        tmp_path,
        [["  Page 12 of 34 \ncafé\nkeep!"], ["page 99 OF 00。\ncafe\nkeep"]],
    )
    assert stay == {"0": "café\nkeep!", "1": "cafe\nkeep"}


def test_blank_lines_go_and_a_document_of_them_leaves(tmp_path: Path) -> None:
    stay, left, _ = dedup(tmp_path, [["a\n\n  \nb"], ["\n\n"], ["。"], [""]], keep="first")
    assert stay == {"0": "a\nb"}
    assert left == dict.fromkeys("123", "duplicate_lines")


def test_lines_that_stay_keep_their_form_and_order(tmp_path: Path) -> None:
    stay, _, _ = dedup(tmp_path, [["  Zeta 1 \nshared\nAlpha\t2"], ["shared"]])
    assert stay == {"0": "  Zeta 1 \nAlpha\t2"}


def test_the_hash_is_the_sha1_prefix_of_the_normal_form_little_endian(tmp_path: Path) -> None:
    write_parts(tmp_path / "in", [[{"id": "a", "text": "Hello 1!\nÄ"}]])
    step = Step("l", "line_dedup", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]})
    stage: Any = registry.create(step)
    (unit,) = stage.units()
    emitted = stage.emit(unit, Reporter(None)).emitted
    found, documents, _ = read_runs([reference[-1] for _, reference in emitted])
    expected = sorted(
        int.from_bytes(hashlib.sha1(line.encode()).digest()[:8], "little")
        for line in ("hello 0!", "ä")
    )
    assert found.tolist() == expected
    assert documents.tolist() == [1, 1]


def test_removed_lines_are_told_in_meta(tmp_path: Path) -> None:
    write_parts(
        tmp_path / "in",
        [
            [{"id": "a", "text": "x\nown", "meta": '{"z":1,"crawl":"c"}'}],
            [{"id": "b", "text": "x\nelse"}, {"id": "c", "text": "alone", "meta": '{"k":1}'}],
        ],
    )
    shuffle(Step("l", "line_dedup", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]}))
    metas = {r["id"]: r["meta"] for r in read_rows(tmp_path / "out")}
    assert orjson.loads(metas["a"]) == {"z": 1, "crawl": "c", "lines": 2, "lines_removed": 1}
    assert orjson.loads(metas["b"]) == {"lines": 2, "lines_removed": 1}
    assert metas["c"] == '{"k":1}'


def test_groups_of_files_do_not_see_one_another(tmp_path: Path) -> None:
    units = [["x\na"], ["x\nb"], ["x\nc"]]
    stay, _, _ = dedup(tmp_path, units, scope="file_group", group_files=2)
    assert stay == {"0": "a", "1": "b", "2": "x\nc"}


def test_short_documents_leave_before_and_after(tmp_path: Path) -> None:
    # A document that leaves before does not make its lines duplicates.
    stay, left, counts = dedup(
        tmp_path,
        [["short"], ["short\nand a longer line"], ["é" * 9], ["shared line\nab"], ["shared line"]],
        min_chars_before=10,
        min_chars_after=3,
    )
    assert stay == {"1": "short\nand a longer line"}
    assert left == {
        "0": "too_short",
        "2": "too_short",
        "3": "duplicate_lines",
        "4": "duplicate_lines",
    }
    assert counts["documents_in"] == 5


def test_nothing_is_too_short_after_with_a_minimum_of_zero(tmp_path: Path) -> None:
    stay, left, _ = dedup(tmp_path, [["x"], ["x"]], min_chars_after=0)
    assert (stay, left) == ({"0": "", "1": ""}, {})


def test_empty_parts_and_empty_input_parts_are_fine(tmp_path: Path) -> None:
    stay, _, _ = dedup(tmp_path, [[], ["x"], []])
    assert stay == {"1": "x"} or stay == {"0": "x"}
    assert len(list((tmp_path / "out").glob("part-*"))) == 3


# -- stored hashes --------------------------------------------------------------------------------

HASHES = pa.field(lines.LINE_HASHES, pa.binary())


def stored(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, lines.LINE_HASHES: ccnet_text.line_hashes(text).tobytes(), **more}


@pytest.mark.parametrize("settings_", [{}, {"min_chars_before": 4}, {"variant": "paper"}], ids=str)
def test_stored_hashes_give_what_computed_ones_give(
    tmp_path: Path, settings_: dict[str, Any]
) -> None:
    texts = ["x\nown", "X\n\nelse", "y", "ÉCOLE, 1\nx", "ecole 2\nlast"]
    for name, columns in (("plain", ()), ("stored", (HASHES,))):
        rows = [stored(t, id=str(i)) for i, t in enumerate(texts)]
        if not columns:
            rows = [{"id": r["id"], "text": r["text"]} for r in rows]
        write_part(tmp_path / name / "in" / "part-0.parquet", rows, columns)
        folder = tmp_path / name
        shuffle(Step("l", "line_dedup", f"{folder}/out", {"input": [f"{folder}/in"]}, settings_))
    found = read_rows(tmp_path / "stored" / "out")
    assert found == read_rows(tmp_path / "plain" / "out")
    assert lines.LINE_HASHES not in found[0]


def test_stored_hashes_that_do_not_fit_the_text_are_a_bad_record(tmp_path: Path) -> None:
    rows = [stored("x\nown", id="a"), stored("x\ny", id="b")]
    rows[0]["text"] = "x\nown\nadded later"
    write_part(tmp_path / "in" / "part-0.parquet", rows, (HASHES,))
    counts = shuffle(Step("l", "line_dedup", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]}))
    (bad,) = read_rows(tmp_path / "out", "bad")
    assert (bad["offset"], bad["error"]) == ("a", "line_hashes: 2 hashes for 3 lines")
    assert counts["documents_out"] == 1


def test_further_columns_are_carried_along(tmp_path: Path) -> None:
    extra = pa.field("length", pa.int32())
    rows = [stored("x", id="a", length=1), stored("x\nown", id="b", length=5)]
    write_part(tmp_path / "in" / "part-0.parquet", rows, (HASHES, extra))
    shuffle(Step("l", "line_dedup", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]}))
    assert [(r["id"], r["length"]) for r in read_rows(tmp_path / "out")] == [("b", 5)]


# -- against memory -------------------------------------------------------------------------------


def in_memory(
    documents: list[str], groups: list[int], keep: str, before: int = 0, after: int = 1
) -> dict[int, str]:
    """Line dedup with sets, one document after another."""
    normal = [[ccnet_text.normalise_line(line) for line in text.split("\n")] for text in documents]
    long = [len(text) >= before for text in documents]
    holders: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, found in enumerate(normal):
        if long[i]:
            for line in set(found):
                holders[groups[i]][line].append(i)
    out: dict[int, str] = {}
    for i, text in enumerate(documents):
        seen: set[str] = set()
        kept: list[str] = []
        for raw, line in zip(text.split("\n"), normal[i], strict=True):
            if not line or line in seen:
                continue
            seen.add(line)
            who = holders[groups[i]][line]
            if who == [i] or (keep == "first" and who and who[0] == i):
                kept.append(raw)
        if long[i] and len("\n".join(kept)) >= after:
            out[i] = "\n".join(kept)
    return out


some_lines = st.sampled_from(
    ["a", "A", " a", "b1", "b2", "", "  ", "c", "。", "d e", "é", "e", "f", "g!", "\u3000"]
)
some_texts = st.lists(some_lines, min_size=1, max_size=5).map("\n".join)


@st.composite
def some_units(draw: st.DrawFn) -> list[list[str]]:
    texts = draw(st.lists(some_texts, max_size=14))
    cuts = sorted(draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    edges = [0, *cuts, len(texts)]
    return [texts[a:b] for a, b in pairwise(edges)]


@given(
    some_units(),
    st.sampled_from(["none", "first"]),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([0, 3]),
    st.sampled_from([0, 1, 4]),
)
@settings(max_examples=60, deadline=None)
def test_shuffling_hashes_gives_what_sets_in_memory_give(
    tmp_path_factory: pytest.TempPathFactory,
    units: list[list[str]],
    keep: str,
    partitions: int,
    group_files: int | None,
    before: int,
    after: int,
) -> None:
    documents = [text for unit in units for text in unit]
    group = [
        0 if group_files is None else u // group_files for u, unit in enumerate(units) for _ in unit
    ]
    scope = {"scope": "file_group", "group_files": group_files} if group_files else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_MIN_PARTITIONS", partitions)
        stay, left, counts = dedup(
            tmp_path_factory.mktemp("lines"),
            units,
            keep=keep,
            min_chars_before=before,
            min_chars_after=after,
            **scope,
        )
    expected = in_memory(documents, group, keep, before, after)
    assert stay == {str(i): text for i, text in expected.items()}
    assert set(left) == {str(i) for i in range(len(documents))} - set(stay)
    assert counts["documents_in"] == len(documents)


def test_many_documents_and_partitions(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    texts = [
        "\n".join(f"line {w}" for w in random.choice(list("abcdefghijklmnop"), 4)) + f"\n{i:b}x"
        for i in range(1500)
    ]
    # Binary digits become zeros: documents of the same length share their last line.
    units = [texts[:700], texts[700:701], texts[701:]]
    expected = in_memory(texts, [0] * len(texts), "first")
    stay, _, _ = dedup(tmp_path, units, keep="first")
    assert stay == {str(i): t for i, t in expected.items()}
    assert 10 < len(stay) < 100


@pytest.mark.parametrize("seed", range(2))
def test_keep_first_keeps_each_line_exactly_once(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    texts = ["\n".join(random.choice(list("abcdefgh"), 3)) for _ in range(40)]
    stay, _, _ = dedup(tmp_path, [texts[:13], texts[13:14], texts[14:]], keep="first")
    kept = Counter(line for text in stay.values() for line in text.split("\n"))
    assert kept == Counter(set("\n".join(texts).split("\n")))


def test_the_number_of_partitions_grows_with_the_input_and_not_with_the_units(
    tmp_path: Path,
) -> None:
    rows = [{"id": str(i), "text": f"{i}" * 3000} for i in range(500)]
    write_part(tmp_path / "in" / "part-0.parquet", rows, rows_per_group=50)
    folder = {"input": [f"{tmp_path}/in"]}

    def partitions(memory: int, split: int) -> set[int]:
        step = Step("l", "line_dedup", "o", folder, {"partition_memory_mb": memory})
        stage = registry.create(Step(**{**vars(step), "layout": {"split_bytes": split}}))
        return {u.extra["partitions"] for u in stage.units()}

    assert partitions(256, 1 << 30) == {4}
    # 4.3 MB of text hold at most 136,000 lines of 32 bytes, and their entries 8.7 MB.
    assert partitions(1, 1 << 30) == partitions(1, 100_000) == {9}
