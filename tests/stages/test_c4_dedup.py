"""C4's URL and line dedup, and what its last filter does."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import registry
from stages.c4.badwords import BadWords, read_words
from stages.c4.line_dedup import keep_smallest, page_rank
from stages.c4.sentences import sentence_counter
from stages.c4.url import split_of, url_key
from stages.engine.progress import Reporter
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from tests.stages.helpers import check_folder, digests, read_rows, shuffle, write_parts

DATE = "2019-04-25T12:57:54Z"
LINES = [f"This is line number {i} of them all. It has two sentences." for i in range(8)]


def by_hash(*urls: str) -> list[str]:
    """URLs in the order in which they are keepers."""
    return sorted(urls, key=lambda url: hashlib.md5(url.encode()).hexdigest())


def page(key: str, lines: list[str], url: str | None = None, **more: Any) -> dict[str, Any]:
    at = url or f"https://{key}.example/"
    return {"id": key, "text": "\n".join(lines), "url": at, "created": DATE, **more}


def step(tmp: Path, stage: str, out: str = "out", **more: Any) -> Step:
    return Step(stage, stage, str(tmp / out), {"input": [str(tmp / "in")]}, settings=more)


def line_dedup(tmp: Path, parts: list[list[dict[str, Any]]], **more: Any) -> dict[str, str]:
    """Text by id after `c4_line_dedup`."""
    write_parts(tmp / "in", parts)
    shuffle(step(tmp, "c4_line_dedup", **more))
    return {row["id"]: row["text"] for row in read_rows(tmp / "out")}


# -- what other programs do otherwise --------------------------------------------------------------


def test_datatrove_lines_are_compared_over_the_corpus(tmp_path: Path) -> None:
    first, second = by_hash("https://a.example/", "https://b.example/")
    pages = [
        [page("loses", [LINES[0], LINES[1], LINES[2]], second)],
        [page("keeps", [LINES[3], LINES[0]], first)],
    ]
    assert line_dedup(tmp_path, pages) == {
        "keeps": f"{LINES[3]}\n{LINES[0]}",
        "loses": f"{LINES[1]}\n{LINES[2]}",
    }


def test_dclm_the_url_decides_before_the_page_is_cleaned(tmp_path: Path) -> None:
    """The newest crawl stays though nothing of it will pass; an older one that would is gone."""
    old, new = "2019-04-01T00:00:00Z", "2019-04-02T00:00:00Z"
    url = "https://a.example/x"
    write_parts(
        tmp_path / "in",
        [[page("older", LINES, url, created=old)], [page("newest", ["404"], url, created=new)]],
    )
    shuffle(step(tmp_path, "c4_url_dedup"))
    assert [row["id"] for row in read_rows(tmp_path / "out")] == ["newest"]


def test_dclm_within_page_dedup_is_a_setting(tmp_path: Path) -> None:
    """A refrain stays once in a page, as the published dataset has it, or as often as written."""
    refrain = [LINES[0], LINES[1], LINES[0], LINES[2], LINES[0]]
    pages = [[page("song", refrain)]]
    assert line_dedup(tmp_path / "once", pages) == {"song": "\n".join(LINES[:3])}
    kept = line_dedup(tmp_path / "all", pages, within_page=False)
    assert kept == {"song": "\n".join(refrain)}


def test_pages_that_are_too_long_do_not_take_the_place_of_older_ones(tmp_path: Path) -> None:
    old, new = "2019-04-01T00:00:00Z", "2019-04-02T00:00:00Z"
    url = "https://a.example/x"
    rows = [
        page("older", LINES, url, created=old),
        page("long", ["word " * 40_000], url, created=new),
        page("undated", LINES, url, created=None),
        page("blank", ["WARC-Type: x", " "], url, created=new),
    ]
    write_parts(tmp_path / "in", [rows[:2], rows[2:]])
    counts = shuffle(step(tmp_path, "c4_url_dedup"))
    assert counts["documents_out"] == 4
    del rows[0]
    write_parts(tmp_path / "in", [rows[:1], rows[1:]])
    assert shuffle(step(tmp_path, "c4_url_dedup"))["documents_out"] == 3


def test_dolma_a_bad_word_is_no_part_of_another() -> None:
    words = BadWords("en", ["ass"])
    assert words.find("I asked my friend for assistance polishing my cutlass.") is None
    for text in ("He is an ass.", "ASS first", "the ass", 'so "ass" it', "an\nass\nhere"):
        assert words.find(text) == "ass"


def test_datatrove_one_language_s_allowed_words_stay_bad_in_another(tmp_path: Path) -> None:
    """mC4 lets `sm` pass in Japanese, where it is part of words; not in English."""
    (tmp_path / "words").write_text("sm\nother\n", encoding="utf-8")
    given = {code: str(tmp_path / "words") for code in ("en", "ja")}
    write_parts(
        tmp_path / "in",
        [[page("en", ["an sm word"], language="en"), page("ja", ["osmか"], language="ja")]],
    )
    done = run_step(step(tmp_path, "c4_filter", bad_words=given, detector=None)).manifest
    assert [row["id"] for row in read_rows(tmp_path / "out")] == ["ja"]
    assert dict(done.counts.reasons) == {"bad_word": 1}
    assert set(done.models) == {"bad_words_en", "bad_words_ja"}


# -- URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://www.a.example/x/", "a.example/x"),
        ("http://a.example/x", "a.example/x"),
        ("https://a.example/x?utm_source=b&c=d", "a.example/x"),
        ("https://a.example/x?ref=b", "a.example/x"),
        ("https://a.example/x?feed=rss2", "a.example/x"),
        ("https://a.example/x?c=d&utm_source=b", "a.example/x?c=d&utm_source=b"),
        ("https://A.example/X", "A.example/X"),
        ("https://a.example/go?to=http://www.b.example", "a.example/go?to=b.example"),
    ],
)
def test_the_normal_form_is_c4_s(url: str, key: str) -> None:
    assert url_key(url) == key


def test_one_page_in_a_thousand_is_for_validation() -> None:
    urls = [f"https://www.site{i}.example/page/?utm_x=1" for i in range(20_000)]
    chosen = [u for u in urls if split_of(u) == "validation"]
    expected = [
        u
        for i, u in enumerate(urls)
        if int(hashlib.md5(f"site{i}.example/page".encode()).hexdigest(), 16) % 1000 == 0
    ]
    assert chosen == expected != []


def test_the_split_is_marked(tmp_path: Path) -> None:
    urls = [f"https://site{i}.example/" for i in range(2000)]
    rows = [page(f"p{i}", ["x"], url, meta='{"a":1}') for i, url in enumerate(urls)]
    rows.append({"id": "none", "text": "x", "meta": '{"a":1}'})
    write_parts(tmp_path / "in", [rows])
    run_step(step(tmp_path, "c4_filter", detector=None))
    metas = {row["id"]: orjson.loads(row["meta"]) for row in read_rows(tmp_path / "out")}
    assert metas.pop("none") == {"a": 1}
    assert all(m == {"a": 1, "c4_split": split_of(urls[int(k[1:])])} for k, m in metas.items())
    assert len({m["c4_split"] for m in metas.values()}) == 2
    run_step(step(tmp_path, "c4_filter", "off", mark_split=False, detector=None))
    assert {row["meta"] for row in read_rows(tmp_path / "off")} == {'{"a":1}'}


# -- bad words -------------------------------------------------------------------------------------


def test_word_lists_are_read_as_written_by_people(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes("\ufeffBad\r\n\n two words \n".encode())
    assert read_words(str(path)) == ["bad", "two words"]
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match="no word"):
        read_words(str(path))
    path.write_bytes(b"\xff")
    for wrong in (str(path), str(tmp_path / "absent")):
        with pytest.raises(InputError, match="bad_words"):
            registry.create(step(tmp_path, "c4_filter", bad_words={"en": wrong}))


_TEXTS = st.text(alphabet="ab '-*.\n$_é2", max_size=30)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="ab '-*.$é", min_size=1, max_size=5), max_size=5), _TEXTS)
def test_words_are_found_where_c4_s_expression_finds_them(words: list[str], text: str) -> None:
    listed = [w.strip() for w in words if w.strip()]
    expression = rf"(?:\W|^)({'|'.join(map(re.escape, listed)) or '(?!)'})(?:\W|$)"
    found = BadWords("en", listed).find(text)
    assert (found is None) == (re.search(expression, text.lower()) is None)
    assert found is None or found in listed


def test_without_blanks_a_word_counts_anywhere() -> None:
    assert BadWords("zh", ["坏"]).find("这坏了") == "坏"
    assert BadWords("en", ["坏"]).find("这坏了") is None
    assert BadWords("zh", ["坏"], {"坏"}).find("这坏了") is None


# -- line dedup ------------------------------------------------------------------------------------


def test_lines_are_equal_in_any_case_and_with_any_blanks_around(tmp_path: Path) -> None:
    first, second = by_hash("https://a.example/", "https://b.example/")
    more = [LINES[1], LINES[2]]
    out = line_dedup(
        tmp_path,
        [
            [page("keeps", [f"  {LINES[0]}", *LINES[3:5]], first)],
            [page("loses", [LINES[0].upper() + "\t", *more], second)],
        ],
    )
    assert out["keeps"].startswith("  This")
    assert out["loses"] == "\n".join(more)


def test_a_line_twice_in_a_page_stays_once_unless_told_so(tmp_path: Path) -> None:
    lines = [LINES[0], LINES[1], LINES[0].lower(), LINES[1]]
    assert line_dedup(tmp_path, [[page("p", lines)]]) == {"p": "\n".join(lines[:2])}
    assert line_dedup(tmp_path, [[page("p", lines)]], within_page=False) == {"p": "\n".join(lines)}


def test_pages_left_with_too_little_leave_with_a_reason(tmp_path: Path) -> None:
    first, second, third = by_hash(*(f"https://{c}.example/" for c in "abc"))
    write_parts(
        tmp_path / "in",
        [
            [
                page("all", LINES[:2], third),
                page("few", [LINES[0], "It has two. Sentences."], second),
            ],
            [page("keeps", LINES[:4], first, meta='{"c4_lines":{"policy":2,"duplicate":1}}')],
            [page("less", [*LINES[:2], *LINES[4:6]], "https://d.example/", meta='{"a":1}')],
        ],
    )
    if page_rank("https://d.example/", "") < page_rank(first, ""):
        pytest.fail("the URLs of this test must be in this order")
    counts = shuffle(step(tmp_path, "c4_line_dedup"))
    assert counts["reasons"] == {"all_lines_duplicate": 1, "too_few_sentences": 1}
    assert counts["other"] == {
        "lines": 12,
        "line_passed": 7,
        "line_duplicate": 5,
        "line_repeated": 0,
    }
    metas = {row["id"]: row["meta"] for row in read_rows(tmp_path / "out")}
    assert metas == {
        "keeps": '{"c4_lines":{"policy":2,"duplicate":1}}',
        "less": '{"a":1,"c4_lines":{"duplicate":2}}',
    }


def test_sentences_are_counted_over_the_whole_page_this_time(tmp_path: Path) -> None:
    """As in c4_utils: a line that ends in a quotation mark alone does not end a sentence there."""
    lines = ['He only said "one and two"', 'she only said "three and four"', "Both said it once."]
    assert line_dedup(tmp_path, [[page("p", lines)]]) == {}
    assert line_dedup(tmp_path, [[page("p", lines)]], min_sentences=1) == {"p": "\n".join(lines)}


def naive(pages: list[dict[str, Any]], wanted: int) -> dict[str, str]:
    """Line dedup as one reads it in c4_utils, all in memory."""

    def key(line: str) -> str:
        return hashlib.md5(line.strip().lower().encode()).hexdigest()

    keepers: dict[str, tuple[str, int]] = {}
    for n, p in enumerate(pages):
        mine = (hashlib.md5(p["url"].encode()).hexdigest(), n)
        for line in p["text"].split("\n"):
            keepers[key(line)] = min(mine, keepers.get(key(line), mine))
    out: dict[str, str] = {}
    for n, p in enumerate(pages):
        seen: dict[str, str] = {}
        for line in p["text"].split("\n"):
            if keepers[key(line)][1] == n:
                seen.setdefault(key(line), line)
        text = "\n".join(seen.values())
        if text and sentence_counter("punkt")(text, wanted) >= wanted:
            out[p["id"]] = text
    return out


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(st.sampled_from([*LINES, LINES[0].upper()]), min_size=1, max_size=5), max_size=9
    ),
    st.lists(st.integers(0, 2), min_size=9, max_size=9),
    st.integers(0, 5),
)
def test_however_pages_lie_in_files_the_outcome_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[list[str]],
    places: list[int],
    wanted: int,
) -> None:
    pages = [page(f"p{i}", lines) for i, lines in enumerate(texts)]
    parts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for p, place in zip(pages, places, strict=False):
        parts[place].append(p)
    out = line_dedup(
        tmp_path_factory.mktemp("c4"), [parts[i] for i in range(3)], min_sentences=wanted
    )
    assert out == naive(pages, wanted)


def test_equal_ranks_go_to_the_first() -> None:
    import numpy as np

    hashes = np.array([5, 5, 7, 7], np.uint64)
    units = np.array([0, 1, 0, 1], np.int64)
    values = np.array([-3, -3, 4, -9], np.int64)
    assert keep_smallest(hashes, units, values).tolist() == [True, False, False, True]
    assert page_rank("https://a.example/", "") == page_rank(None, "https://a.example/")


def test_ranks_are_in_the_order_of_the_digests() -> None:
    urls = [f"https://{i}.example/" for i in range(200)]
    assert sorted(urls, key=lambda u: page_rank(u, "")) == by_hash(*urls)


def test_the_stages_run_one_after_another_and_balance(tmp_path: Path) -> None:
    rows = [
        page(f"p{i}", ["Menu", *LINES[i % 3 : i % 3 + 3], f"Only page {i} has this. And this!"])
        for i in range(30)
    ]
    write_parts(tmp_path / "in", [rows[:10], rows[10:]])
    where = "in"
    for stage in ("c4_url_dedup", "c4_clean", "c4_line_dedup", "c4_filter"):
        here = Step(stage, stage, str(tmp_path / stage), {"input": [str(tmp_path / where)]})
        run_step(here)
        check_folder(tmp_path / stage)
        where = stage
    again = {"input": [str(tmp_path / "c4_clean")]}
    run_step(Step("c4_line_dedup", "c4_line_dedup", str(tmp_path / "again"), again))
    assert digests(tmp_path / "again") == digests(tmp_path / "c4_line_dedup")
    texts = [row["text"] for row in read_rows(tmp_path / where)]
    assert all(sum(line in text for text in texts) <= 1 for line in LINES)


def test_a_unit_without_documents_passes(tmp_path: Path) -> None:
    write_parts(tmp_path / "in", [[], [page("p", LINES)]])
    assert shuffle(step(tmp_path, "c4_line_dedup"))["documents_out"] == 1
    stage = registry.create(step(tmp_path, "c4_clean", "clean"))
    assert stage.process(stage.units()[0], Reporter(None)).counts.documents_in == 0
