"""The curve: exact at each threshold, and at the one in force what `select` wrote."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as generate
from hypothesis import strategies as st
from rich.console import Console

from pipeline import cli, curve_show
from pipeline.curve import Ask, Curve, asked, curve, of_run
from pipeline.curve_thresholds import Grid, landmarks
from pipeline.curve_tokens import TokenLengths, hashed, of_source
from stages.documents import CHARACTERS
from stages.engine import manifest
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.outcomes import Reject
from stages.select import SCORES, SelectRule, SelectSettings
from tests.pipeline import small_run
from tests.stages.helpers import write_part, write_parts

NO_TOKENS = TokenLengths(np.empty(0, np.uint64), np.empty(0, np.int32), None, "none")


def lengths_of(known: dict[str, int]) -> TokenLengths:
    hashes = hashed(list(known))
    order = np.argsort(hashes)
    values = np.array([*known.values()], dtype=np.int32)
    return TokenLengths(hashes[order], values[order], 4.0, "some")


def drawn(
    tmp_path: Path,
    rows: Sequence[dict[str, Any]],
    given: dict[str, Any] | None = None,
    lengths: TokenLengths = NO_TOKENS,
    rows_per_group: int = 3,
    threads: int = 2,
    **ask: Any,
) -> Curve:
    path = write_part(tmp_path / "curve.parquet", rows, rows_per_group=rows_per_group)
    return curve([path], SelectSettings.model_validate(given or {}), Ask(**ask), lengths, threads)


def scored(key: str, score: float | None, **more: Any) -> dict[str, Any]:
    """A document that passes everything but a threshold on its reference score."""
    return {"id": key, "text": f"text {key}", "bucket": "head", "reference_score": score, **more}


# -- counts ---------------------------------------------------------------------------------------

f32 = st.floats(0, 1, width=32)
ties = st.sampled_from([0.0, 0.25, 0.5, float(np.float32(0.7)), 1.0])
perplexities = st.one_of(
    st.none(), st.integers(1, 99_999).map(lambda n: n / 10), st.sampled_from([340.0, 341.3])
)
documents = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.text(alphabet="aé漢 ", min_size=1, max_size=12),
            "language": st.sampled_from(["en", "de", None]),
            "language_score": st.one_of(st.none(), f32, ties),
            "perplexity": perplexities,
            "bucket": st.sampled_from(["head", "middle", "tail", None]),
            "reference_score": st.one_of(st.none(), f32, ties),
        }
    ),
    max_size=25,
)
thresholds = st.fixed_dictionaries(
    {},
    optional={
        "profile": st.sampled_from(["paper", "redpajama", "custom"]),
        "languages": st.sampled_from([None, ("en",), ("de", "en")]),
        "min_language_score": ties,
        "buckets": st.sampled_from([None, ("head",), ("head", "tail")]),
        "keep_without_bucket": st.booleans(),
        "max_perplexity": st.sampled_from([None, 340, 341.3, 9000]),
        "min_reference_score": st.one_of(st.none(), ties),
        "keep_without_reference_score": st.booleans(),
        "min_chars": st.sampled_from([0, 3, 9]),
    },
)


def selected(rows: Sequence[dict[str, Any]], s: SelectSettings) -> tuple[int, int]:
    """Documents and bytes that `select` keeps, document by document."""
    rule = SelectRule(s)
    scores = [
        {**row, CHARACTERS: len(row["text"]), **{n: _f32(row[n]) for n in SCORES}} for row in rows
    ]
    kept = [r for r in scores if not isinstance(rule(*(r[n] for n in rule.reads)), Reject)]
    return len(kept), sum(len(r["text"].encode()) for r in kept)


def _f32(value: float | None) -> float | None:
    return None if value is None else float(np.float32(value))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@generate(
    rows=documents,
    given=thresholds,
    score=st.sampled_from(sorted(SCORES)),
    points=st.integers(1, 9),
    by_language=st.booleans(),
)
def test_every_point_is_what_select_would_keep_at_that_threshold(
    tmp_path: Path,
    rows: list[dict[str, Any]],
    given: dict[str, Any],
    score: str,
    points: int,
    by_language: bool,
) -> None:
    rows = [{"id": f"d{i}", **row} for i, row in enumerate(rows)]
    found = drawn(tmp_path, rows, given, score=score, points=points, by_language=by_language)
    cut = SCORES[score]
    assert found.documents_in == len(rows)
    assert found.text_bytes_in == sum(len(r["text"].encode()) for r in rows)
    # Nothing is lost: left by other thresholds, or in the curve with its threshold off.
    passed = sum(g.points[-1].kept.documents for g in found.groups)
    assert passed + sum(found.left.values()) == len(rows)
    current = getattr(found.settings, cut.setting)
    for group in found.groups:
        mine = [r for r in rows if group.language in (None, r["language"] or "none")]
        for point in group.points:
            off = None if cut.setting != "min_language_score" else 0.0
            value = off if point.threshold is None else point.threshold
            s = found.settings.model_copy(update={cut.setting: value})
            assert (point.kept.documents, point.kept.text_bytes) == selected(mine, s)
        (now,) = [p for p in group.points if "now" in p.marks]
        assert (now.kept.documents, now.kept.text_bytes) == selected(mine, found.settings)
        assert now.threshold == current or current in (None, 0.0)
        counts = [p.kept.documents for p in group.points[:-1]]
        assert counts == sorted(counts, reverse=cut.keeps_above)
        assert all(n <= group.points[-1].kept.documents for n in counts)
        steps = [p for p in group.points[:-1] if not p.marks]
        assert len(steps) <= points


def test_a_threshold_keeps_all_documents_that_lie_on_it(tmp_path: Path) -> None:
    rows = [scored(f"{i}", 0.7) for i in range(5)] + [scored("low", 0.69), scored("high", 0.71)]
    found = drawn(tmp_path, rows, score="reference_score", at=(0.69, 0.7, 0.71, 0.72))
    assert [p.kept.documents for p in found.groups[0].points] == [7, 6, 1, 0, 7]
    rows = [{**scored(f"{i}", 1), "perplexity": p} for i, p in enumerate([341.2, 341.3, 341.4])]
    found = drawn(tmp_path, rows, score="perplexity", at=(341.2, 341.3, 341.4))
    assert [p.kept.documents for p in found.groups[0].points] == [1, 2, 3, 3]


def test_documents_without_a_score_are_told_apart(tmp_path: Path) -> None:
    rows = [scored("a", 0.9), scored("b", None)]
    out = drawn(tmp_path, rows, score="reference_score", at=(0.5,))
    assert [p.kept.documents for p in out.groups[0].points] == [1, 2]
    assert out.groups[0].without_score.documents == 1
    given = {"keep_without_reference_score": True}
    kept = drawn(tmp_path, rows, given, score="reference_score", at=(0.5,))
    assert [p.kept.documents for p in kept.groups[0].points] == [2, 2]


def test_other_thresholds_stand_unless_they_are_lifted(tmp_path: Path) -> None:
    rows = [
        {**scored(str(p), 1), "perplexity": p, "bucket": bucket}
        for p, bucket in [(100.0, "head"), (200.0, "middle"), (300.0, "tail")]
    ]
    stands = drawn(tmp_path, rows, score="perplexity", at=(150, 250, 350))
    assert [p.kept.documents for p in stands.groups[0].points] == [1, 2, 2, 2]
    assert stands.left == {"bucket_tail": 1}
    lifted = drawn(tmp_path, rows, score="perplexity", at=(150, 250, 350), ignore=("buckets",))
    assert [p.kept.documents for p in lifted.groups[0].points] == [1, 2, 3, 3]
    assert lifted.left == {}


# -- which thresholds -----------------------------------------------------------------------------


def test_points_lie_at_equal_steps_of_documents_in_short_numbers() -> None:
    above, below = Grid(SCORES["reference_score"]), Grid(SCORES["perplexity"])
    above.add(np.float32(np.arange(1, 101) / 100).astype(np.float64))
    below.add(np.arange(1000, 2000, dtype=np.float64))
    assert list(above.steps(4)) == [0.76, 0.51, 0.26, 0.01]
    assert list(below.steps(4)) == [1250, 1500, 1750, 2000]  # to 3 digits, upwards


@generate(
    scores=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), points=st.integers(1, 30)
)
def test_the_last_step_keeps_every_document(scores: list[float], points: int) -> None:
    for name, values in (
        ("reference_score", scores),
        ("perplexity", [1 + 1000 * s for s in scores]),
    ):
        grid = Grid(SCORES[name])
        stored = np.array(values, dtype=np.float32).astype(np.float64)
        grid.add(stored)
        steps = list(grid.steps(points))
        assert len(steps) <= points and len(set(steps)) == len(steps)
        last = float(np.float32(steps[-1]))
        assert all(stored >= last if SCORES[name].keeps_above else stored <= last)


def test_infinite_and_missing_scores_make_no_threshold() -> None:
    grid = Grid(SCORES["perplexity"])
    grid.add(np.array([np.nan, np.inf, 0.0]))
    assert list(grid.steps(3)) == [0.001]


def test_the_thresholds_of_profiles_are_shown_and_named(tmp_path: Path) -> None:
    assert landmarks(SCORES["reference_score"]) == {0.5: ["paper"], 0.25: ["redpajama"]}
    rows = [scored(str(i), i / 10, language_score=0.9) for i in range(11)]
    given = {"profile": "paper", "languages": None}
    found = drawn(tmp_path, rows, given, score="reference_score")
    marks = {p.threshold: p.marks for p in found.groups[0].points if p.marks}
    assert marks == {0.25: ("redpajama",), 0.5: ("now", "paper"), None: ("off",)}


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"at": "0.5,x"}, "--at 0.5,x: give numbers"),
        ({"at": "inf"}, "finite"),
        ({"at": "1.5"}, "min_reference_score: .* 1"),
        ({"ignore": "bucket"}, "no threshold is called bucket; there are languages"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, typed: dict[str, str], complaint: str) -> None:
    given = {"at": "", "ignore": "", **typed}
    path = write_part(tmp_path / "p.parquet", [scored("a", 1)])
    with pytest.raises(InputError, match=complaint):
        ask = asked("reference_score", 3, given["at"], 0, given["ignore"], False)
        curve([path], SelectSettings(), ask, NO_TOKENS, 1)
    everything = asked("perplexity", 3, " 0.5, 0.25", 0, "all", True)
    assert everything.at == (0.5, 0.25) and "min_chars" in everything.ignore


# -- tokens ---------------------------------------------------------------------------------------


def test_tokens_are_exact_where_known_and_estimated_by_language_elsewhere(tmp_path: Path) -> None:
    rows = [
        {**scored("a", 0.9), "text": "x" * 100, "language": "en"},
        {**scored("b", 0.1), "text": "x" * 60, "language": "en"},
        {**scored("c", 0.1), "text": "x" * 40, "language": "de"},
    ]
    known = lengths_of({"a": 50, "elsewhere": 7})
    found = drawn(tmp_path, rows, None, known, score="reference_score", at=(0.5,))
    assert (found.bytes_per_token, found.other_bytes_per_token) == ({"en": 2.0}, 4.0)
    exact, guessed = (p.kept for p in found.groups[0].points)
    assert (exact.tokens, exact.estimated) == (50, 0)
    assert (guessed.tokens, guessed.estimated) == (50 + 30 + 10, 2)
    none = drawn(tmp_path, rows, score="reference_score", at=(0.5,))
    assert {p.kept.tokens for p in none.groups[0].points} == {None}


# -- samples --------------------------------------------------------------------------------------


def test_samples_are_the_nearest_by_score_then_id_whatever_the_order(tmp_path: Path) -> None:
    rows = [scored(k, s) for k, s in [("d", 0.5), ("b", 0.5), ("a", 0.625), ("c", 0.375)]]
    rows += [scored(f"far{i}", 0.9) for i in range(9)] + [scored("none", None)]
    for order, size in itertools.product((rows, rows[::-1]), (1, 2, 100)):
        found = drawn(
            tmp_path, order, score="reference_score", at=(0.5,), samples=4, rows_per_group=size
        )
        samples = found.groups[0].points[0].samples
        assert [(s.id, s.kept) for s in samples] == [
            ("b", True),
            ("d", True),
            ("a", True),
            ("c", False),
        ]


def test_samples_of_languages_are_merged_and_apart(tmp_path: Path) -> None:
    rows = [scored(str(i), 0.5 + i / 100, language="en" if i % 2 else "de") for i in range(10)]
    whole = drawn(tmp_path, rows, score="reference_score", at=(0.5,), samples=3)
    assert [s.id for s in whole.groups[0].points[0].samples] == ["0", "1", "2"]
    apart = drawn(tmp_path, rows, score="reference_score", at=(0.5,), samples=2, by_language=True)
    shown = {g.language: [s.id for s in g.points[0].samples] for g in apart.groups}
    assert shown == {"de": ["0", "2"], "en": ["1", "3"]}


def shown(found: Curve, title: str = "x") -> str:
    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as capture:
        curve_show.show(found, title, console)
    return capture.get()


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m[bold]no markup[/bold]\u202egnp\r\n" + "y" * 300


def test_hostile_text_cannot_reach_the_terminal(tmp_path: Path) -> None:
    bad = scored("i\x1b[1m", 0.5, text=HOSTILE, url="http://e/\x1b[31m", language="e\x1b[2J")
    found = drawn(tmp_path, [bad], score="reference_score", at=(0.5,), by_language=True)
    text = shown(found) + json.dumps(curve_show.as_json(found, "s"), ensure_ascii=False)
    text += curve_show.svg(found, "s")
    without_styles = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert not set(without_styles) & {"\x1b", "\x9b", "\x07", "\u202e", "\r"}
    assert "[bold]no markup[/bold]" in text
    assert "y" * 150 in text and "y" * 201 not in text


# -- a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("curve")
    recipe_file = small_run.make(folder)
    small_run.run(recipe_file, str(folder / "work"))
    return recipe_file, str(folder / "work")


def test_the_curve_of_a_run_at_its_thresholds_is_what_select_and_tokens_wrote(
    work: tuple[str, str],
) -> None:
    change = "sources.commoncrawl.stages.select.max_perplexity=6.5"
    results = small_run.run(*work, [change])
    step, found = of_run(small_run.steps(*work, [change]), None, Ask(), threads=2)
    assert step.name == "commoncrawl.select"
    counts = results[step.name].manifest.counts
    (group,) = found.groups
    (now,) = [p for p in group.points if "now" in p.marks]
    assert now.threshold == 6.5
    assert (now.kept.documents, now.kept.text_bytes) == (
        counts.documents_out,
        counts.text_bytes_out,
    )
    assert found.documents_in == counts.documents_in
    left = {k: n for k, n in counts.reasons.items() if k != "perplexity"}
    assert found.left == left
    tokens = results["tokens"].manifest.counts.other
    assert (now.kept.tokens, now.kept.estimated) == (
        tokens["tokens_train"] + tokens["tokens_valid"],
        0,
    )
    assert group.points[-1].kept.estimated > 0
    assert "exact for the" in found.tokens_how


def test_token_lengths_are_those_of_the_shards_only_if_they_are_of_these_documents(
    work: tuple[str, str],
) -> None:
    small_run.run(*work)
    plan = small_run.steps(*work)
    by_name = {s.name: s for s in plan}
    scored_step = by_name["commoncrawl.perplexity"]
    known = of_source(plan, "commoncrawl", scored_step)
    sidecars = sorted(Path(by_name["tokens"].output).rglob("*.docs.parquet"))
    rows = [row for path in sidecars for row in pq.read_table(path).to_pylist()]
    assert rows
    assert known.of([r["id"] for r in rows]).tolist() == [r["length"] for r in rows]
    assert known.of(["no such document"]).tolist() == [-1]
    assert "hold nothing of books" in of_source(plan, "books", scored_step).how
    # Selected anew, but not yet encoded anew.
    changed = small_run.steps(*work, ["sources.commoncrawl.stages.select.buckets=[head]"])
    run_step(next(s for s in changed if s.name == "commoncrawl.select"))
    stale = of_source(changed, "commoncrawl", scored_step)
    assert "before the last change" in stale.how and not len(stale.hashes)
    assert stale.bytes_per_token == known.bytes_per_token
    run_step(next(s for s in plan if s.name == "commoncrawl.select"))


def test_the_command_prints_a_table_or_json_and_draws(
    work: tuple[str, str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_run.run(*work)

    def corpus(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["corpus", *arguments])
        code = cli.main()
        return code, *capfd.readouterr()

    picture = tmp_path / "curve.svg"
    typed = ["curve", work[1], "--points", "3", "--samples", "1", "--by", "language"]
    code, out, err = corpus(*typed, "--plot", str(picture))
    assert code == 0, err
    assert "what `max_perplexity` keeps, at most" in out and "language en" in out
    assert "http://example.org/" in out and "MB/s" in err
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")

    code, out, _ = corpus(*typed, "--json")
    value = json.loads(out)
    assert code == 0 and value["step"] == "commoncrawl.select"
    last = value["groups"][0]["points"][-1]
    assert last["threshold"] is None and last["shares"]["documents"] == 1
    assert corpus(*typed, "--json")[1] == out  # the same bytes each time

    code, out, _ = corpus("curve", work[1], "--score", "language_score", "--at", "0.5,0.9")
    assert code == 0 and "min_language_score" in out
    for wrong, complaint in [
        (["--source", "books"], "no select step of source books"),
        (["--score", "beauty"], "beauty"),
        (["--ignore", "taste"], "no threshold is called taste"),
    ]:
        code, out, err = corpus("curve", work[1], *wrong)
        assert (code, out) == (2, "") and complaint in err

    code, out, err = corpus("recalibration", work[1])
    assert code == 0 and "too few documents" in out and "340 / 520" in out
    code, out, _ = corpus("recalibration", work[1], "--json")
    row = json.loads(out)["commoncrawl.perplexity"]["languages"]["en"]
    assert row["published"] == [340.0, 520.0] and row["documents"] > 0


def test_a_run_without_scores_has_no_curve(tmp_path: Path) -> None:
    recipe_file = small_run.make(tmp_path / "new")
    plan = small_run.steps(recipe_file, str(tmp_path / "work"))
    with pytest.raises(InputError, match="perplexity has not run yet"):
        of_run(plan, None, Ask(), 1)
    with pytest.raises(InputError, match="no select step in this run"):
        of_run(plan[:1], None, Ask(), 1)


def test_reading_ahead_and_in_threads_changes_nothing(tmp_path: Path) -> None:
    rows = [scored(f"{i:03}", (i * 37 % 101) / 100, text="z" * i) for i in range(200)]
    paths = [
        str(p)
        for p in sorted(Path(write_parts(tmp_path / "in", [rows[:90], [], rows[90:]])).iterdir())
    ]
    ask = Ask(score="reference_score", points=7)
    found = [curve(paths, SelectSettings(), ask, NO_TOKENS, n) for n in (1, 4)]
    assert found[0] == found[1]


def test_the_select_step_itself_agrees(tmp_path: Path) -> None:
    """On the files: float32 scores, several parts, and a threshold that lies on a score."""
    rows = [scored(f"{i:03}", (i % 11) / 10, language="en") for i in range(99)]
    where = write_parts(tmp_path / "in", [rows[:40], rows[40:]])
    given = {"min_reference_score": 0.7, "languages": ["en"]}
    step = Step("s.select", "select", f"{tmp_path}/out", {"input": [where]}, given)
    run_step(step)
    done = manifest.load(step.output)
    paths = [str(p) for p in sorted(Path(where).iterdir())]
    found = curve(paths, SelectSettings.model_validate(given), Ask("reference_score"), NO_TOKENS, 1)
    (now,) = [p for p in found.groups[0].points if "now" in p.marks]
    assert done is not None and now.kept.documents == done.counts.documents_out == 36
