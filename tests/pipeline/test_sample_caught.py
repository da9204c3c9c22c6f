"""The report of planted traps: what counts as caught, and that misses show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sample import Key, Must, Trap, TrapResult, caught
from pipeline.sample.traps import write_key

FILE = "commoncrawl/wet/a.warc.wet.gz"


def _write(work: Path, step: str, table: str, *rows: dict[str, Any]) -> None:
    """Rows of a step's documents, rejects (`rejected`) or bad records (`bad`), in a file of one."""
    defaults: dict[str, dict[str, str | None]] = {
        ".": {"text": "", "origin": "x#0", "url": None, "title": None, "bucket": None},
        "rejected": {"origin": "x#0", "reason": "r", "detail": "", "url": None},
        "bad": {"file": "x", "offset": "0", "error": "e: e"},
    }
    folder = work / step / table
    folder.mkdir(parents=True, exist_ok=True)
    full = [{**defaults[table], **row} for row in rows]
    columns = {name: pa.array([row[name] for row in full], pa.string()) for name in defaults[table]}
    number = len(list(folder.glob("part-*.parquet")))
    pq.write_table(pa.table(columns), folder / f"part-{number:05}.parquet")


def _trap(must: Must, **more: Any) -> Trap:
    return Trap(**{"kind": "k", "must": must, "steps": ("s",), "file": FILE, **more})


def _judge(tmp_path: Path, *traps: Trap) -> TrapResult:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    write_key(tmp_path / "KEY.json", Key(seed=0, traps=traps))
    (result,) = caught(tmp_path / "KEY.json", work)
    assert result.planted == sum(trap.count for trap in traps)
    assert (result.caught < result.planted) == bool(result.missed_examples)
    return result


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_a_step_that_has_not_run_catches_nothing(tmp_path: Path) -> None:
    result = _judge(tmp_path, _trap(Must.NO_DOCUMENT, url="u"))
    assert (result.caught, result.missed_examples) == (0, ["u: s has not run"])


def test_spam_is_not_judged_before_the_step_that_scores_it(tmp_path: Path, work: Path) -> None:
    _write(work, "language", ".", {"url": "u"})
    result = _judge(tmp_path, _trap(Must.TAIL, url="u", steps=("perplexity", "language")))
    assert (result.caught, result.missed_examples) == (0, ["u: perplexity has not run"])


def test_rejected_needs_a_row_and_no_document(tmp_path: Path, work: Path) -> None:
    traps = [_trap(Must.REJECTED, url=url) for url in ("gone", "kept", "lost")]
    _write(work, "s", ".", {"url": "kept"})
    _write(work, "s", "rejected", {"url": "gone"}, {"url": "kept"})
    result = _judge(tmp_path, *traps)
    assert result.caught == 1
    assert "kept: is a document of s" in result.missed_examples[0]
    assert "lost: no row says" in result.missed_examples[1]


def test_a_miss_says_what_another_step_did_with_it(tmp_path: Path, work: Path) -> None:
    _write(work, "s", ".", {"url": "other"})
    _write(work, "earlier", "rejected", {"url": "u", "reason": "too_short", "detail": "12"})
    result = _judge(tmp_path, _trap(Must.REJECTED, url="u"))
    assert result.missed_examples[0].endswith("(earlier: too_short 12)")


@pytest.mark.parametrize(
    ("offset", "number"), [("99", 0), ("100", 1), ("120+7", 1), ("149", 1), ("150", 0), ("x", 0)]
)
def test_unreadable_records_are_found_by_their_bytes(
    tmp_path: Path, work: Path, offset: str, number: int
) -> None:
    _write(work, "s", "bad", {"file": f"gs://bucket/{FILE}", "offset": offset})
    result = _judge(tmp_path, _trap(Must.UNREADABLE, offset=100, length=50))
    assert result.caught == number


def test_a_damaged_file_needs_one_bad_record_of_that_file(tmp_path: Path, work: Path) -> None:
    _write(work, "s", "bad", {"file": "/w/" + FILE, "offset": "7"})
    traps = [_trap(Must.UNREADABLE), _trap(Must.UNREADABLE, file="commoncrawl/wet/other.gz")]
    assert _judge(tmp_path, *traps).caught == 1


def test_an_unreadable_record_that_became_a_document_is_a_miss(tmp_path: Path, work: Path) -> None:
    _write(work, "s", "bad", {"file": FILE, "offset": "100"})
    _write(work, "s", ".", {"url": "u"})
    assert _judge(tmp_path, _trap(Must.UNREADABLE, url="u", offset=100, length=9)).caught == 0


@pytest.mark.parametrize("table", [".", "rejected", "bad", None])
def test_accounted_takes_any_row_but_not_silence(
    tmp_path: Path, work: Path, table: str | None
) -> None:
    _write(work, "s", ".", {"url": "other"})
    if table == "bad":
        _write(work, "s", table, {"file": FILE, "offset": "5"})
    elif table:
        _write(work, "s", table, {"origin": f"/w/{FILE}#5"})  # a page whose URL cannot be kept
    result = _judge(tmp_path, _trap(Must.ACCOUNTED, url="http://[x", offset=5, length=9))
    assert result.caught == (table is not None)


def test_articles_are_told_apart_by_their_dump(tmp_path: Path, work: Path) -> None:
    _write(work, "s", ".", {"title": "T", "origin": "/w/wikipedia/dewiki.xml#3"})
    de = _trap(Must.NO_DOCUMENT, title="T", language="de", file="wikipedia/dewiki.xml")
    fr = _trap(Must.NO_DOCUMENT, title="T", language="fr", file="wikipedia/frwiki.xml")
    result = _judge(tmp_path, de, fr)
    assert (result.caught, result.missed_examples) == (1, ["de:T: is a document"])


def test_a_rejected_article_is_found_by_its_address(tmp_path: Path, work: Path) -> None:
    row = {"origin": "/w/dewiki.xml#3", "url": "https://de.wikipedia.org/wiki/Die_T%C3%BCr_%28x%29"}
    _write(work, "s", "rejected", row)
    trap = _trap(Must.ACCOUNTED, title="Die Tür (x)", language="de", file="wikipedia/dewiki.xml")
    assert _judge(tmp_path, trap).caught == 1


def test_kept_texts_are_compared_without_regard_to_blanks(tmp_path: Path, work: Path) -> None:
    _write(work, "s", ".", {"url": "u", "text": "it is 5\u00a0km\nlong"}, {"url": "v", "text": ""})
    yes = _trap(Must.KEPT, url="u", any_of=("5 miles", "5 km long"))
    no = _trap(Must.KEPT, url="v", any_of=("5 km long",))
    gone = _trap(Must.KEPT, url="w", any_of=("5 km long",))
    result = _judge(tmp_path, yes, no, gone)
    assert result.caught == 1
    assert result.missed_examples == [
        "v: its text has no '5 km long'",
        "w: not among the documents",
    ]


def test_markup_in_the_text_is_a_miss(tmp_path: Path, work: Path) -> None:
    _write(work, "s", ".", {"url": "u", "text": "a [[b]] c"})
    traps = [_trap(Must.TEXT_GONE, url="u", any_of=(text,)) for text in ("[[b]]", "{{c}}")]
    traps.append(_trap(Must.TEXT_GONE, url="no such page", any_of=("x",)))
    assert _judge(tmp_path, *traps).caught == 1


@pytest.mark.parametrize(("left", "number"), [(0, 0), (1, 3), (2, 2), (4, 0)])
def test_copies_beyond_the_first_are_counted(
    tmp_path: Path, work: Path, left: int, number: int
) -> None:
    _write(work, "s", ".", *({"url": f"u{i}"} for i in range(left)))
    group = tuple(f"u{i}" for i in range(4))
    assert _judge(tmp_path, _trap(Must.ONE_OF_GROUP, group=group, count=3)).caught == number


def test_the_older_crawl_kept_is_a_miss(tmp_path: Path, work: Path) -> None:
    _write(work, "s", ".", {"url": "a", "text": "old new"}, {"url": "b", "text": "old"})
    traps = [_trap(Must.NEWEST_OF_GROUP, group=(url,), any_of=("new",)) for url in ("a", "b")]
    result = _judge(tmp_path, *traps)
    assert result.caught == 1
    assert "the older one was kept" in result.missed_examples[0]


def test_lines_that_differ_in_digits_and_case_are_the_same(tmp_path: Path, work: Path) -> None:
    rows = [{"text": "Page 12\nown"}, {"text": "other\npage 98 "}, {"text": "menu\nmenu"}]
    _write(work, "s", ".", *rows[:1])
    _write(work, "s", ".", *rows[1:])
    traps = [_trap(Must.LINES_ONCE, lines=(line,)) for line in ("Page 00", "menu", "never seen")]
    result = _judge(tmp_path, *traps)
    assert result.caught == 2
    assert "'Page 00' in 2 documents" in result.missed_examples[0]


def test_spam_must_be_in_the_tail_or_gone(tmp_path: Path, work: Path) -> None:
    buckets = {"a": "tail", "b": "head", "c": None}
    _write(work, "s", ".", *({"url": u, "bucket": b} for u, b in buckets.items()))
    _write(work, "s", "rejected", {"url": "d"})
    result = _judge(tmp_path, *(_trap(Must.TAIL, url=url) for url in "abcde"))
    assert result.caught == 2
    assert result.missed_examples[0] == "b: its bucket is head"


def test_kinds_are_reported_in_the_order_of_the_key(tmp_path: Path, work: Path) -> None:
    _write(work, "s", ".", {"url": "u"})
    kinds = ["z", "a", "z"]
    traps = tuple(_trap(Must.NO_DOCUMENT, kind=kind, url=str(i)) for i, kind in enumerate(kinds))
    write_key(tmp_path / "KEY.json", Key(seed=0, traps=traps))
    results = caught(tmp_path / "KEY.json", work)
    assert [(r.kind, r.planted, r.caught) for r in results] == [("z", 2, 2), ("a", 1, 1)]


@pytest.mark.parametrize(("score", "cited", "not_cited"), [(0.5, 1, 0), (0.49, 0, 1), (None, 0, 0)])
def test_reference_scores_are_judged_at_one_half(
    tmp_path: Path, work: Path, score: float | None, cited: int, not_cited: int
) -> None:
    folder = work / "s"
    folder.mkdir(parents=True)
    row = {"text": "", "origin": "x#0", "url": "u", "title": None, "bucket": None}
    table = pa.table({**{k: pa.array([v], pa.string()) for k, v in row.items()},
                      "reference_score": pa.array([score], pa.float32())})  # fmt: skip
    pq.write_table(table, folder / "part-00000.parquet")
    assert _judge(tmp_path, _trap(Must.CITED, url="u")).caught == cited
    assert _judge(tmp_path, _trap(Must.NOT_CITED, url="u")).caught == not_cited
    assert _judge(tmp_path, _trap(Must.NOT_CITED, url="lost")).caught == 0
