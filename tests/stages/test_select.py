"""Late-bound thresholds: the first that fails names the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from stages.engine.run import run_step
from stages.engine.step import Step
from stages.outcomes import Reject
from stages.select import Select, SelectRule, SelectSettings
from tests.stages.helpers import check_folder, read_rows, write_parts


def judge(document: dict[str, Any], **given: Any) -> str | None:
    """The reason for which a document leaves, None if it stays."""
    values = {
        "text": "some text",
        "language": "en",
        "language_score": 0.9,
        "perplexity": 200.0,
        "bucket": "head",
        "reference_score": 0.7,
        **document,
    }
    verdict = SelectRule(SelectSettings(**given))(*(values[name] for name in SelectRule.reads))
    if isinstance(verdict, Reject):
        assert verdict.reason in Select.reasons
        return verdict.reason
    assert verdict == ()
    return None


@pytest.mark.parametrize(
    ("document", "given", "reason"),
    [
        ({}, {}, None),
        ({"bucket": "middle"}, {}, None),
        ({"bucket": "tail"}, {}, "bucket_tail"),
        ({"bucket": "tail"}, {"buckets": ("tail",)}, None),
        ({"bucket": "head"}, {"buckets": ("tail",)}, "bucket_head"),
        ({"bucket": "tail"}, {"buckets": None}, None),
        ({"bucket": "tail"}, {"buckets": ()}, "bucket_tail"),
        ({"bucket": None}, {}, "no_bucket"),
        ({"bucket": None}, {"keep_without_bucket": True}, None),
        ({"bucket": None}, {"buckets": None}, None),
        ({"bucket": "tail", "perplexity": None}, {}, "bucket_tail"),
        ({"language": "de"}, {"languages": ("en", "fr")}, "language"),
        ({"language": None}, {"languages": ("en",)}, "language"),
        ({"language": None}, {}, None),
        ({}, {"languages": ()}, "language"),
        ({"language_score": 0.5}, {"min_language_score": 0.5}, None),
        ({"language_score": 0.49}, {"min_language_score": 0.5}, "language_score"),
        ({"language_score": None}, {"min_language_score": 0.5}, "language_score"),
        ({"language_score": None}, {}, None),
        ({"perplexity": 300.5}, {"max_perplexity": 300}, "perplexity"),
        ({"perplexity": 300.0}, {"max_perplexity": 300}, None),
        ({"perplexity": None}, {"max_perplexity": 300}, None),
        ({"reference_score": 0.24}, {"min_reference_score": 0.25}, "reference_score"),
        ({"reference_score": 0.25}, {"min_reference_score": 0.25}, None),
        ({"reference_score": None}, {"min_reference_score": 0.25}, "reference_score"),
        ({"reference_score": None}, {}, None),
        ({"text": "éé"}, {"min_chars": 3}, "too_short"),
        ({"text": "ééé"}, {"min_chars": 3}, None),
        # In the order of the stages: the language is asked before the bucket.
        ({"language": "de", "bucket": "tail"}, {"languages": ("en",)}, "language"),
        ({"bucket": "tail", "text": ""}, {"min_chars": 3}, "bucket_tail"),
    ],
)
def test_thresholds(document: dict[str, Any], given: dict[str, Any], reason: str | None) -> None:
    assert judge(document, **given) == reason


@pytest.mark.parametrize("threshold", [0.65, 0.1, 0.7, 0.33])
def test_a_score_stored_as_float32_passes_a_threshold_of_the_same_number(threshold: float) -> None:
    stored = float(np.float32(threshold))
    assert judge({"language_score": stored}, min_language_score=threshold) is None
    assert judge({"reference_score": stored}, min_reference_score=threshold) is None
    assert judge({"perplexity": stored}, max_perplexity=threshold) is None
    below = float(np.nextafter(np.float32(threshold), np.float32(0)))
    assert judge({"language_score": below}, min_language_score=threshold) == "language_score"


@pytest.mark.parametrize(
    "given",
    [
        {"min_language_score": 1.1},
        {"max_perplexity": 0},
        {"min_reference_score": -1},
        {"min_chars": -1},
        {"bucket": ("head",)},
    ],
    ids=str,
)
def test_settings_out_of_range_or_unknown_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SelectSettings(**given)


def test_changing_a_threshold_selects_anew_from_the_same_scores(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "h", "text": "x", "bucket": "head", "perplexity": 100.0},
        {"id": "t", "text": "y", "bucket": "tail", "perplexity": 900.0},
        {"id": "n", "text": "z"},
    ]
    write_parts(tmp_path / "in", [rows])

    def select(**given: Any) -> list[str]:
        step = Step(
            "select", "select", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]}, settings=given
        )
        assert not run_step(step).skipped
        check_folder(tmp_path / "out")
        return [r["id"] for r in read_rows(tmp_path / "out")]

    assert select() == ["h"]
    assert read_rows(tmp_path / "out", "rejected")[0]["detail"] == "perplexity 900.0"
    assert select(buckets=None) == ["h", "t", "n"]
    assert select(keep_without_bucket=True) == ["h", "n"]
