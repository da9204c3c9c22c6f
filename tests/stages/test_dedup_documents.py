"""URL dedup and exact-document dedup: which copy stays, and that one always does."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup import documents
from stages.dedup.documents import seconds
from stages.engine.step import Step
from tests.stages.helpers import read_rows, shuffle, write_parts

Row = dict[str, Any]


def run(folder: Path, stage: str, units: list[list[Row]], **given: Any) -> list[str]:
    """ids that stay, in order."""
    write_parts(folder / "in", units)
    return again(folder, stage, "in", **given)


def again(folder: Path, stage: str, before: str, **given: Any) -> list[str]:
    out = f"{folder}/{stage}"
    shuffle(Step(stage, stage, out, {"input": [f"{folder}/{before}"]}, given))
    return [r["id"] for r in read_rows(out)]


def row(key: str, url: str | None = None, created: str | None = None, text: str = "") -> Row:
    return {"id": key, "url": url, "created": created, "text": text or key}


@pytest.mark.parametrize("stage", ["url_dedup", "document_dedup"])
def test_parts_of_others_may_lack_columns(tmp_path: Path, stage: str) -> None:
    table = pa.table({"id": ["a", "b", "c"], "text": ["x", "y", "x"], "source": ["s"] * 3})
    table = table.append_column("origin", table["id"])
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "part-00000-of-00001.parquet")
    left = {"url_dedup": ["a", "b", "c"], "document_dedup": ["a", "b"]}
    assert again(tmp_path, stage, "in") == left[stage]


# -- URLs -----------------------------------------------------------------------------------------


def test_the_newest_crawl_of_a_url_stays(tmp_path: Path) -> None:
    units = [
        [row("a", "http://x.org/", "2019-01-01T00:00:00Z"), row("b", "http://y.org/", None)],
        [row("c", "http://x.org/", "2020-01-01T00:00:00Z")],
        [row("d", "http://x.org/", "2018-01-01T00:00:00Z")],
    ]
    assert run(tmp_path, "url_dedup", units) == ["b", "c"]
    left = read_rows(tmp_path / "url_dedup", "rejected")
    assert [(r["id"], r["reason"], r["url"]) for r in left] == [
        ("a", "duplicate_url", "http://x.org/"),
        ("d", "duplicate_url", "http://x.org/"),
    ]


def test_the_first_crawl_stays_on_request_and_in_ties(tmp_path: Path) -> None:
    same = "2020-01-01T00:00:00Z"
    units = [
        [row("a", "http://x/", same), row("b", "http://x/", same)],
        [row("c", "http://x/", same)],
    ]
    assert run(tmp_path, "url_dedup", units) == ["a"]
    units[1][0]["created"] = "2021-01-01T00:00:00Z"
    assert run(tmp_path, "url_dedup", units) == ["c"]
    assert run(tmp_path, "url_dedup", units, keep="first") == ["a"]


def test_urls_are_compared_by_their_normal_form(tmp_path: Path) -> None:
    units = [
        [row("a", "HTTP://Example.org:80/a/../b#top"), row("b", "http://example.org/b")],
        [row("c", "http://example.org/B"), row("d", "http://example.org/b?")],
    ]
    assert run(tmp_path, "url_dedup", units) == ["a", "c", "d"]


def test_documents_without_a_url_all_stay_and_broken_urls_count_as_they_are(
    tmp_path: Path,
) -> None:
    units = [[row("a"), row("b", ""), row("c", "http://[x")], [row("d"), row("e", "http://[x")]]
    assert run(tmp_path, "url_dedup", units) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("broken", [None, "", "yesterday", "2020-13-01", "2020/01/01"])
def test_a_crawl_without_a_readable_time_yields_to_one_with_it(
    tmp_path: Path, broken: str | None
) -> None:
    units = [[row("a", "http://x/", broken)], [row("b", "http://x/", "1999-01-01T00:00:00Z")]]
    assert run(tmp_path, "url_dedup", units) == ["b"]


def test_times_are_utc_whatever_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    times = []
    for zone in ("UTC", "Pacific/Auckland"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        times.append(seconds("2020-06-01T00:00:00"))
    monkeypatch.undo()
    time.tzset()
    assert times == [1590969600, 1590969600]
    assert seconds("2020-06-01T02:00:00+02:00") == seconds("2020-06-01T00:00:00Z") == 1590969600
    assert seconds("2020-06-01") == 1590969600
    assert seconds("0001-01-01T00:00:00+14:00") < 0
    assert seconds("9999-12-31T23:59:59") > 0


# -- texts ----------------------------------------------------------------------------------------


def test_the_first_of_equal_texts_stays(tmp_path: Path) -> None:
    units = [
        [row("a", text="x"), row("b", text="x"), row("c", text="X")],
        [row("d", text="x"), row("e", text="é")],
        [row("f", text="e\u0301"), row("g", text="é")],
    ]
    assert run(tmp_path, "document_dedup", units) == ["a", "c", "e", "f"]
    left = read_rows(tmp_path / "document_dedup", "rejected")
    assert {r["reason"] for r in left} == {"duplicate_document"}


@pytest.mark.parametrize("stage", ["url_dedup", "document_dedup"])
def test_units_without_documents_or_keys_are_fine(tmp_path: Path, stage: str) -> None:
    units = [[], [row("a", text="x"), row("b", text="y")], []]
    assert run(tmp_path, stage, units) == ["a", "b"]


# -- against memory, and both ---------------------------------------------------------------------


def naive_urls(rows: list[Row]) -> list[Row]:
    best: dict[str, int] = {}
    for i, r in enumerate(rows):
        rank = seconds(r["created"])
        if r["url"] and (r["url"] not in best or rank > seconds(rows[best[r["url"]]]["created"])):
            best[r["url"]] = i
    return [r for i, r in enumerate(rows) if not r["url"] or best[r["url"]] == i]


def naive_texts(rows: list[Row]) -> list[Row]:
    first: dict[str, str] = {}
    for r in rows:
        first.setdefault(r["text"], r["id"])
    return [r for r in rows if first[r["text"]] == r["id"]]


some_rows = st.lists(
    st.tuples(
        st.sampled_from([None, "", "http://a/", "http://b/", "http://c/"]),
        st.sampled_from([None, "bad", "2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z"]),
        st.sampled_from(["t1", "t2", "t3", "t4"]),
    ),
    max_size=14,
)


@given(some_rows, st.lists(st.integers(0, 14), max_size=3), st.sampled_from([1, 3, 8]))
@settings(max_examples=40, deadline=None)
def test_both_in_sequence_never_lose_both_copies(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[str | None, str | None, str]],
    cuts: list[int],
    partitions: int,
) -> None:
    rows = [row(str(i), *values) for i, values in enumerate(drawn)]
    edges = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    units = [rows[a:b] for a, b in pairwise(edges)]
    folder = tmp_path_factory.mktemp("dedup")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "_MIN_PARTITIONS", partitions)
        crawls = run(folder, "url_dedup", units)
        final = again(folder, "document_dedup", "url_dedup")
    by_url = naive_urls(rows)
    assert crawls == [r["id"] for r in by_url]
    assert final == [r["id"] for r in naive_texts(by_url)]
    # Every URL keeps a crawl, and every text of a crawl that stayed keeps a document.
    assert {r["url"] for r in by_url if r["url"]} == {r["url"] for r in rows if r["url"]}
    assert {rows[int(i)]["text"] for i in final} == {rows[int(i)]["text"] for i in crawls}
    assert not rows or final
