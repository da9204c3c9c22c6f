"""The whole step: threads meet across files and units, counts balance, bytes do not vary."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
import yaml
from typer.testing import CliRunner

from stages.engine import files
from stages.engine.execute import StageError
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.stackexchange import largest, stage
from stages.stackexchange.pinned import site_notes
from stages.stackexchange.post import Post
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.spill import SpillWriter, partition_of, partitions_for, read_threads
from tests.data_paths import SHARED_DATA, needs_shared_data
from tests.stages.helpers import check_folder, digests, read_rows
from tests.stages.stackexchange_dumps import answer, posts_xml, question, row, seven_zip, write

SITE = "x.example.com"


def step(tmp: Path, out: str = "out", **more: Any) -> Step:
    given = {"inputs": {"input": [str(tmp / "in")]}, "output": str(tmp / out)}
    return Step(**{"name": "se", "stage": "stackexchange", **given, **more})


def run(tmp: Path, out: str = "out", **more: Any) -> dict[str, Any]:
    """Runs the step; its counts as JSON, after what must hold of every step."""
    done = run_step(step(tmp, out, **more)).manifest
    check_folder(tmp / out)
    return done.counts.to_json()


def threads(count: int, rng: random.Random) -> tuple[list[str], dict[int, list[int]]]:
    """Rows in any order, and per question its answers' numbers in the order due."""
    rows, due, number = [], {}, 10_000
    for q in range(1, count + 1):
        rows.append(question(q, "<p>" + "why " * 30 + "</p>"))
        answers = []
        for _ in range(rng.randrange(4)):
            number += 1
            answers.append((number, rng.randrange(-30, 120)))
        rows += [answer(n, q, s, f"<p>{'so ' * 20}{n}</p>") for n, s in answers]
        due[q] = [n for n, s in sorted(answers, key=lambda a: (-a[1], a[0]))]
    rng.shuffle(rows)
    return rows, due


def test_answers_meet_their_question_wherever_they_lie_in_the_file(tmp_path: Path) -> None:
    rows, due = threads(120, random.Random(1))
    data = posts_xml(rows)
    write(tmp_path / "in" / SITE / "Posts.xml", data)
    counts = run(tmp_path, layout={"split_bytes": len(data) // 9})
    found = read_rows(tmp_path / "out")
    assert {
        int(r["id"].rsplit("/", 1)[1]): orjson.loads(r["meta"])["answer_ids"] for r in found
    } == due
    assert counts["records"] == len(rows)
    assert counts["documents_out"] == 120
    assert counts["skipped"] == {"answer_in_thread": len(rows) - 120}
    assert counts["other"] == {"posts": len(rows), "posts_grouped": len(rows)}


def test_bytes_do_not_depend_on_how_the_dump_is_cut_or_spilled(tmp_path: Path) -> None:
    rows, _ = threads(60, random.Random(2))
    data = posts_xml(rows)
    write(tmp_path / "in" / SITE / "Posts.xml", data)
    run(tmp_path, "one", settings={"spill_mb": 1})
    run(tmp_path, "again", settings={"spill_mb": 1})
    run(tmp_path, "cut", layout={"split_bytes": len(data) // 5})
    one, cut = read_rows(tmp_path / "one"), read_rows(tmp_path / "cut")
    assert one == cut
    assert digests(tmp_path / "one") == digests(tmp_path / "again")
    names = [p.name for p in sorted((tmp_path / "one").glob("part-*"))]
    assert names == [f"part-{i:05d}-of-00005.parquet" for i in range(4)]


def test_every_post_is_accounted_for(tmp_path: Path) -> None:
    long = "x" * 300
    rows = [
        question(1), answer(2, 1), answer(3, 99), answer(4, 1, -5), answer(5, 1, body="<p></p>"),
        question(6, DeletionDate="2020-01-01T00:00:00"), answer(7, 6), question(8, long),
        answer(9, 8), question(10, ClosedDate="2020-01-01T00:00:00"), answer(11, 10),
        question(12), question(1), row(Id=13, PostTypeId=5), row(Id=14, PostTypeId=1),
        row(Id=15, PostTypeId=2, Score=1, Body="no parent"),
    ]  # fmt: skip
    data = posts_xml(rows)
    write(tmp_path / "in" / SITE / "Posts.xml", data)
    chosen = {"max_body_chars": 200, "closed": "reject", "unanswered": "reject"}
    counts = run(tmp_path, settings={**chosen, "min_answer_score": 0})
    assert counts["reasons"] == {
        "closed": 1, "deleted": 1, "duplicate_post": 1, "empty": 1, "low_score": 1,
        "orphan_answer": 2, "question_rejected": 3, "too_large": 1, "unanswered": 1,
    }  # fmt: skip
    assert counts["errors"] == {"row": 1}
    assert counts["skipped"] == {"answer_in_thread": 1, "tag_wiki": 1}
    assert (counts["documents_out"], counts["records"]) == (1, len(rows))
    rejected = {r["id"].rsplit("/", 1)[1]: r for r in read_rows(tmp_path / "out", "rejected")}
    assert rejected["7"]["detail"] == "question 6: deleted"
    assert rejected["7"]["url"] == f"https://{SITE}/a/7"
    assert rejected["3"]["origin"].endswith(f"#{data.index(b'<row Id=' + bytes([34]) + b'3')}")
    (bad,) = read_rows(tmp_path / "out", "bad")
    assert bad["offset"] == str(data.index(b'<row Id="14"'))


def test_a_post_lost_on_the_way_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in" / SITE / "Posts.xml", posts_xml([question(1), answer(2, 1)]))

    def forgetful(references: Any) -> Any:
        for thread in read_threads(references):
            yield thread[:1]

    monkeypatch.setattr(stage, "read_threads", forgetful)
    with pytest.raises(StageError, match="2 records found, but 1 accounted for"):
        run_step(step(tmp_path))


def test_archives_and_folders_of_several_sites(tmp_path: Path) -> None:
    one = posts_xml([question(1), answer(2, 1)])
    two = posts_xml([question(1, Title="Other"), answer(2, 1)])
    write(tmp_path / "in" / "a.example.com.7z", seven_zip({"Users.xml": b"<x/>", "Posts.xml": one}))
    write(tmp_path / "in" / "b.example.com-Posts.7z", seven_zip({"Posts.xml": two}))
    write(tmp_path / "in" / "b.example.com-Users.7z", b"never read")
    write(tmp_path / "in" / "c.example.com" / "Posts.xml", one)
    write(tmp_path / "in" / "c.example.com" / "Users.xml", b"never read")
    counts = run(tmp_path)
    found = {r["id"]: r["title"] for r in read_rows(tmp_path / "out")}
    # The same numbers on different sites are different posts.
    assert found == {
        "stackexchange/a.example.com/1": "Title 1",
        "stackexchange/b.example.com/1": "Other",
        "stackexchange/c.example.com/1": "Title 1",
    }
    assert counts["other"]["files_unused"] == 2
    kept = run(tmp_path, "kept", settings={"sites": {"B.example.com": 2}})
    assert kept["documents_out"] == 1
    manifest = files.read_json(str(tmp_path / "kept" / "_MANIFEST.json"))
    assert manifest["extra"]["sites"] == {
        "b.example.com": {"answers": 1, "questions": 1, "pinned_posts": 2}
    }


def test_a_dump_given_twice_counts_once(tmp_path: Path) -> None:
    data = posts_xml([question(1), answer(2, 1)])
    write(tmp_path / "in" / f"{SITE}.7z", seven_zip({"Posts.xml": data}))
    write(tmp_path / "in" / SITE / "Posts.xml", data)
    counts = run(tmp_path)
    assert counts["documents_out"] == 1
    assert counts["reasons"] == {"duplicate_post": 2}


def test_input_that_cannot_work_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in" / SITE / "Users.xml", b"<users/>")
    with pytest.raises(InputError, match="empty"):
        run_step(step(tmp_path))
    write(tmp_path / "in" / SITE / "Posts.xml", posts_xml([question(1)]))
    with pytest.raises(InputError, match=r"no dump of superuser\.com in the input"):
        run_step(step(tmp_path, settings={"sites": ["superuser.com"]}))


def test_threads_survive_many_small_spills(tmp_path: Path) -> None:
    posts = [
        Post(f"s{i % 3}", i % 50, 2, i, -i, "é" * (i % 90), "o", tags=("a", "b"))
        for i in range(2000)
    ]
    path = str(tmp_path / "spill")
    with SpillWriter(path, 7, memory_bytes=20_000) as spill:
        for post in posts:
            spill.write(post)
    assert max(map(len, spill.blocks)) > 20
    found = []
    for p in range(7):
        for thread in read_threads(spill.blocks[p]):
            assert len({(post.site, post.question) for post in thread}) == 1
            assert [post.id for post in thread] == sorted(post.id for post in thread)
            assert partition_of(thread[0].site, thread[0].question, 7) == p
            found += thread
    assert sorted(found, key=lambda post: post.id) == posts


def test_partitions_follow_from_the_size_alone() -> None:
    assert partitions_for(0, 1 << 28) == 4
    assert partitions_for(100_000_000_000, 1 << 28) == 1118
    assert partitions_for(1 << 60, 1 << 20) == 4096


def test_the_largest_sites_are_counted_and_ranked(tmp_path: Path) -> None:
    wiki = row(Id=90, PostTypeId=5, Body=' PostTypeId="1" ')
    write(tmp_path / "in" / "a.com" / "Posts.xml", posts_xml([question(1), wiki, wiki]))
    three = [question(1), answer(2, 1), answer(3, 1)]
    write(tmp_path / "in" / "b.com.7z", seven_zip({"Posts.xml": posts_xml(three)}))
    write(tmp_path / "in" / "c.com" / "Posts.xml", posts_xml(three))
    write(tmp_path / "in" / "c.com-Users.7z", b"never read")
    counts, broken = largest.posts_by_site(
        files.glob(str(tmp_path / "in")), stage.StackExchangeSettings()
    )
    assert (dict(counts), broken) == ({"a.com": 1, "b.com": 3, "c.com": 3}, 0)
    assert list(largest.largest(counts, 2).items()) == [("b.com", 3), ("c.com", 3)]


def command(*given: str) -> Any:
    app = typer.Typer()
    app.command()(largest.main)
    return CliRunner().invoke(app, list(given))


SITES_XML = """<?xml version="1.0" encoding="utf-8"?>
<sites>
  <row Id="1" Url="https://a.com" TagCss=".t{&#xD;&#xA;}" TotalQuestions="10" TotalAnswers="25" />
  <row Id="2" Url="https://Meta.B.com/" TotalQuestions="30" TotalAnswers="6" ParentId="1" />
  <row Id="3" Url="https://c.com" TotalQuestions="9" TotalAnswers="x" />
  <row Id="4" TotalQuestions="9" TotalAnswers="9" />
  <row Id="5" Url="https://d.com" TotalQuestions="1" TotalAnswers="0" />
</sites>"""


def test_the_command_prints_an_entry_for_a_recipe(tmp_path: Path) -> None:
    rows = [question(1), answer(2, 1)]
    write(tmp_path / "in" / "a.com" / "Posts.xml", posts_xml(rows))
    write(tmp_path / "in" / "b.com" / "Posts.xml", posts_xml([*rows, answer(3, 1)]))
    done = command("--input", str(tmp_path / "in"), "--top", "1")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "# 1 of 2 sites, 3 of 5 questions and answers",
        "# the next one: a.com, 2",
        "- stackexchange:",
        "    sites:",
        "      b.com: 3",
    ]
    (entry,) = yaml.safe_load(done.stdout)
    settings = StackExchangeSettings.model_validate(entry["stackexchange"])
    assert settings.sites == {"b.com": 3}
    assert command("--input", str(tmp_path / "none")).exit_code == 2


def test_the_command_reads_a_list_of_sites_where_there_are_no_dumps(tmp_path: Path) -> None:
    path = write(tmp_path / "Sites.xml", SITES_XML.encode())
    done = command("--list", str(path), "--top", "2")
    assert done.exit_code == 0
    (entry,) = yaml.safe_load(done.stdout)
    assert list(entry["stackexchange"]["sites"].items()) == [("meta.b.com", 36), ("a.com", 35)]
    assert "the next one: d.com, 1\n" in done.stdout
    assert "2 unreadable rows" in done.stderr
    packed = write(tmp_path / "Sites.xml.gz", gzip.compress(SITES_XML.encode()))
    assert command("--list", str(packed), "--top", "2").stdout == done.stdout


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    path = str(write(tmp_path / "Sites.xml", b"hello"))
    for given, says in (
        ((), "either --input or --list"),
        (("--list", path, "--input", path), "either --input or --list"),
        (("--list", str(tmp_path / "absent")), "absent"),
        (("--list", path), f"no site with its numbers in {path}"),
    ):
        done = command(*given)
        assert (done.exit_code, says in done.stderr) == (2, True)


# -- pinned sites ---------------------------------------------------------------------------------


def notes(tmp: Path, sites: Any = ()) -> list[str]:
    done = run_step(step(tmp, settings={"sites": sites})).manifest
    found: list[str] = done.extra["notes"]
    return found


def dumps(tmp: Path, **answers: int) -> None:
    """A dump a site, with one question and so many answers."""
    for site, number in answers.items():
        rows = [question(1), *(answer(n + 2, 1) for n in range(number))]
        write(tmp / "in" / f"{site}.example" / "Posts.xml", posts_xml(rows))


def test_pinned_numbers_are_compared_with_those_found(tmp_path: Path) -> None:
    dumps(tmp_path, a=3, b=1, c=0, other=5)
    assert notes(tmp_path, {"a.example": 4, "b.example": 2}) == [
        "2 sites pinned, 2 with the posts found"
    ]
    assert notes(tmp_path, {"a.example": 8, "b.example": 2, "C.example": 4000}) == [
        "3 sites pinned, 1 with the posts found; c.example has 1, pinned 4,000; a.example has 4,"
        " pinned 8"
    ]
    manifest = files.read_json(str(tmp_path / "out" / "_MANIFEST.json"))
    assert manifest["extra"]["sites"]["c.example"] == {
        "answers": 0, "questions": 1, "pinned_posts": 4000
    }  # fmt: skip
    assert notes(tmp_path, ["a.example"]) == ["1 sites named, without numbers to compare"]


def test_a_pinned_site_of_which_nothing_is_readable_is_told(tmp_path: Path) -> None:
    dumps(tmp_path, a=1)
    write(tmp_path / "in" / "b.example.7z", b"no archive")
    (note,) = notes(tmp_path, {"a.example": 2, "b.example": 7})
    assert note.endswith("1 with the posts found; b.example has 0, pinned 7")


def test_many_differences_are_named_by_their_size_and_counted() -> None:
    wanted = {f"s{n}": 10 * n for n in range(1, 9)}
    found = {f"s{n}": {"questions": 10, "answers": 0} for n in range(1, 9)}
    (note,) = site_notes(wanted, found)
    assert note.startswith("8 sites pinned, 1 with the posts found; s8 has 10, pinned 80; s7 has")
    assert note.endswith("s4 has 10, pinned 40; and 2 more")


def test_a_pinned_site_without_a_dump_is_named(tmp_path: Path) -> None:
    dumps(tmp_path, a=1)
    with pytest.raises(InputError, match=r"no dump of superuser\.com in the input; give it"):
        notes(tmp_path, {"a.example": 2, "superuser.com": 7})
    with pytest.raises(InputError, match=r"no dump of s0, s1, s2, s3, s4 and 3 more sites in"):
        notes(tmp_path, {f"s{n}": 1 for n in range(8)})


def test_without_pinned_sites_more_than_the_papers_number_is_told() -> None:
    few = {f"s{n}": {"questions": 1} for n in range(28)}
    assert site_notes((), few) == []
    (note,) = site_notes((), {**few, "one more": {}})
    assert note.startswith("all 29 sites were read, because `sites` is not set")


@needs_shared_data
def test_real_dumps(tmp_path: Path) -> None:
    where = [str(SHARED_DATA / "stackexchange" / "mattly.3520.7z")]
    counts = run(tmp_path, inputs={"input": where})
    assert (counts["documents_out"], counts["bad"]) == (54, 0)
    assert counts["skipped"]["answer_in_thread"] == 115
    for r in read_rows(tmp_path / "out"):
        scores = orjson.loads(r["meta"])["answer_scores"]
        assert scores == sorted(scores, reverse=True)
        assert "<p>" not in r["text"].replace("`<p>`", "")
