"""Items of benchmarks in documents: found wherever they stand, and nothing else is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.decontaminate import report as reports
from stages.decontaminate.hits import hits
from stages.decontaminate.index import Index
from stages.decontaminate.markup import unmarked
from stages.decontaminate.matching import Matcher
from stages.engine import manifest
from stages.engine.execute import Executor
from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from tests.stages.helpers import check_folder, digests, read_rows, write_parts

LIGHTHOUSE = (
    "A lighthouse on a flat coast stands forty metres above the sea; roughly how far away is the"
    " horizon for its keeper?"
)
BAKER = (
    "Mira bakes 14 loaves each morning and sells 9. How many are left after 5 days, if none spoil?"
)
SHARED = "Which of the following statements about the map that is printed on the page above is true"
MMLU = [
    (LIGHTHOUSE, "2 kilometres", "23 kilometres", "90 kilometres", "400 kilometres", "B"),
    (f"{SHARED} of Norway?", "w", "x", "y", "z", "A"),
    (f"{SHARED} of Peru?", "w", "x", "y", "z", "A"),
    (f"{SHARED} of Chad?", "w", "x", "y", "z", "A"),
    ("Of six, how many are even?", "one", "two", "three", "four", "C"),
    ("Why?", "", "", "", "", "D"),
]
GSM8K = [
    (
        BAKER,
        "She keeps 14-9=<<14-9=5>>5 a day.\nIn 5 days she keeps 5*5=<<5*5=25>>25 loaves.\n#### 25",
    )
]
BENCHMARKS: dict[str, Any] = {"mmlu": {"layout": "mmlu"}, "gsm8k": {"layout": "gsm8k"}}
FILLER = (
    "wind",
    "salt",
    "rope",
    "tar",
    "gull",
    "oar",
    "tide",
    "net",
    "mast",
    "sail",
    "keel",
    "reef",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmarks")
    (root / "raw/mmlu/test").mkdir(parents=True)
    (root / "raw/gsm8k").mkdir()
    rows = [",".join('"' + cell + '"' for cell in row) for row in MMLU]
    (root / "raw/mmlu/test/coast_test.csv").write_text("\n".join(rows[:3]) + "\n")
    (root / "raw/mmlu/test/other_test.csv").write_text("\n".join([*rows[3:], "broken,row"]) + "\n")
    lines = [json.dumps({"question": q, "answer": a}) for q, a in GSM8K]
    (root / "raw/gsm8k/test.jsonl").write_text("\n".join(lines) + "\n")
    make_index(root, "index")
    return root


def make_index(root: Path, out: str, **more: Any) -> Manifest:
    given = {"benchmarks": BENCHMARKS, "max_items_per_ngram": 2, **more}
    step = Step("i", "decontamination_index", str(root / out), {"input": [f"{root}/raw"]}, given)
    return run_step(step).manifest


@pytest.fixture(scope="module")
def matcher(folder: Path) -> Matcher:
    return Matcher(Index(str(folder / "index")))


def found(matcher: Matcher, *texts: str) -> dict[int, list[tuple[str, float]]]:
    return {
        document: [(f"{h.benchmark}:{h.item}", round(h.coverage, 2)) for h in items]
        for document, items in hits(matcher.matches(texts), matcher.index)
    }


def filler(rng: Random, words: int) -> str:
    return " ".join(rng.choice(FILLER) for _ in range(words))


# -- the index ------------------------------------------------------------------------------------


def test_every_item_is_testable_or_says_why_not(folder: Path) -> None:
    done = manifest.load(str(folder / "index"))
    assert done is not None and done.counts.imbalance() == ""
    listed = {f["path"]: f["sha256"] for f in done.files}
    assert listed == digests(folder / "index")
    assert done.extra["benchmarks"] == {
        "gsm8k": {"items": 1, "testable": 1, "too_short": 0, "common": 0},
        "mmlu": {"items": 6, "testable": 5, "too_short": 1, "common": 0},
    }
    assert (done.counts.documents_in, done.counts.documents_out) == (8, 6)
    (rejected,) = read_rows(folder / "index", "rejected")
    assert (rejected["id"], rejected["reason"]) == ("mmlu:other_test#2", "too_short")
    (bad,) = read_rows(folder / "index", "bad")
    assert bad["error"].startswith("columns: ")


def test_phrases_of_many_items_do_not_count(folder: Path, matcher: Matcher) -> None:
    done = manifest.load(str(folder / "index"))
    assert done is not None and done.extra["common_ngrams"] == 6  # of SHARED and `of`
    assert found(matcher, f"{SHARED}, we ask.") == {}
    (items,) = found(matcher, f"{SHARED} of Peru? W, x, y, z.").values()
    assert [name for name, _ in items] == ["mmlu:coast_test#2"]


def test_an_item_of_common_phrases_alone_is_listed(tmp_path: Path) -> None:
    (tmp_path / "raw/mmlu").mkdir(parents=True)
    row = ",".join('"' + cell + '"' for cell in MMLU[0])
    (tmp_path / "raw/mmlu/twice.csv").write_text(f"{row}\n{row}\nWho {SHARED}?,1,2,3,4,A\n")
    benchmarks = {"mmlu": {"layout": "mmlu"}}
    done = make_index(tmp_path, "index", benchmarks=benchmarks, max_items_per_ngram=1)
    assert done.extra["benchmarks"]["mmlu"] == {
        "items": 3, "testable": 1, "too_short": 0, "common": 2,
    }  # fmt: skip


def test_the_index_does_not_depend_on_workers_or_bundles(
    folder: Path, one_worker: Executor, two_workers: Executor
) -> None:
    def made(executor: Executor, name: str, **layout: int) -> dict[str, str]:
        step = Step(
            "i", "decontamination_index", str(folder / name), {"input": [f"{folder}/raw"]},
            {"benchmarks": BENCHMARKS, "max_items_per_ngram": 2}, layout,
        )  # fmt: skip
        run_step(step, executor)
        return {n: d for n, d in digests(folder / name).items() if "/" not in n}

    expected = {n: d for n, d in digests(folder / "index").items() if "/" not in n}
    assert made(one_worker, "one") == expected
    assert made(two_workers, "two", bundle_bytes=0) == expected


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ({}, "name the `benchmarks`"),
        ({"arc": {"layout": "mmlu"}}, "no input file belongs to benchmark arc"),
        ({"a": {"layout": "mmlu", "path": "*.csv"}, "mmlu": {"layout": "mmlu"}}, "and to"),
    ],
)
def test_benchmarks_and_files_must_fit(
    folder: Path, benchmarks: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_index(folder, "refused", benchmarks=benchmarks)


def raw(root: Path, name: str, content: bytes) -> Path:
    path = root / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return root


GOOD_LINE = json.dumps({"question": BAKER, "answer": "It is so."}).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "content", "given", "message"),
    [
        ("b.jsonl", GOOD_LINE, {"layout": "jsonl", "fields": ["questoin"]},
         "benchmark b: .*there is no 'questoin'; there is 'question', 'answer'"),
        ("b.csv", f'id,text\n1,"{BAKER}"\n'.encode(), {"layout": "csv", "fields": ["txt"]},
         "there is no 'txt'; there is 'id', 'text'"),
        ("b.jsonl", b'{"q": "x"}\n', {"layout": "gsm8k"}, "there is no 'question'"),
        ("b.jsonl", b"", {"layout": "gsm8k"}, "benchmark b: there is no item in .*b.jsonl"),
        ("b.csv", b"one,two\n", {"layout": "mmlu"}, "1 rows like .*columns: 2 where 6"),
        ("b.csv", b"Why?,,,,,A\n", {"layout": "mmlu"}, "1 are too short"),
    ],
)  # fmt: skip
def test_a_benchmark_without_items_is_not_switched_off_in_silence(
    tmp_path: Path, name: str, content: bytes, given: dict[str, Any], message: str
) -> None:
    """Others are good: the run must stop all the same, before it writes anything."""
    raw(raw(tmp_path, f"b/{name}", content), "gsm8k/test.jsonl", GOOD_LINE)
    benchmarks = {"b": given, "gsm8k": {"layout": "gsm8k"}}
    with pytest.raises(InputError, match=message) as error:
        make_index(tmp_path, "index", benchmarks=benchmarks)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "index").exists()


def test_a_benchmark_of_phrases_alone_is_refused(tmp_path: Path) -> None:
    raw(tmp_path, "gsm8k/test.jsonl", GOOD_LINE * 2)
    benchmarks = {"gsm8k": {"layout": "gsm8k"}}
    with pytest.raises(InputError, match="2 have only n-grams of more than"):
        make_index(tmp_path, "index", benchmarks=benchmarks, max_items_per_ngram=1)


def test_a_row_without_an_optional_field_first_is_no_misspelt_field(tmp_path: Path) -> None:
    raw(tmp_path, "b/b.jsonl", b'{"id": 1}\n' * 50 + GOOD_LINE)
    benchmarks = {"b": {"layout": "jsonl", "fields": ["question"]}}
    assert make_index(tmp_path, "index", benchmarks=benchmarks).counts.bad == 50


def test_items_of_a_gzip_file_have_its_name(tmp_path: Path) -> None:
    raw(tmp_path, "gsm8k/test.jsonl.gz", gzip.compress(GOOD_LINE))
    make_index(tmp_path, "index", benchmarks={"gsm8k": {"layout": "gsm8k"}})
    matcher = Matcher(Index(str(tmp_path / "index")))
    assert found(matcher, BAKER) == {0: [("gsm8k:test#0", 1.0)]}


# -- finding --------------------------------------------------------------------------------------

_WRAPPED = (
    "A lighthouse on a flat coast\nstands forty metres above the sea;\nroughly how far away is"
)
DISGUISES = {
    "as it is": LIGHTHOUSE,
    "upper case": LIGHTHOUSE.upper(),
    "across lines": f"{_WRAPPED}\nthe horizon\r\n\r\nfor its keeper?",
    "without punctuation": LIGHTHOUSE.replace(";", "").replace("?", ""),
    "quoted": "> " + LIGHTHOUSE.replace(" roughly", "\n> roughly"),
    "markdown": LIGHTHOUSE.replace("flat coast", "**flat** _coast_").replace("sea", "[sea]"),
    "comment of a source": "# " + LIGHTHOUSE.replace(" stands", "\n# stands"),
    "block comment": "/*\n * " + LIGHTHOUSE.replace(" above", "\n * above") + "\n */",
    "LaTeX": LIGHTHOUSE.replace("flat coast", r"\emph{flat coast}").replace("forty", "$forty$"),
    "wide letters": LIGHTHOUSE.replace("forty", "\uff46\uff4f\uff52\uff54\uff59"),
    "ligature and soft hyphen": LIGHTHOUSE.replace("flat", "\ufb02at").replace(
        "metres", "me\u00adtres"
    ),
    "no-break blanks": LIGHTHOUSE.replace(" ", "\u00a0"),
    "string of a program": "q = '" + LIGHTHOUSE.replace(" stands", "'\n    ' stands") + "'",
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_an_item_is_found_in_every_disguise(matcher: Matcher, disguise: str) -> None:
    text = f"Before it. {DISGUISES[disguise]} Behind it."
    assert found(matcher, text) == {0: [("mmlu:coast_test#0", 1.0)]}


def _every(text: str, n: int, form: str) -> str:
    words = text.split(" ")
    return " ".join(form.format(w) if i % n == 1 else w for i, w in enumerate(words))


MARKUP = {
    "JSON escapes": LIGHTHOUSE.replace(" stands", "\\nStands").replace(" the ", "\\nthe\\t"),
    "JSON escapes alone": LIGHTHOUSE.replace(" ", "\\n"),
    "JSON of LaTeX": LIGHTHOUSE.replace("forty", "\\\\emph{forty}").replace("; ", ";\\r\\n"),
    "Unicode escapes": LIGHTHOUSE.replace("keeper", "\\u006beeper").replace(
        " a ", "\\u00a0a\\u00a0"
    ),
    "tags": LIGHTHOUSE.replace(" ", "<br>"),
    "tags around words": _every(LIGHTHOUSE, 3, '<b class="x">{}</b>'),
    "blanks as entities": LIGHTHOUSE.replace(" ", "&nbsp;"),
    "quotes as entities": _every(LIGHTHOUSE, 6, "&quot;{}&quot;"),
    "escaped twice": _every(LIGHTHOUSE, 6, "&amp;ldquo;{}&amp;amp;#8221;"),
    "letters as entities": LIGHTHOUSE.replace("a", "&#97;").replace("k", "&#x6B;"),
    "accents as entities": LIGHTHOUSE.replace("e", "&eacute;"),
}


@pytest.mark.parametrize("form", MARKUP)
def test_an_item_is_found_in_markup_at_its_exact_place(matcher: Matcher, form: str) -> None:
    for before in ("Before it. ", "&lt;&eacute;<i>\u00e9</i> \\n", "word " * 300_000):
        text = f"{before}{MARKUP[form]} Behind it."
        ((_, (hit,)),) = hits(matcher.matches([text]), matcher.index)
        assert hit.coverage == 1.0
        assert text[hit.start : hit.end] == MARKUP[form].rstrip("?")


def test_a_copy_partly_in_markup_is_one_hit(matcher: Matcher) -> None:
    """What stands in both forms of the text counts once."""
    text = f"{LIGHTHOUSE} <b>And</b> again: {LIGHTHOUSE}"
    ((_, (hit,)),) = hits(matcher.matches([text]), matcher.index)
    assert (hit.found, hit.ngrams) == (10, 10) and len(hit.matches) == 20


def test_latex_is_not_taken_for_escapes(matcher: Matcher) -> None:
    text = LIGHTHOUSE.replace("flat coast", r"\textbf{flat} coast $\nu\tau\rho$ ").replace(
        "$ ", "$"
    )
    assert unmarked(text) is None
    assert unmarked("a < b & c > d; x \\nabla y") is None


def test_choices_and_solutions_are_found_without_their_question(matcher: Matcher) -> None:
    text = "She keeps 14-9=5 a day. In 5 days she keeps 5*5=25 loaves. #### 25"
    assert found(matcher, text) == {0: [("gsm8k:test#0", 1.0)]}


def test_a_short_item_needs_all_of_its_words(matcher: Matcher) -> None:
    whole = "of six, how many are even? A. one B. two C. three D. four"
    assert found(matcher, whole) == {0: [("mmlu:other_test#1", 1.0)]}
    assert found(matcher, whole.replace("three", "tree")) == {}


def test_an_item_does_not_reach_from_one_document_into_the_next(matcher: Matcher) -> None:
    half = len(LIGHTHOUSE) // 2
    assert found(matcher, LIGHTHOUSE[:half], LIGHTHOUSE[half:]) == {}
    assert list(found(matcher, "x", LIGHTHOUSE, "", LIGHTHOUSE, "y")) == [1, 3]


def test_the_place_is_exact(matcher: Matcher) -> None:
    for before in ("", "\u00e9\u00bd\u2026 \u6f22\u5b57 'a' ", "word " * 70_000):
        text = f"{before}{LIGHTHOUSE} After."
        ((_, (hit,)),) = hits(matcher.matches([text]), matcher.index)
        assert text[hit.start : hit.end] == LIGHTHOUSE.rstrip("?")


def test_an_item_is_found_where_stretches_of_a_long_text_meet(matcher: Matcher) -> None:
    """At 400 characters a stretch, its 116 characters come to lie in every way."""
    small = Matcher(matcher.index, 400)
    for shift in range(0, 420, 3):
        text = f"{'word ' * 80}{'x' * shift} {LIGHTHOUSE} {'word ' * 80}"
        ((_, (hit,)),) = hits(small.matches([text]), matcher.index)
        assert (hit.coverage, hit.start) == (1.0, text.index(LIGHTHOUSE))


def test_a_word_of_megabytes_does_not_stop_the_search(matcher: Matcher) -> None:
    text = "x" * 30_000 + f" {LIGHTHOUSE} " + "y" * 30_000
    assert found(Matcher(matcher.index, 1000), text) == {0: [("mmlu:coast_test#0", 1.0)]}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1 << 30), st.integers(0, 300), st.integers(0, 300))
def test_a_planted_item_is_found_anywhere(
    matcher: Matcher, seed: int, before: int, after: int
) -> None:
    rng = Random(seed)
    item, name = rng.choice([(LIGHTHOUSE, "mmlu:coast_test#0"), (BAKER, "gsm8k:test#0")])
    marks = [" ", "\n", ", ", "\u2014", " \u201c", ".\r\n", "\t", " ** "]
    planted = "".join(w + rng.choice(marks) for w in item.split(" "))
    text = f"{filler(rng, before)} {rng.choice([planted, planted.upper()])} {filler(rng, after)}"
    assert found(matcher, filler(rng, 50), text, filler(rng, 5)) == {1: [(name, 1.0)]}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(set(LIGHTHOUSE.split()))), max_size=200), st.text(max_size=80)
)
def test_words_of_an_item_in_another_order_are_no_hit(
    matcher: Matcher, words: list[str], text: str
) -> None:
    order = LIGHTHOUSE.split()
    for i in range(len(words) - 12):
        if words[i : i + 13] in [order[k : k + 13] for k in range(len(order) - 12)]:
            return
    assert found(matcher, " ".join(words), text) == {}


# -- the stage ------------------------------------------------------------------------------------

RNG = Random(7)
AROUND = [filler(RNG, 120) for _ in range(6)]
DOCUMENTS = [
    {"id": "clean", "text": AROUND[0], "source": "c4"},
    {"id": "whole", "text": f"{AROUND[1]}\n{LIGHTHOUSE}\n{AROUND[2]}", "url": "http://a.example/",
     "source": "c4", "meta": '{"x":1}'},
    {"id": "part", "text": " ".join(LIGHTHOUSE.split()[:14]), "source": "books"},
    {"id": "both", "text": f"{LIGHTHOUSE} {AROUND[3]} {BAKER}", "source": "books"},
]  # fmt: skip


def decontaminate(
    tmp: Path, folder: Path, out: str = "out", executor: Executor | None = None, **more: Any
) -> Manifest:
    write_parts(tmp / "in", [DOCUMENTS[:2], [], DOCUMENTS[2:]])
    inputs = {"input": [str(tmp / "in")], "index": [str(folder / "index")]}
    step = Step("d", "decontaminate", str(tmp / out), inputs, more)
    done = run_step(step, executor).manifest
    check_folder(tmp / out)
    return done


def test_flag_changes_nothing_but_its_column(tmp_path: Path, folder: Path) -> None:
    done = decontaminate(tmp_path, folder)
    rows = {row["id"]: row for row in read_rows(tmp_path / "out")}
    assert [row["text"] for row in rows.values()] == [d["text"] for d in DOCUMENTS]
    marks = {k: orjson.loads(r["contamination"] or "[]") for k, r in rows.items()}
    assert [m["item"] for m in marks["both"]] == ["test#0", "coast_test#0"]
    assert marks["clean"] == []
    assert marks["part"][0]["ngrams"] == 2 and marks["part"][0]["coverage"] < 0.3
    assert done.extra["decontamination"] == {
        "gsm8k": {
            "items": 1, "testable": 1, "too_short": 0, "common": 0,
            "contaminated_items": 1, "documents": 1, "hits": 1,
        },
        "mmlu": {
            "items": 6, "testable": 5, "too_short": 1, "common": 0,
            "contaminated_items": 1, "documents": 3, "hits": 3,
        },
    }  # fmt: skip


def test_hits_name_document_and_place(tmp_path: Path, folder: Path) -> None:
    decontaminate(tmp_path, folder, min_coverage=0.5)
    found = read_rows(tmp_path / "out", "hits")
    assert [(h["document"], h["benchmark"], h["counted"]) for h in found] == [
        ("whole", "mmlu", True),
        ("part", "mmlu", False),
        ("both", "gsm8k", True),
        ("both", "mmlu", True),
    ]
    first = found[0]
    assert (first["url"], first["source"], first["probe"]) == (
        "http://a.example/",
        "c4",
        "question",
    )
    assert first["snippet"] == LIGHTHOUSE.rstrip("?")
    text = DOCUMENTS[1]["text"]
    assert text[first["start"] : first["end"]] == first["snippet"]


@pytest.mark.parametrize("action", ["flag", "remove", "cut"])
def test_items_in_markup_are_treated_like_others(tmp_path: Path, folder: Path, action: str) -> None:
    copy = LIGHTHOUSE.replace(" ", "&nbsp;")
    text = f"{AROUND[0]}\n{copy}\n{AROUND[1]}"
    write_parts(tmp_path / "in", [[{"id": "z", "text": text, "source": "c4"}]])
    inputs = {"input": [str(tmp_path / "in")], "index": [str(folder / "index")]}
    given = {"action": action, "window": 20, "min_piece": 30, "min_coverage": 1.0}
    run_step(Step("d", "decontaminate", str(tmp_path / "out"), inputs, given))
    rows = read_rows(tmp_path / "out")
    if action == "flag":
        assert rows[0]["text"] == text and "coast_test#0" in rows[0]["contamination"]
    elif action == "remove":
        assert rows == []
    else:
        first, last = rows[0]["text"].split("\n\n")
        assert AROUND[0].startswith(first) and AROUND[1].endswith(last)
    (hit,) = read_rows(tmp_path / "out", "hits")
    assert text[hit["start"] : hit["end"]] == copy.rstrip("?")


@pytest.mark.parametrize("content", ["step", "file", "other files"])
def test_a_folder_that_is_no_index_is_refused(tmp_path: Path, folder: Path, content: str) -> None:
    where = tmp_path / "no"
    if content == "step":
        decontaminate(tmp_path, folder, "no")
    elif content == "file":
        where.write_text("x")
    else:
        where.mkdir()
        (where / "notes.txt").write_text("x")
    write_parts(tmp_path / "in2", [DOCUMENTS])
    inputs = {"input": [str(tmp_path / "in2")], "index": [str(where)]}
    with pytest.raises(InputError, match=r"no index|no decontamination_index"):
        run_step(Step("d", "decontaminate", str(tmp_path / "out2"), inputs))


def test_remove_says_which_item(tmp_path: Path, folder: Path) -> None:
    done = decontaminate(tmp_path, folder, action="remove", min_coverage=0.5)
    assert [row["id"] for row in read_rows(tmp_path / "out")] == ["clean", "part"]
    details = {r["id"]: r["detail"] for r in read_rows(tmp_path / "out", "rejected")}
    assert dict(done.counts.reasons) == {"contaminated": 2}
    assert details["whole"].startswith("mmlu:coast_test#0, 10 n-grams, 100%")
    assert details["both"].endswith("and 1 more")


def test_cut_takes_the_item_and_its_window(tmp_path: Path, folder: Path) -> None:
    done = decontaminate(tmp_path, folder, action="cut", window=20, min_piece=30)
    rows = {row["id"]: row for row in read_rows(tmp_path / "out")}
    first, last = rows["whole"]["text"].split("\n\n")
    # The line's end and the question mark are of the twenty.
    assert AROUND[1].startswith(first) and len(AROUND[1]) - len(first) in range(19, 26)
    assert AROUND[2].endswith(last) and len(AROUND[2]) - len(last) in range(18, 26)
    before = len(DOCUMENTS[1]["text"])
    assert orjson.loads(rows["whole"]["meta"]) == {
        "cut": {"characters_before": before, "pieces": 2},
        "x": 1,
    }
    assert dict(done.counts.reasons) == {"contaminated_remnant": 1}
    assert rows["clean"]["text"] == AROUND[0]


@pytest.mark.parametrize(("most", "flagged"), [(2, {"both"}), (3, {"whole", "part", "both"})])
def test_ngrams_of_many_documents_do_not_count(
    tmp_path: Path, folder: Path, most: int, flagged: set[str]
) -> None:
    """The first two n-grams of the lighthouse are in three documents, the others in two."""
    done = decontaminate(tmp_path, folder, max_documents_per_ngram=most, min_coverage=0.1)
    rows = {r["id"]: orjson.loads(r["contamination"] or "[]") for r in read_rows(tmp_path / "out")}
    assert {k for k, marks in rows.items() if marks} == flagged | {"whole", "both"}
    shares = [m["ngrams"] for m in rows["whole"]]
    assert shares == ([8] if most == 2 else [10])
    assert done.extra["decontamination"]["mmlu"]["hits"] == (2 if most == 2 else 3)


@pytest.mark.parametrize("most", [None, 2])
def test_several_workers_give_the_same_bytes(
    tmp_path: Path, folder: Path, two_workers: Executor, most: int | None
) -> None:
    more: dict[str, Any] = {"action": "cut", "window": 10, "min_piece": 10}
    more["max_documents_per_ngram"] = most
    one = decontaminate(tmp_path, folder, "one", **more)
    two = decontaminate(tmp_path, folder, "two", two_workers, **more)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert one.digest == two.digest


def test_an_index_of_another_format_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index/index.json").write_text('{"format": 99}')
    write_parts(tmp_path / "in", [DOCUMENTS])
    inputs = {"input": [str(tmp_path / "in")], "index": [str(tmp_path / "index")]}
    with pytest.raises(InputError, match="format 99"):
        run_step(Step("d", "decontaminate", str(tmp_path / "out"), inputs))


# -- the report -----------------------------------------------------------------------------------


def test_the_report_merges_steps(tmp_path: Path, folder: Path) -> None:
    decontaminate(tmp_path, folder, "a")
    write_parts(tmp_path / "in2", [[{"id": "z", "text": LIGHTHOUSE, "source": "arxiv"}]])
    inputs = {"input": [str(tmp_path / "in2")], "index": [str(folder / "index")]}
    run_step(Step("d", "decontaminate", str(tmp_path / "b"), inputs))
    gsm8k, mmlu = reports.report([str(tmp_path / "a"), str(tmp_path / "b")])
    assert (mmlu.contaminated, mmlu.whole, mmlu.documents, mmlu.testable) == (1, 1, 4, 5)
    assert mmlu.by_source == {"arxiv": 1, "books": 1, "c4": 1}
    (worst,) = mmlu.worst
    assert worst.sources == {"arxiv": 1, "books": 2, "c4": 1}
    assert [e["document"] for e in worst.examples] == ["both", "whole", "z"]
    assert gsm8k.share == 1.0
    (_, stricter) = reports.report([str(tmp_path / "a")], min_coverage=0.5)
    assert (stricter.contaminated, stricter.documents) == (1, 2)


def test_the_report_as_a_command(
    tmp_path: Path, folder: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    decontaminate(tmp_path, folder)
    assert reports.main([str(tmp_path / "out"), "--json"]) == 0
    shown = orjson.loads(capsysbinary.readouterr().out)
    assert [(b["benchmark"], b["contaminated"]) for b in shown] == [("gsm8k", 1), ("mmlu", 1)]
    assert reports.main([str(tmp_path / "out")]) == 0
    assert b"mmlu:coast_test#0  100% of it, 3 documents" in capsysbinary.readouterr().out


def test_the_report_lists_as_many_documents_as_asked_for(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [{"id": f"d{i}", "text": LIGHTHOUSE, "source": "c4"} for i in range(90)]
    write_parts(tmp_path / "in", [many])
    inputs = {"input": [str(tmp_path / "in")], "index": [str(folder / "index")]}
    run_step(Step("d", "decontaminate", str(tmp_path / "out"), inputs))

    def listed(*options: str) -> int:
        assert reports.main([str(tmp_path / "out"), *options]) == 0
        return capsys.readouterr().out.count("\n    d")

    assert (listed(), listed("--documents", "5"), listed("--documents", "all")) == (3, 5, 90)
    assert listed("--worst", "0") == 0
    (_, mmlu) = reports.report([str(tmp_path / "out")], examples=None, worst=None)
    assert len(mmlu.worst[0].examples) == 90
    assert reports.main([str(tmp_path / "out"), "--json"]) == 0
    assert capsys.readouterr().out.count('"document"') == 90


def test_the_report_shows_no_raw_name(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "http://a.example/\x1b[31m\u202egnp.exe" + "x" * (1 << 20)
    write_parts(tmp_path / "in", [[{"id": "z", "text": LIGHTHOUSE, "url": url, "source": "c4"}]])
    inputs = {"input": [str(tmp_path / "in")], "index": [str(folder / "index")]}
    run_step(Step("d", "decontaminate", str(tmp_path / "out"), inputs))
    assert reports.main([str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out
    assert "http://a.example/" in out and max(map(len, out.split("\n"))) < 500


@pytest.mark.parametrize(
    "options", [["--min-coverage", "3"], ["--worst", "x"], ["--documents", "-1"], ["--nonsense"]]
)
def test_a_wrong_option_of_the_report_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert reports.main([str(tmp_path), *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and shown.err.startswith("error: ")


def test_a_folder_that_is_no_such_step_is_refused(folder: Path) -> None:
    with pytest.raises(reports.ReportError, match="no finished decontaminate step"):
        reports.report([str(folder / "index")])
