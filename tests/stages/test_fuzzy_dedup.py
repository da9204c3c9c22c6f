"""Fuzzy dedup, the stage: which documents leave, for whom, and what that does not depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from pipeline import plan, recipe
from stages import registry
from stages.dedup import fuzzy_pairs
from stages.dedup.fuzzy import FuzzyDedup, FuzzyDedupSettings
from stages.dedup.fuzzy_decisions import Corpus, decide, read_edges, write_edges
from stages.dedup.fuzzy_files import UnitReader, UnitWriter, place
from stages.dedup.fuzzy_shingles import Shingler
from stages.dedup.minhash import recall
from stages.dedup.set_overlap import set_overlap
from stages.engine import files
from stages.engine.execute import Executor
from stages.engine.progress import Reporter
from stages.engine.run import run_step
from stages.engine.step import ShuffleStage, Step
from tests.stages.helpers import check_folder, digests, read_rows, shuffle, write_part

SURE = {"bands": 32, "rows": 4}  # finds a pair of 0.8 all but once in 10^7 times


def tokens(seed: object, count: int = 200) -> list[str]:
    rng = Random(str(seed))
    return [f"w{rng.randrange(100_000)}" for _ in range(count)]


def alike(base: Sequence[str], jaccard: float, seed: object = "new") -> str:
    """`base` with its end replaced, such that single words have about this Jaccard similarity."""
    kept = round(2 * jaccard / (1 + jaccard) * len(base))
    return " ".join([*base[:kept], *(f"{seed}x{i}" for i in range(len(base) - kept))])


def jaccard(a: str, b: str, n: int = 5) -> float:
    return set_overlap(Shingler("words", n)(a), Shingler("words", n)(b)).jaccard


def folder_of(path: Path, texts: Mapping[str, str], parts: int, rows_per_group: int = 8) -> str:
    """Documents dealt to `parts` parts in their order."""
    items = list(texts.items())
    for p in range(parts):
        mine = items[p * len(items) // parts : (p + 1) * len(items) // parts]
        rows = [{"id": i, "text": t} for i, t in mine]
        write_part(path / f"part-{p:05d}-of-{parts:05d}.parquet", rows, (), rows_per_group)
    return str(path)


def step_of(
    tmp: Path, texts: Mapping[str, str], parts: int = 3, against: Any = None, **more: Any
) -> Step:
    inputs = {"input": [f"{folder_of(tmp / 'in', texts, parts)}/*.parquet"]}
    if against is not None:
        inputs["against"] = [f"{folder_of(tmp / 'against', against, 2)}/*.parquet"]
    layout = more.pop("layout", {})
    return Step("fuzzy", "fuzzy_dedup", str(tmp / "out"), inputs, more, layout)


def dedup(tmp: Path, texts: Mapping[str, str], **more: Any) -> dict[str, str]:
    """Runs the stage's phases; each document that leaves -> the detail."""
    return dedup_counted(tmp, texts, **more)[0]


def dedup_counted(
    tmp: Path, texts: Mapping[str, str], **more: Any
) -> tuple[dict[str, str], dict[str, int]]:
    """The same, and what the stage counts."""
    counts = shuffle(step_of(tmp, texts, **more))
    left = {row["id"]: row["detail"] for row in read_rows(tmp / "out", "rejected")}
    assert counts["documents_in"] == len(texts) == counts["documents_out"] + len(left)
    assert [row["id"] for row in read_rows(tmp / "out")] == [i for i in texts if i not in left]
    return left, counts["other"]


def pairs_of(left: Mapping[str, str]) -> dict[str, str]:
    return {i: detail.split(";")[0].removeprefix("kept: ") for i, detail in left.items()}


# -- golden pairs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", ["exact", "signature"])
@pytest.mark.parametrize("groups", ["connected", "direct"])
def test_pairs_of_known_similarity(tmp_path: Path, verify: str, groups: str) -> None:
    base = tokens("base", 1000)
    texts = {
        "base": " ".join(base),
        "same words": ", ".join(base).upper(),
        "p95": alike(base, 0.95, "a"),
        "p85": alike(base, 0.85, "b"),
        "p70": alike(base, 0.70, "c"),
        "other": " ".join(tokens("other", 1000)),
    }
    similarity = {i: jaccard(texts["base"], t) for i, t in texts.items()}
    assert [round(similarity[i], 2) for i in texts] == [1.0, 1.0, 0.95, 0.85, 0.7, 0.0]
    left = dedup(tmp_path, texts, verify=verify, groups=groups, **SURE)
    assert pairs_of(left) == {"same words": "base", "p95": "base", "p85": "base"}
    if verify == "exact":
        wanted = f"kept: base; jaccard {similarity['p85']:.4f} ("
        assert left["p85"].startswith(wanted) and left["p85"].endswith("996, 996 n-grams)")
    else:
        assert "jaccard about 0.8" in left["p85"] and left["p85"].endswith("of 128 positions)")


def test_the_threshold_itself_is_enough(tmp_path: Path) -> None:
    # 9 and 9 words of which 8 are common: 8 / 10.
    texts = {"a": "a b c d e f g h i", "b": "a b c d e f g h j", "c": "a b c d e f g k l"}
    left = dedup(tmp_path, texts, ngram=1, **SURE)
    assert left == {"b": "kept: a; jaccard 0.8000 (8 of 9, 9 n-grams)"}
    assert dedup(tmp_path / "more", texts, ngram=1, threshold=0.81, **SURE) == {}


def test_ngrams_of_characters_see_texts_without_blanks(tmp_path: Path) -> None:
    base = "".join(tokens("thai", 40))
    texts = {"a": base, "b": base[:-3] + "xyz", "c": "".join(tokens("x", 40))}
    assert dedup(tmp_path / "w", texts) == {}
    left = dedup(tmp_path / "c", texts, unit="characters", ngram=5, **SURE)
    assert pairs_of(left) == {"b": "a"}


def test_empty_and_short_documents(tmp_path: Path) -> None:
    texts = {"e1": "", "e2": "...", "a": "one two", "b": "two one", "c": "One; two!", "e3": ""}
    left, counts = dedup_counted(tmp_path, texts)
    assert pairs_of(left) == {"c": "a"}
    assert counts["without_words"] == 3


def test_the_first_or_the_longest_stays(tmp_path: Path) -> None:
    base = tokens("base", 1000)
    texts = {"b": alike(base, 0.9), "a": " ".join(base), "c": " ".join([*base, "and", "more"])}
    assert pairs_of(dedup(tmp_path / "f", texts, **SURE)) == {"a": "b", "c": "b"}
    left = dedup(tmp_path / "l", texts, keep="longest", **SURE)
    assert pairs_of(left) == {"a": "c", "b": "c"}


def chain() -> dict[str, str]:
    base = tokens("chain", 2000)
    return {f"c{i}": " ".join(base[i * 50 : i * 50 + 1000]) for i in range(6)}


def test_chains_connected_and_direct(tmp_path: Path) -> None:
    texts = chain()
    assert jaccard(texts["c0"], texts["c1"]) > 0.9 > 0.85 > jaccard(texts["c0"], texts["c2"]) > 0.8
    some = {"threshold": 0.88, **SURE}
    left = dedup(tmp_path / "c", texts, **some)
    assert pairs_of(left) == {f"c{i}": "c0" for i in range(1, 6)}
    assert [left[f"c{i}"].endswith(", by a chain") for i in range(1, 6)] == [False] + 4 * [True]
    direct = dedup(tmp_path / "d", texts, groups="direct", **some)
    assert pairs_of(direct) == {"c1": "c0", "c3": "c2", "c5": "c4"}


# -- other sources --------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", ["connected", "direct"])
@pytest.mark.parametrize("verify", ["none", "exact"])
@pytest.mark.parametrize("keep", ["first", "longest"])
def test_documents_of_the_other_source_stay(
    tmp_path: Path, groups: str, verify: str, keep: str
) -> None:
    base, two, three = (tokens(i, 500) for i in ("one", "two", "three"))
    texts = {
        "mine": " ".join([*base, "some", "more", "words"]),
        "twice": " ".join(two),
        "again": " ".join(two),
        "alone": " ".join(tokens("alone")),
    }
    against = {
        "theirs": " ".join(base),
        "theirs2": " ".join(base),
        "only1": " ".join(three),
        "only2": " ".join(three),
    }
    some = {"groups": groups, "verify": verify, "keep": keep}
    found, counts = dedup_counted(tmp_path, texts, against=against, **some, **SURE)
    left = pairs_of(found)
    assert left.pop("mine") in ("theirs", "theirs2")
    assert [set(left.items())] in ([{("again", "twice")}], [{("twice", "again")}])
    assert counts["groups"] == 2


# -- what decides nothing -------------------------------------------------------------------------


def families(count: int = 8, seed: str = "f") -> dict[str, str]:
    """Families of four near duplicates of several similarities, and as many single documents."""
    texts: dict[str, str] = {}
    for f in range(count):
        base = tokens(f"{seed}{f}", 120 + f)
        texts[f"{seed}{f}.0"] = " ".join(base)
        for k, j in enumerate((0.95, 0.85, 0.8), start=1):
            texts[f"{seed}{f}.{k}"] = alike(base, j, f"{seed}{f}{k}")
        texts[f"{seed}{f}.x"] = " ".join(tokens(f"single {seed}{f}"))
    order = list(texts)
    Random(3).shuffle(order)
    return {i: texts[i] for i in order}


@pytest.mark.parametrize("groups", ["connected", "direct"])
@pytest.mark.parametrize("verify", ["none", "signature", "exact"])
def test_parts_units_and_partitions_decide_nothing(
    tmp_path: Path, groups: str, verify: str
) -> None:
    texts = families()
    some = {"groups": groups, "verify": verify, "ngram": 2}
    one = dedup(tmp_path / "1", texts, parts=1, **some)
    seven = dedup(tmp_path / "7", texts, parts=7, partition_memory_mb=1, **some)
    layout = {"split_bytes": 5_000}
    cut = dedup(tmp_path / "c", texts, parts=2, layout=layout, **some)
    assert len(list((tmp_path / "c" / "out").glob("part-*"))) > 2
    assert one == seven == cut and len(one) > 8


def test_the_order_of_files_decides_nothing_where_the_longest_stays(tmp_path: Path) -> None:
    texts = families()
    backwards = dict(reversed(texts.items()))
    for k, some in enumerate(({"groups": "connected"}, {"groups": "direct"}, {"verify": "none"})):
        there = dedup(tmp_path / f"{k}a", texts, keep="longest", **some)
        back = dedup(tmp_path / f"{k}b", backwards, parts=2, keep="longest", **some)
        assert there == back and there


def test_workers_decide_nothing(
    tmp_path: Path, one_worker: Executor, two_workers: Executor
) -> None:
    step = step_of(tmp_path, families(), parts=4)
    made = []
    for name, executor in (("1", one_worker), ("2", two_workers), ("inline", None)):
        out = str(tmp_path / name)
        done = run_step(Step(step.name, step.stage, out, step.inputs), executor).manifest
        assert done.extra == {"fuzzy": {"bands": 14, "rows": 9}} and done.counts.rejected
        check_folder(out)
        made.append(digests(out))
        assert not (Path(out) / ".shuffle").exists()
    assert made[0] == made[1] == made[2]


def test_no_text_and_no_id_is_in_the_shuffle(tmp_path: Path) -> None:
    step = step_of(tmp_path, {f"document-{k}": " ".join(tokens(k % 2)) for k in range(8)})
    stage = registry.create(step)
    assert isinstance(stage, ShuffleStage)
    for unit in stage.units():
        emitted = orjson.dumps(stage.emit(unit, Reporter(None)).emitted)
        assert b"document-" not in emitted and tokens(0)[0].encode() not in emitted


# -- the curve ------------------------------------------------------------------------------------


def test_detection_follows_the_curve(tmp_path: Path) -> None:
    """Pairs of a known similarity become candidates as 1 - (1 - J^rows)^bands says."""
    bands, rows, each = 8, 5, 150
    texts: dict[str, str] = {}
    truth: dict[float, list[float]] = {}
    for wanted in (0.3, 0.5, 0.65, 0.8):
        for k in range(each):
            base = tokens(f"{wanted}-{k}", 100)
            a, b = " ".join(base), alike(base, wanted, f"{wanted}{k}")
            texts |= {f"{wanted}-{k}-a": a, f"{wanted}-{k}-b": b}
            truth.setdefault(wanted, []).append(jaccard(a, b, 1))
    left = dedup(tmp_path, texts, verify="none", ngram=1, bands=bands, rows=rows)
    for wanted, exact in truth.items():
        expected = np.array([recall(j, bands, rows) for j in exact])
        found = sum(f"{wanted}-{k}-b" in left for k in range(each))
        spread = np.sqrt((expected * (1 - expected)).sum())
        assert abs(found - expected.sum()) < 4 * spread + 1, wanted
        assert 0 < found < each


# -- large buckets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verify", "groups", "count"),
    [
        ("exact", "connected", 10_000),
        ("none", "connected", 10_000),
        ("signature", "connected", 1_000),
        ("exact", "direct", 1_000),
        ("none", "direct", 1_000),
    ],
)
def test_a_huge_bucket_stays_linear(
    tmp_path: Path, verify: str, groups: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    whole = fuzzy_pairs.set_overlap

    def counted(*sets: Any) -> Any:
        nonlocal compared
        compared += 1
        return whole(*sets)

    monkeypatch.setattr(fuzzy_pairs, "set_overlap", counted)
    texts = {f"d{k}": "page not found try again or go home" for k in range(count)}
    some = {"permutations": 32, "bands": 2, "rows": 8}
    left, counts = dedup_counted(tmp_path, texts, verify=verify, groups=groups, **some)
    assert pairs_of(left) == {f"d{k}": "d0" for k in range(1, count)}
    assert counts["largest_group"] == count and counts["unpaired"] == 0
    assert counts["pairs"] <= 2 * fuzzy_pairs.FOLLOWED * count
    assert compared <= 2 * count and (compared > 0) == (verify == "exact")


def test_crowded_buckets_pair_members_with_leaders(tmp_path: Path) -> None:
    """One band of one position: documents meet by a shared minimum, alike or not."""
    texts: dict[str, str] = {}
    for f in range(fuzzy_pairs.CROWD):
        base = ["same", "start", *tokens(f"crowd{f}", 30)]
        texts |= {f"{f}.{k}": " ".join(base[: 32 - k]) for k in range(3)}
    some = {"ngram": 1, "permutations": 128, "bands": 128, "rows": 1}
    left = pairs_of(dedup(tmp_path, texts, **some))
    assert left == {f"{f}.{k}": f"{f}.0" for f in range(fuzzy_pairs.CROWD) for k in (1, 2)}
    direct = pairs_of(dedup(tmp_path / "d", texts, groups="direct", **some))
    assert direct == left


def test_members_beyond_the_leaders_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzy_pairs, "LEADERS", 8)
    texts = {f"d{k}": " ".join(["one", *tokens(k, 2)]) for k in range(300)}
    left, counts = dedup_counted(tmp_path, texts, ngram=1, permutations=16, bands=16, rows=1)
    assert counts["unpaired"] > 0 == counts["pairs"] and left == {}


# -- files and decisions --------------------------------------------------------------------------


def test_rows_are_read_by_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 1 << 32, (5000, 4), dtype=np.uint32)
    sets = [np.arange(k % 7, dtype=np.uint32) for k in range(5000)]
    for unit in (0, 3):
        with UnitWriter(str(tmp_path), unit, keep_shingles=True) as out:
            for at in range(0, 5000, 1000):
                part = slice(at, at + 1000)
                ids = [f"{unit}é{k}" for k in range(at, at + 1000)]
                out.add(ids, list(range(at, at + 1000)), sets[part], signatures[part] + unit)
    reader = UnitReader(str(tmp_path), 4)
    wanted = [(0, 0), (0, 1), (0, 40), (0, 4999), (3, 7), (3, 4100)]
    places = np.array([place(*w) for w in wanted], dtype=np.int64)
    found = reader.signatures(places)
    assert (found == [signatures[row] + unit for unit, row in wanted]).all()
    assert [reader.id(p) for p in places.tolist()] == [f"{u}é{r}" for u, r in wanted]
    assert [reader.shingles(p).tolist() for p in places.tolist()] == [
        list(range(row % 7)) for _, row in wanted
    ]
    assert reader.rows(places)["size"].tolist() == [row for _, row in wanted]
    assert reader.documents(3) == 5000 and reader.without_shingles(3) == 715
    (tmp_path / "signatures-00003.bin").write_bytes(b"short")
    with pytest.raises(OSError, match="bytes where"):
        reader.signatures(places)


def test_decisions_by_place_with_empty_units_and_another_source(tmp_path: Path) -> None:
    sizes = [2, 0, 3, 0, 2]  # the last two units are of the other source
    for unit, count in enumerate(sizes):
        with UnitWriter(str(tmp_path), unit, keep_shingles=False) as out:
            for k in range(count):
                text = ["x" * (k + 1)]
                out.add([f"{unit}-{k}"], [len(text[0])], [np.empty(0, np.uint32)],
                        np.zeros((1, 2), np.uint32))  # fmt: skip
    pairs = [((0, 1), (2, 2)), ((2, 0), (4, 1)), ((2, 1), (4, 1)), ((0, 0), (4, 1))]
    edges = str(tmp_path / "edges")
    write_edges(edges, np.array([[place(*a), place(*b)] for a, b in pairs], dtype=np.int64))
    corpus = Corpus(UnitReader(str(tmp_path), 2), 3, 5)
    for keep, second in (("first", ((2, 2), (0, 1))), ("longest", ((0, 1), (2, 2)))):
        for groups in ("connected", "direct"):
            path = str(tmp_path / "out")
            with files.atomic_writer(path) as out:
                outcome = decide([edges], corpus, groups, keep, out)  # type: ignore[arg-type]
            found = np.concatenate(list(read_edges([path]))).tolist()
            wanted = {(0, 0): (4, 1), (2, 0): (4, 1), (2, 1): (4, 1), second[0]: second[1]}
            assert found == [[place(*a), place(*b)] for a, b in sorted(wanted.items())]
            assert outcome.groups == 2 and outcome.largest_group == 4
            assert outcome.leaving == [sum(a[0] == u for a in wanted) for u in range(3)]


def test_a_second_machine_decides_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units that do not see each other's decisions make them again."""
    step = step_of(tmp_path, families(4))
    shuffle(step)
    once = digests(step.output)
    monkeypatch.setattr(
        "stages.dedup.fuzzy_decisions.files.exists",
        lambda path: not path.endswith("decided.json") and Path(path).exists(),
    )
    again = Step(step.name, step.stage, str(tmp_path / "again"), step.inputs)
    shuffle(again)
    parts = {n: d for n, d in once.items() if n.startswith(("part-", "rejected/"))}
    assert parts == {n: d for n, d in digests(again.output).items() if n in parts}
    assert len(parts) > 3


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"bands": 3}, "both bands and rows"),
        ({"bands": 13, "rows": 10}, "need 130 permutations, there are 128"),
        ({"weights": [0.5, 0.6]}, "sum is 1"),
        ({"weights": [-0.5, 1.5]}, "sum is 1"),
        ({"weights": [float("nan"), 1]}, "sum is 1"),
        ({"weights": [float("inf"), float("-inf")]}, "sum is 1"),
        ({"permutations": 1}, "greater than or equal to 2"),
        ({"threshold": 1.0}, "give bands and rows"),
        ({"threshold": 0.5, "weights": [1, 0]}, "give bands and rows"),
        ({"threshold": 0}, "greater than 0"),
        ({"permutations": 5000}, "less than or equal to 4096"),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        FuzzyDedupSettings.model_validate(given)


def test_bands_follow_from_threshold_weights_and_verification() -> None:
    def banding(**given: Any) -> tuple[int, int]:
        return FuzzyDedupSettings.model_validate(given).banding()

    assert banding() == (14, 9)
    assert banding(verify="none") == banding(weights=[0.5, 0.5]) == (9, 13)
    assert banding(bands=20, rows=5) == (20, 5)


RECIPE = """\
name: small
sources:
  crawl:
    proportion: 3
    input: [a]
    stages: [commoncrawl, fuzzy_dedup: {threshold: 0.7, against: wiki}, language]
  wiki: {proportion: 1, input: w, stages: [wikipedia, fuzzy_dedup]}
"""


def test_any_source_of_a_recipe_may_use_it(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    steps = plan.steps(recipe.load(str(tmp_path / "r.yaml"), "/made")[0], "/made")
    by_name = {s.name: s for s in steps}
    mine = by_name["crawl.fuzzy_dedup"]
    assert mine.inputs == {"input": ["/made/crawl"], "against": ["/made/wiki.fuzzy_dedup"]}
    assert mine.settings == {"threshold": 0.7}
    assert by_name["crawl.language"].inputs == {"input": ["/made/crawl.fuzzy_dedup"]}
    assert FuzzyDedup(mine).settings.threshold == 0.7


def test_the_recipe_of_the_paper_does_not_use_it() -> None:
    text = Path(recipe.find("llama")).read_text()
    assert "- document_dedup" in text and "- fuzzy_dedup" not in text
