"""Training, testing and scoring on small made-up pages."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from stages.engine import files
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.outcomes import Rule
from stages.reference.model import (
    CARD_FILE,
    MODEL_FILE,
    ModelError,
    Scorer,
    TrainingSettings,
    train,
)
from stages.reference.pages import COLUMNS
from stages.reference.stage import ReferenceRule
from stages.registry import create
from tests.stages.helpers import check_folder, digests, read_rows, write_part

_CITED = [
    "census",
    "archive",
    "treaty",
    "cathedral",
    "bishop",
    "survey",
    "volume",
    "historian",
    "charter",
    "province",
]
_OTHER = [
    "basket",
    "shipping",
    "cheap",
    "lol",
    "awesome",
    "sale",
    "comment",
    "newsletter",
    "photo",
    "guys",
]
_BOTH = ["the", "of", "and", "in", "was", "for", "with", "that", "on", "by"]
_SETTINGS = {"min_positives": 20, "epochs": 30, "min_count": 1, "min_chars": 50}


def words(kind: list[str], rng: Random) -> str:
    return " ".join(rng.choice(kind + _BOTH) for _ in range(rng.randint(60, 120)))


def sample(tmp: Path, n: int = 160) -> str:
    """A reference_pages folder of `n` pages, four of each domain."""
    rng = Random(5)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        cited = i % 2 == 0
        rows.append(
            {
                "id": f"d{i}",
                "url": f"https://s{i // 4}.example/{i}",
                "text": words(_CITED if cited else _OTHER, rng),
                "label": "reference" if cited else "random",
                "domain": f"s{i // 4}.example",
                "tool": "crawled/conversion",
                "language": "en",
            }
        )
    for part in range(2):
        path = tmp / "pages" / f"part-{part:05d}-of-00002.parquet"
        write_part(path, rows[part::2], COLUMNS)
    return str(tmp / "pages")


def model_step(tmp: Path, out: str = "model", **settings: Any) -> Step:
    return Step(
        name="reference_model",
        stage="reference_model",
        output=str(tmp / out),
        inputs={"input": [str(tmp / "pages")]},
        settings={**_SETTINGS, **settings},
    )


def score_step(tmp: Path, inputs: dict[str, list[str]], **settings: Any) -> Step:
    return Step("reference", "reference", str(tmp / "scored"), inputs, settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("reference")
    sample(tmp)
    run_step(model_step(tmp))
    return tmp


def test_the_manifest_tells_figures_on_unseen_domains_and_the_leaks(trained: Path) -> None:
    from stages.engine import manifest

    done = manifest.load(str(trained / "model"))
    assert done is not None
    found = done.extra["reference_model"]
    splits = found["splits"]
    assert sum(s["domains"] for s in splits.values()) <= 40
    for part in splits.values():
        assert part["references"] == part["random"]
    test = found["test"]
    assert test["auc"] > 0.95
    assert set(test["thresholds"]) == {"0.5", "0.25"}
    for figures in test["thresholds"].values():
        assert set(figures) == {"precision", "recall", "f1", "accuracy", "random_kept"}
    assert test["thresholds"]["0.5"]["f1"] > 0.9
    assert sum(b["pages"] for b in test["calibration"]["bins"]) == 2 * test["references"]
    assert found["leaks"]["domain_only"]["auc"] == 0.5
    for baseline in ("length_only", "domain_name_only"):
        assert 0.2 < found["leaks"][baseline]["auc"] < 0.8
        assert 0.03 < found["leaks"][baseline]["auc_standard_error"] < 0.2
    assert found["untrained"] is None
    assert {f["path"] for f in done.files} == {CARD_FILE, MODEL_FILE}


def test_the_same_pages_give_the_same_bytes(trained: Path) -> None:
    run_step(model_step(trained, "again"))
    assert digests(trained / "again") == digests(trained / "model")
    run_step(model_step(trained, "other", seed=3))
    assert digests(trained / "other") != digests(trained / "model")


def test_pages_are_scored_and_none_is_rejected(trained: Path, tmp_path: Path) -> None:
    rng = Random(9)
    rows = [
        {"id": "cited", "text": words(_CITED, rng)},
        {"id": "other", "text": words(_OTHER, rng)},
        {"id": "blank", "text": " \n"},
        {"id": "hostile", "text": "__label__reference " + words(_OTHER, rng)},
    ]
    write_part(tmp_path / "in" / "part-00000-of-00001.parquet", rows)
    inputs = {"input": [str(tmp_path / "in")], "model": [str(trained / "model")]}
    done = run_step(score_step(tmp_path, inputs)).manifest
    check_folder(tmp_path / "scored")
    scores = {row["id"]: row["reference_score"] for row in read_rows(tmp_path / "scored")}
    assert scores["cited"] > 0.9 and scores["other"] < 0.1 and scores["hostile"] < 0.1
    assert scores["blank"] is None
    assert done.models == {"reference": files.sha256_of(str(trained / "model" / MODEL_FILE))}


def test_too_few_references_give_no_model_and_no_scores_and_both_say_so(
    trained: Path, tmp_path: Path
) -> None:
    few = run_step(model_step(trained, "few", min_positives=1000)).manifest
    assert [f["path"] for f in few.files] == [CARD_FILE]
    (note,) = few.extra["notes"]
    assert "fewer than min_positives 1,000" in note
    assert few.extra["reference_model"]["splits"]["train"]["references"] < 1000
    write_part(tmp_path / "in" / "part-00000-of-00001.parquet", [{"id": "a", "text": "the census"}])
    inputs = {"input": [str(tmp_path / "in")], "model": [str(trained / "few")]}
    done = run_step(score_step(tmp_path, inputs)).manifest
    assert done.extra["notes"] == [f"every reference_score is null: {note}"]
    assert [row["reference_score"] for row in read_rows(tmp_path / "scored")] == [None]
    assert done.models == {}


def test_a_model_that_has_learnt_nothing_is_none_unless_it_is_asked_for(
    trained: Path, tmp_path: Path
) -> None:
    """Five passes over a hundred pages: fastText leaves every score at 0.4999."""
    poor = run_step(model_step(trained, "poor", epochs=1, learning_rate=0.001)).manifest
    assert [f["path"] for f in poor.files] == [CARD_FILE]
    why = poor.extra["notes"][-1]
    assert why.startswith("no model: nine tenths of the scores lie within 0.0")
    assert poor.extra["reference_model"]["test"]["references"] > 0
    write_part(tmp_path / "in" / "part-00000-of-00001.parquet", [{"id": "a", "text": "the census"}])
    inputs = {"input": [str(tmp_path / "in")], "model": [str(trained / "poor")]}
    done = run_step(score_step(tmp_path, inputs)).manifest
    assert done.extra["notes"] == [f"every reference_score is null: {why}"]
    asked = {"epochs": 1, "learning_rate": 0.001, "keep_untrained": True}
    kept = run_step(model_step(trained, "kept", **asked)).manifest
    assert {f["path"] for f in kept.files} == {CARD_FILE, MODEL_FILE}
    assert kept.extra["notes"][-1].startswith("kept all the same: nine tenths")


def test_few_pages_are_passed_over_more_often() -> None:
    passes = TrainingSettings().passes
    assert [passes(n) for n in (0, 100, 1000, 4000, 600_000)] == [100, 100, 20, 5, 5]
    assert TrainingSettings(epochs=3).passes(100) == 3


def test_a_model_from_elsewhere_is_used_by_its_label(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("".join(f"__label__wiki Old {i}\n__label__cc New {i}\n" for i in range(50)))
    settings = TrainingSettings(min_count=1, epochs=20, dim=8)
    train(lines, tmp_path / "m.bin", settings, 100)
    wiki = Scorer(tmp_path / "m.bin", "wiki", "line", 100)
    old, new = wiki.score("Old"), wiki.score("New")
    assert old is not None and new is not None and old > 0.9 and new < 0.1
    assert Scorer(tmp_path / "m.bin", "cc", "line", 100).score("Old") == pytest.approx(
        1 - old, abs=1e-3
    )
    with pytest.raises(ModelError, match="knows no label reference; its labels are "):
        Scorer(tmp_path / "m.bin", "reference", "line", 100)
    with pytest.raises(ModelError, match="is missing"):
        Scorer(tmp_path / "none.bin", "wiki", "line", 100)
    with pytest.raises(ModelError, match="is no fastText classifier"):
        Scorer(lines, "wiki", "line", 100)


def test_one_model_must_be_given(tmp_path: Path, trained: Path) -> None:
    write_part(tmp_path / "in" / "part-00000-of-00001.parquet", [{"id": "a", "text": "x"}])
    given = {"input": [str(tmp_path / "in")]}
    model = str(trained / "model")
    for inputs, settings in (
        (given, {}),
        ({**given, "model": [model, model]}, {}),
        ({**given, "model": [model]}, {"model_file": f"{model}/{MODEL_FILE}"}),
    ):
        with pytest.raises(InputError, match="give one --model, or model_file"):
            create(score_step(tmp_path, inputs, **settings))
    with pytest.raises(InputError, match="no file /nowhere"):
        create(score_step(tmp_path, given, model_file="/nowhere"))
    with pytest.raises(InputError, match="is no fastText classifier"):
        create(score_step(tmp_path, given, model_file=f"{model}/{CARD_FILE}"))
    with pytest.raises(InputError, match="knows no label wiki; its labels are "):
        create(score_step(tmp_path, given, model_file=f"{model}/{MODEL_FILE}", label="wiki"))
    with pytest.raises(InputError, match=r"no reference\.json in"):
        create(score_step(tmp_path, {**given, "model": [str(tmp_path / "in")]}))


def test_pages_without_labels_are_refused(tmp_path: Path) -> None:
    write_part(tmp_path / "pages" / "part-00000-of-00001.parquet", [{"id": "a", "text": "x"}])
    with pytest.raises(InputError, match="was not left by reference_pages"):
        run_step(model_step(tmp_path))


def test_splits_must_leave_something_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave nothing to train on"):
        create(model_step(tmp_path, valid_share=0.5, test_share=0.5))


def test_the_rule_is_a_rule() -> None:
    rule = ReferenceRule(None)
    assert isinstance(rule, Rule)
    assert rule("anything") == (None,)
