"""A golden case for each place where the common programs for StackExchange's dumps go wrong.

Each test is named after the program and what it does, and fails with what that program does, which
most of them show beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from stages.engine import files
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.stackexchange import largest
from stages.stackexchange.html import HtmlConverter
from stages.stackexchange.settings import StackExchangeSettings
from tests.stages.helpers import check_folder, read_rows
from tests.stages.stackexchange_dumps import answer, posts_xml, question, row, seven_zip, write

SITE = "x.example.com"


def run(tmp: Path, files_: dict[str, bytes], **settings: Any) -> list[dict[str, Any]]:
    """The documents of dumps, given by path."""
    for name, data in files_.items():
        write(tmp / "in" / name, data)
    step = Step("se", "stackexchange", str(tmp / "out"), {"input": [str(tmp / "in")]}, settings)
    run_step(step)
    check_folder(tmp / "out")
    return read_rows(tmp / "out")


def text_of(tmp: Path, *rows: str) -> str:
    (found,) = run(tmp, {f"{SITE}/Posts.xml": posts_xml(rows)})
    text: str = found["text"]
    return text


def convert(html: str) -> str:
    return HtmlConverter(StackExchangeSettings())(html)


# -- the order of answers --------------------------------------------------------------------------

SCORES = (9, 10, -3, 100, -20, 0)


def test_redpajama_and_data_juicer_sort_scores_as_strings(tmp_path: Path) -> None:
    """Both sort the attribute of the XML, a string: 9 before 100 before 10, and -20 before -3."""
    rows = [answer(n, 1, score) for n, score in enumerate(SCORES, 2)]
    (found,) = run(tmp_path, {f"{SITE}/Posts.xml": posts_xml([question(1), *rows])})
    order = orjson.loads(found["meta"])["answer_scores"]
    theirs = sorted(SCORES, key=str, reverse=True)
    assert order == [100, 10, 9, 0, -3, -20] != theirs
    places = [found["text"].index(f"answer {SCORES.index(score) + 2}") for score in order]
    assert places == sorted(places)


def test_the_pile_keeps_three_answers_with_a_score_of_three(tmp_path: Path) -> None:
    rows = [answer(n, 1, n - 4) for n in range(2, 10)]
    (found,) = run(tmp_path, {f"{SITE}/Posts.xml": posts_xml([question(1), *rows])})
    assert orjson.loads(found["meta"])["answer_scores"] == [5, 4, 3, 2, 1, 0, -1, -2]


# -- text ------------------------------------------------------------------------------------------


def test_redpajama_runs_the_title_into_the_body(tmp_path: Path) -> None:
    text = text_of(tmp_path, question(1, "<p>It is red.</p>", Title="Why red"))
    assert text == "Q: Why red\n\nIt is red."
    assert "Why red It is red." not in text


def test_redpajama_makes_stars_of_numbered_lists_and_of_the_list_itself() -> None:
    """`<ol>` and each `<li>` become a star there: three for these two items, and no number."""
    html = "<p>Do:</p>\n\n<ol>\n<li>peel</li>\n<li>slice</li>\n</ol>"
    assert convert(html) == "Do:\n\n1. peel\n2. slice"
    assert convert(html.replace("ol>", "ul>")) == "Do:\n\n- peel\n- slice"


def test_redpajama_code_has_no_marks() -> None:
    html = "<p>Try</p>\n\n<pre><code>if a:\n\n    b()\n</code></pre>\n\n<p>or <code>c</code>.</p>"
    assert convert(html) == "Try\n\n```\nif a:\n\n    b()\n```\n\nor `c`."


def test_redpajama_images_leave_nothing() -> None:
    assert convert('<p>See <img src="i.png" alt="a green gate">.</p>') == "See [a green gate]."


def test_redpajama_links_keep_their_text() -> None:
    html = '<p>See <a href="https://x.example/">the page</a>.</p>'
    assert convert(html) == "See the page."
    kept = HtmlConverter(StackExchangeSettings(link_urls="keep"))(html)
    assert kept == "See the page (https://x.example/)."


# -- threads that lie apart ------------------------------------------------------------------------


def test_redpajama_needs_a_whole_site_in_one_file(tmp_path: Path) -> None:
    """Answers stand in a file before that of their question, and in another kind of file."""
    asked = [question(n, Title=f"Title {n}") for n in (1, 2, 3)]
    first = [answer(10, 3, 5), answer(11, 1, 7), answer(12, 2, -1)]
    second = [answer(20, 3, 6), answer(21, 1, 8)]
    found = run(
        tmp_path,
        {
            f"a/{SITE}/Posts.xml": posts_xml(first),
            f"b/{SITE}/Posts.xml": posts_xml([*second, asked[1]]),
            f"c/{SITE}.7z": seven_zip({"Posts.xml": posts_xml([asked[2], asked[0]])}),
        },
    )
    order = {r["title"]: orjson.loads(r["meta"])["answer_ids"] for r in found}
    assert order == {"Title 1": [21, 11], "Title 2": [12], "Title 3": [20, 10]}
    assert {r["origin"].split("#")[0].rpartition("/in/")[2][0] for r in found} == {"b", "c"}


def test_answers_meet_a_question_that_comes_units_later(tmp_path: Path) -> None:
    """All answers stand before all questions, and the file is cut into many units."""
    body = f"<p>{'so ' * 200}</p>"
    answers = [answer(1000 + n, n % 40 + 1, n % 7, body) for n in range(160)]
    data = posts_xml([*answers, *(question(n) for n in range(1, 41))])
    write(tmp_path / "in" / SITE / "Posts.xml", data)
    given = {"input": [str(tmp_path / "in")]}
    layout = {"split_bytes": len(data) // 12, "bundle_bytes": 0}
    step = Step("se", "stackexchange", str(tmp_path / "out"), given, layout=layout)
    done = run_step(step).manifest
    assert done.counts.skipped == {"answer_in_thread": 160}
    assert done.counts.documents_out == 40
    assert {len(orjson.loads(r["meta"])["answer_ids"]) for r in read_rows(tmp_path / "out")} == {4}


# -- the largest sites -----------------------------------------------------------------------------


def test_redpajama_measures_a_site_by_the_lines_of_its_file(tmp_path: Path) -> None:
    """Lines less three: tag wikis count, rows on one line do not, and a line end in a row does."""
    one_line = posts_xml([question(1), *(answer(n, 1) for n in range(2, 9))]).replace(b"\r\n", b"")
    wikis = posts_xml([question(1), *(row(Id=n, PostTypeId=5) for n in range(2, 20))])
    write(tmp_path / "posts.example" / "Posts.xml", one_line)
    write(tmp_path / "wikis.example" / "Posts.xml", wikis)
    counts, broken = largest.posts_by_site(files.glob(str(tmp_path)), StackExchangeSettings())
    assert (dict(counts), broken) == ({"posts.example": 8, "wikis.example": 1}, 0)
    assert list(largest.largest(counts, 1)) == ["posts.example"]
    lines = {"posts.example": one_line.count(b"\n") - 3, "wikis.example": wikis.count(b"\n") - 3}
    assert max(lines, key=lambda site: lines[site]) == "wikis.example"


def test_dumps_of_2024_come_in_another_form(tmp_path: Path) -> None:
    """Folders of unpacked files, beside archives as they were before; other tables are not read."""
    found = run(
        tmp_path,
        {
            "old.example.com.7z": seven_zip({"Posts.xml": posts_xml([question(1, Title="old")])}),
            "new.example.com/Posts.xml": posts_xml([question(1, Title="new")]),
            "new.example.com/Users.xml": b"never read",
            "big.example.com-Posts.7z": seven_zip(
                {"Posts.xml": posts_xml([question(1, Title="big")])}
            ),
            "big.example.com-Users.7z": b"never read",
        },
    )
    assert {r["title"] for r in found} == {"old", "new", "big"}
