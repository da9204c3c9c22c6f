"""Drawing the pages to train on: what is joined by URL, what is random, and that none is lost."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.reference.domains import registered_domain
from stages.reference.pages import bound, chance
from stages.reference.url_list import listed_urls
from stages.registry import create
from tests.stages.helpers import check_folder, read_rows, shuffle, write_part

CITED = pa.field("cited_urls", pa.list_(pa.string()))


def page(key: str, url: str | None, kind: str = "conversion") -> dict[str, Any]:
    return {"id": key, "url": url, "text": f"text of {key}", "meta": f'{{"record_type":"{kind}"}}'}


def crawl(folder: Path, parts: list[list[dict[str, Any]]]) -> str:
    for i, rows in enumerate(parts):
        write_part(folder / f"part-{i:05d}-of-{len(parts):05d}.parquet", rows)
    return str(folder)


def wikipedia(folder: Path, *articles: list[str] | None) -> str:
    rows = [{"id": f"w{i}", "text": "x", "cited_urls": urls} for i, urls in enumerate(articles)]
    write_part(folder / "part-00000-of-00001.parquet", rows, [CITED])
    return str(folder)


def draw(tmp: Path, inputs: dict[str, str], **settings: Any) -> dict[str, dict[str, Any]]:
    """Pages drawn by id."""
    step = Step(
        name="reference_pages",
        stage="reference_pages",
        output=str(tmp / "out"),
        inputs={port: [path] for port, path in inputs.items()},
        settings=settings,
    )
    counts = shuffle(step)
    rows = read_rows(tmp / "out")
    assert counts["records"] == counts["documents_in"] + sum(counts["skipped"].values())
    assert counts["documents_out"] == len(rows)
    return {row["id"]: row for row in rows}


def test_pages_are_cited_whatever_scheme_www_or_slash_the_article_wrote(tmp_path: Path) -> None:
    urls = {
        "a": "https://www.one.example/x/",
        "b": "http://two.example/y?q=1",
        "c": "https://three.example/Z",
        "d": "https://four.example/not-cited",
    }
    folder = crawl(tmp_path / "crawl", [[page(k, u)] for k, u in urls.items()])
    cited = wikipedia(
        tmp_path / "wiki",
        ["http://one.example/x", "https://www.two.example/y?q=1"],
        None,
        [],
        ["http://three.example/z", "https://elsewhere.example/"],
    )
    found = draw(tmp_path, {"crawl": folder, "wikipedia": cited}, random_per_reference=1000)
    assert {k: row["label"] for k, row in found.items()} == {
        "a": "reference",
        "b": "reference",
        "c": "random",  # paths differ by case, so these are two pages
        "d": "random",
    }
    assert found["a"]["domain"] == "one.example"
    assert found["a"]["tool"] == "crawled/conversion"


def test_random_pages_come_from_the_whole_corpus_not_from_the_head_of_each_file(
    tmp_path: Path,
) -> None:
    """RedPajama took the first documents of every file."""
    parts = [[page(f"u{u}d{d}", f"https://s{u}.example/{d}") for d in range(100)] for u in range(4)]
    folder = crawl(tmp_path / "crawl", parts)
    cited = wikipedia(tmp_path / "wiki", [f"https://s0.example/{d}" for d in range(20)])
    inputs = {"crawl": folder, "wikipedia": cited}
    found = draw(tmp_path, inputs, random_per_reference=4)
    drawn = [k for k, row in found.items() if row["label"] == "random"]
    assert 50 < len(drawn) < 110  # 80 are wanted, less those of them that are cited
    assert min(sum(k.startswith(f"u{u}d") for k in drawn) for u in range(4)) > 5
    assert sum(int(k.split("d")[1]) >= 50 for k in drawn) > 20
    assert sum(row["label"] == "reference" for row in found.values()) == 20


def test_the_draw_depends_on_seed_and_ids_and_not_on_how_the_corpus_is_cut(tmp_path: Path) -> None:
    rows = [page(f"d{d}", f"https://s{d}.example/") for d in range(200)]
    cited = wikipedia(tmp_path / "wiki", [f"https://s{d}.example/" for d in range(10)])
    whole = crawl(tmp_path / "whole", [rows])
    cut = crawl(tmp_path / "cut", [rows[i::3] for i in range(3)])
    one = draw(tmp_path / "1", {"crawl": whole, "wikipedia": cited})
    assert set(draw(tmp_path / "2", {"crawl": cut, "wikipedia": cited})) == set(one)
    assert set(draw(tmp_path / "3", {"crawl": cut, "wikipedia": cited}, seed=1)) != set(one)


def test_no_cited_page_is_ever_a_random_one_even_if_it_is_not_drawn(tmp_path: Path) -> None:
    rows = [page(f"d{d}", f"https://s{d}.example/") for d in range(60)]
    folder = crawl(tmp_path / "crawl", [rows])
    cited = wikipedia(tmp_path / "wiki", [f"https://s{d}.example/" for d in range(50)])
    inputs = {"crawl": folder, "wikipedia": cited}
    found = draw(tmp_path, inputs, max_references=10, random_per_reference=100)
    references = {k for k, row in found.items() if row["label"] == "reference"}
    assert 2 <= len(references) <= 22 and references <= {f"d{d}" for d in range(50)}
    assert set(found) - references == {f"d{d}" for d in range(50, 60)}


def test_fetched_pages_are_references_unless_they_were_crawled(tmp_path: Path) -> None:
    folder = crawl(tmp_path / "crawl", [[page("a", "https://a.example/"), page("b", None)]])
    fetched = crawl(
        tmp_path / "fetched",
        [
            [
                page("fa", "http://www.a.example", "response"),
                page("fz", "https://z.example/", "response"),
                page("f0", None, "response"),
            ]
        ],
    )
    others = crawl(
        tmp_path / "others",
        [[page("oz", "https://z.example", "response"), page("oy", "https://y.example/")]],
    )
    inputs = {"crawl": folder, "pages": fetched, "random_pages": others}
    found = draw(tmp_path, inputs, random_per_reference=100)
    assert {k: row["label"] for k, row in found.items()} == {
        "a": "reference",
        "b": "random",
        "fz": "reference",
        "f0": "reference",
        "oy": "random",
    }
    assert found["fz"]["tool"] == "fetched/response"
    assert found["f0"]["domain"] == ""


def test_lists_of_urls_plain_and_gzip(tmp_path: Path) -> None:
    folder = crawl(
        tmp_path / "crawl", [[page(k, f"https://{k}.example/") for k in ("a", "b", "c")]]
    )
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "1.txt").write_text("# cited\nhttp://a.example\r\n\nnot a url\n")
    (tmp_path / "lists" / "2.txt.gz").write_bytes(gzip.compress(b"http://b.example/"))
    inputs = {"crawl": folder, "urls": str(tmp_path / "lists")}
    found = draw(tmp_path, inputs, random_per_reference=100)
    assert {k for k, row in found.items() if row["label"] == "reference"} == {"a", "b"}


def urls_of(content: bytes) -> list[str]:
    return [url for _, url in listed_urls(io.BytesIO(content))]


def test_a_line_of_megabytes_is_passed_over() -> None:
    content = b"http://a.example\n" + b"x" * 3_000_000 + b"\nhttp://b.example\n" + b"y" * 100_000
    assert list(listed_urls(io.BytesIO(content))) == [
        (1, "http://a.example"),
        (3, "http://b.example"),
    ]
    packed = gzip.compress(b"\0" * 5_000_000 + b"\nhttp://c.example")
    assert urls_of(packed) == ["http://c.example"]
    assert urls_of(b"\xff\xfe\n") == ["\ufffd\ufffd"]


def test_archived_urls_in_lists_count_for_what_was_archived(tmp_path: Path) -> None:
    lines = [
        b"https://web.archive.org/web/20200117123339/https://www.a.example/x",
        b"https://archive.ph/20190101000000/http://b.example/?y=1&copy=2",
        b"http://c.example/z?a=1&copy=2.",  # as it is: nobody wrote it into wikitext
    ]
    assert urls_of(b"\n".join(lines)) == [
        "https://www.a.example/x",
        "http://b.example/?y=1&copy=2",
        "http://c.example/z?a=1&copy=2.",
    ]
    folder = crawl(tmp_path / "crawl", [[page("a", "http://a.example/x/"), page("d", None)]])
    (tmp_path / "list.txt").write_bytes(lines[0])
    inputs = {"crawl": folder, "urls": str(tmp_path / "list.txt")}
    found = draw(tmp_path, inputs, random_per_reference=100)
    assert {k: row["label"] for k, row in found.items()} == {"a": "reference", "d": "random"}


def test_a_damaged_list_is_a_bad_record_with_its_place_and_counts_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    folder = crawl(
        tmp_path / "crawl", [[page(f"d{d}", f"https://s{d}.example/") for d in range(9)]]
    )
    packed = gzip.compress(b"http://s1.example\n") + gzip.compress(b"http://s2.example\n" * 99)
    path = tmp_path / "list.gz"
    path.write_bytes(packed[:-6])
    inputs = {"crawl": [folder], "urls": [str(path)]}
    done = run_step(Step("r", "reference_pages", str(tmp_path / "out"), inputs)).manifest
    check_folder(tmp_path / "out")
    assert done.extra["join"]["found"] == 2
    assert (done.counts.bad, done.counts.errors) == (1, {"gzip": 1})
    (bad,) = read_rows(tmp_path / "out", "bad")
    assert bad["file"] == str(path) and bad["offset"] == "after line 100"
    assert done.extra["join"]["pages_read"] == 9


def test_a_finished_step_counts_and_says_what_it_found(tmp_path: Path) -> None:
    folder = crawl(
        tmp_path / "crawl", [[page(f"d{d}", f"https://s{d}.example/") for d in range(30)]]
    )
    cited = wikipedia(tmp_path / "wiki", ["https://s1.example/", "https://nowhere.example/"])
    step = Step(
        name="reference_pages",
        stage="reference_pages",
        output=str(tmp_path / "out"),
        inputs={"crawl": [folder], "wikipedia": [cited]},
    )
    done = run_step(step).manifest
    check_folder(tmp_path / "out")
    assert done.extra["join"]["cited_urls"] == 2
    assert done.extra["join"]["found"] == 1
    assert done.extra["notes"][0] == "2 cited URLs, 1 of them among 30 pages"
    assert "public_suffix_list" in done.models
    assert run_step(step).skipped


def test_articles_without_their_citations_are_refused(tmp_path: Path) -> None:
    folder = crawl(tmp_path / "crawl", [[page("a", "https://a.example/")]])
    inputs = {"crawl": [folder], "wikipedia": [folder]}
    with pytest.raises(InputError, match="no column cited_urls: it was not left by `wikipedia`"):
        run_step(Step("r", "reference_pages", str(tmp_path / "out"), inputs))


def test_something_must_say_which_pages_are_cited(tmp_path: Path) -> None:
    folder = crawl(tmp_path / "crawl", [[page("a", "https://a.example/")]])
    step = Step("r", "reference_pages", str(tmp_path / "out"), {"crawl": [folder]})
    with pytest.raises(InputError, match="nothing says which pages"):
        create(step)


def test_a_share_of_all_chances_lies_below_a_bound() -> None:
    drawn = sum(chance(f"d{i}", 0) < bound(300, 1000) for i in range(5000))
    assert 1350 < drawn < 1650
    assert chance("x", 0) < bound(5, 5)
    assert not chance("x", 0) < bound(0, 5)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://news.bbc.co.uk/x", "bbc.co.uk"),
        ("http://me.blogspot.com/", "blogspot.com"),
        ("http://www.de-pages.example:80/", "de-pages.example"),
        ("http://192.0.2.7/x", "192.0.2.7"),
        ("http://[2001:db8::1]/", "[2001:db8::1]"),
        ("http://localhost/", "localhost"),
        ("no url", None),
    ],
)
def test_registered_domains(url: str, domain: str | None) -> None:
    assert registered_domain(url) == domain
