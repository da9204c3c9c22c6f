"""What two sources share: counted exactly, removed only if told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import registry
from stages.dedup.overlap import url_match_key
from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from tests.stages.helpers import check_folder, digests, read_rows, shuffle, write_parts

C4 = [
    {"id": "url", "text": "own text\nshared line", "url": "https://www.a.example/1/"},
    {"id": "text", "text": "the same text", "url": "https://b.example/2"},
    {"id": "both", "text": "the same, too", "url": "https://a.example/3", "meta": '{"x":1}'},
    {"id": "own", "text": "nothing\n\nelse", "url": "https://b.example/4"},
    {"id": "no-url", "text": "nothing more"},
]
CRAWL = [
    {"id": "w1", "text": "menu\nSHARED line\nfooter 7", "url": "http://a.example/1"},
    {"id": "w2", "text": "the same text", "url": "https://c.example/"},
    {"id": "w3", "text": "the same, too", "url": "https://a.example/3"},
    {"id": "w4", "text": "\n\nfooter 8"},
]


def overlap(tmp: Path, **more: Any) -> Manifest:
    write_parts(tmp / "c4", [C4[:2], C4[2:]])
    write_parts(tmp / "crawl", [CRAWL[:1], [], CRAWL[1:]])
    inputs = {"input": [str(tmp / "c4")], "against": [str(tmp / "crawl")]}
    done = run_step(Step("overlap", "overlap", str(tmp / "out"), inputs, settings=more)).manifest
    check_folder(tmp / "out")
    return done


def ids(folder: Path) -> list[str]:
    return [row["id"] for row in read_rows(folder)]


def test_overlap_is_counted_on_both_sides_and_nothing_is_removed(tmp_path: Path) -> None:
    done = overlap(tmp_path)
    assert done.extra["overlap"] == {
        "input": {
            "documents": 5,
            "url": 2,
            "url_share": 0.4,
            "text": 2,
            "text_share": 0.4,
            "url_and_text": 1,
            "lines": 7,
            "lines_shared": 3,
            "lines_shared_share": round(3 / 7, 6),
        },
        "against": {
            "documents": 4,
            "url": 2,
            "url_share": 0.5,
            "text": 2,
            "text_share": 0.5,
            "url_and_text": 1,
            "lines": 6,
            "lines_shared": 3,
            "lines_shared_share": 0.5,
        },
    }
    assert done.extra["notes"] == [
        "of 5 documents 2 (40.00%) have their URL and 2 (40.00%) exactly their text in the other"
        " source; of their lines 42.86% are there"
    ]
    rows = {row["id"]: row for row in read_rows(tmp_path / "out")}
    assert [r["text"] for r in rows.values()] == [r["text"] for r in C4]
    assert {k: r["meta"] for k, r in rows.items()} == {
        "url": '{"overlap":["url"]}',
        "text": '{"overlap":["text"]}',
        "both": '{"overlap":["url","text"],"x":1}',
        "own": None,
        "no-url": None,
    }


@pytest.mark.parametrize(
    ("remove", "stay", "reasons"),
    [
        ("url", ["text", "own", "no-url"], {"overlap_url": 2}),
        ("text", ["url", "own", "no-url"], {"overlap_text": 2}),
        ("both", ["own", "no-url"], {"overlap_url": 2, "overlap_text": 1}),
    ],
)
def test_what_is_removed_says_why(
    tmp_path: Path, remove: str, stay: list[str], reasons: dict[str, int]
) -> None:
    done = overlap(tmp_path, remove=remove)
    assert ids(tmp_path / "out") == stay
    assert dict(done.counts.reasons) == reasons
    details = {row["id"]: row["detail"] for row in read_rows(tmp_path / "out", "rejected")}
    if remove == "both":
        assert details == {
            "url": "in the other source: url; a.example/1",
            "text": "in the other source: text",
            "both": "in the other source: url and text; a.example/3",
        }


def test_lines_need_not_be_compared(tmp_path: Path) -> None:
    with_lines = overlap(tmp_path)
    texts = digests(tmp_path / "out")
    without = overlap(tmp_path, lines=False)
    assert digests(tmp_path / "out") == texts
    assert "lines" not in without.extra["overlap"]["input"]
    assert without.extra["notes"][0].endswith("in the other source")
    assert without.extra["overlap"]["input"].items() < with_lines.extra["overlap"]["input"].items()


def test_a_url_repeated_on_one_side_is_no_overlap(tmp_path: Path) -> None:
    write_parts(tmp_path / "c4", [[C4[0], {**C4[0], "id": "again"}], [C4[0] | {"id": "more"}]])
    write_parts(tmp_path / "crawl", [[CRAWL[3]]])
    inputs = {"input": [str(tmp_path / "c4")], "against": [str(tmp_path / "crawl")]}
    step = Step("overlap", "overlap", str(tmp_path / "out"), inputs, settings={"remove": "both"})
    assert run_step(step).manifest.counts.documents_out == 3


def test_no_documents_at_all_are_no_overlap(tmp_path: Path) -> None:
    write_parts(tmp_path / "c4", [[]])
    write_parts(tmp_path / "crawl", [[]])
    inputs = {"input": [str(tmp_path / "c4")], "against": [str(tmp_path / "crawl")]}
    done = run_step(Step("overlap", "overlap", str(tmp_path / "out"), inputs)).manifest
    assert done.extra["notes"][0].startswith("of 0 documents 0 (0.00%)")


def test_the_other_source_must_be_given(tmp_path: Path) -> None:
    write_parts(tmp_path / "c4", [C4])
    with pytest.raises(InputError, match="--against"):
        registry.create(Step("overlap", "overlap", "out", {"input": [str(tmp_path / "c4")]}))


def test_part_names_are_those_of_the_input_alone(tmp_path: Path) -> None:
    overlap(tmp_path)
    names = sorted(p.name for p in (tmp_path / "out").glob("part-*"))
    assert names == ["part-00000-of-00002.parquet", "part-00001-of-00002.parquet"]


_DOCUMENT = st.tuples(
    st.sampled_from([None, "http://a.example/", "https://www.a.example", "b.example", "::", ""]),
    st.lists(st.sampled_from(["one", "ONE ", "two", "", "3", "4"]), min_size=1, max_size=3).map(
        "\n".join
    ),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_DOCUMENT, min_size=1, max_size=6), st.lists(_DOCUMENT, min_size=1, max_size=6))
def test_the_counts_are_those_of_plain_sets(
    tmp_path_factory: pytest.TempPathFactory,
    ours: list[tuple[str | None, str]],
    theirs: list[tuple[str | None, str]],
) -> None:
    tmp = tmp_path_factory.mktemp("overlap")
    for name, documents in (("c4", ours), ("crawl", theirs)):
        rows = [{"id": f"{i}", "text": t, "url": u} for i, (u, t) in enumerate(documents)]
        write_parts(tmp / name, [rows[::2], rows[1::2]])
    inputs = {"input": [str(tmp / "c4")], "against": [str(tmp / "crawl")]}
    shuffle(Step("overlap", "overlap", str(tmp / "out"), inputs))
    found = {
        row["id"]: orjson.loads(row["meta"])["overlap"] if row["meta"] else []
        for row in read_rows(tmp / "out")
    }
    urls = {url_match_key(u) for u, _ in theirs if u}
    texts = {t for _, t in theirs}
    assert found == {
        f"{i}": [
            name
            for name, is_shared in (
                ("url", bool(u) and url_match_key(u or "") in urls),
                ("text", t in texts),
            )
            if is_shared
        ]
        for i, (u, t) in enumerate(ours)
    }
