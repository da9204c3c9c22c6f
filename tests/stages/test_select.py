"""Late-bound thresholds: the first that fails names the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given as generate
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.documents import CHARACTERS
from stages.engine.execute import StageError
from stages.engine.run import run_step
from stages.engine.step import InputError, Step, plain
from stages.language.labels import LID_176
from stages.language.model import load_model, model_path
from stages.outcomes import Reject
from stages.registry import create
from stages.select import OFF, PROFILES, Select, SelectRule, SelectSettings, lifted
from tests.stages.helpers import check_folder, read_rows, write_part, write_parts


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
    values[CHARACTERS] = len(values["text"])
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
        ({"reference_score": None}, {"min_reference_score": 0.25}, "no_reference_score"),
        ({"reference_score": None}, {"min_reference_score": 0.0}, "no_reference_score"),
        (
            {"reference_score": None},
            {"min_reference_score": 0.25, "keep_without_reference_score": True},
            None,
        ),
        (
            {"reference_score": 0.24},
            {"min_reference_score": 0.25, "keep_without_reference_score": True},
            "reference_score",
        ),
        ({"reference_score": None}, {}, None),
        ({"text": "éé"}, {"min_chars": 3}, "too_short"),
        ({"text": "ééé"}, {"min_chars": 3}, None),
        # Profiles: English, head and middle; references at 0.5 and at 0.25.
        ({"reference_score": 0.5}, {"profile": "paper"}, None),
        ({"reference_score": 0.49}, {"profile": "paper"}, "reference_score"),
        ({"reference_score": 0.25}, {"profile": "redpajama"}, None),
        ({"reference_score": 0.24}, {"profile": "redpajama"}, "reference_score"),
        ({"reference_score": None}, {"profile": "redpajama"}, "no_reference_score"),
        ({"bucket": "tail"}, {"profile": "redpajama"}, "bucket_tail"),
        ({"language": "de"}, {"profile": "paper"}, "language"),
        ({"bucket": None}, {"profile": "paper"}, "no_bucket"),
        # cc_net rounds to two decimals before it compares with 0.5.
        ({"language_score": 0.496}, {"profile": "redpajama"}, None),
        ({"language_score": 0.4949}, {"profile": "redpajama"}, "language_score"),
        # A single setting goes before the profile's, null included.
        ({"reference_score": 0.3}, {"profile": "paper", "min_reference_score": 0.25}, None),
        ({"reference_score": None}, {"profile": "paper", "min_reference_score": None}, None),
        ({"language": "de"}, {"profile": "paper", "languages": None}, None),
        ({"bucket": "tail"}, {"profile": "paper", "buckets": None}, None),
        (
            {"language": "de", "reference_score": None, "bucket": "middle"},
            {"profile": "custom"},
            None,
        ),
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
        {"profile": "redpyjama"},
        {"profile": ["paper"]},
        {"profile": None},
        {"profile": "paper", "min_reference_score": 2},
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


def test_profiles_say_where_each_threshold_comes_from() -> None:
    names = set(SelectSettings.model_fields) - {"profile"}
    for profile in PROFILES.values():
        assert set(profile) == names
        assert all(threshold.source for threshold in profile.values())
    assert [PROFILES[name]["min_reference_score"].value for name in ("paper", "redpajama")] == [
        0.5,
        0.25,
    ]


@generate(
    profile=st.sampled_from(["paper", "redpajama", "custom"]),
    given=st.dictionaries(
        st.sampled_from(["min_reference_score", "min_language_score"]), st.floats(0, 1), max_size=2
    ),
)
def test_settings_as_the_manifest_shows_them_are_the_same_settings(
    profile: str, given: dict[str, Any]
) -> None:
    settings = SelectSettings.model_validate({"profile": profile, **given})
    assert SelectSettings.model_validate(plain(settings)) == settings
    assert all(getattr(settings, name) == value for name, value in given.items())


def test_a_threshold_lifted_lets_everything_pass() -> None:
    strict = SelectSettings(
        languages=("en",),
        min_language_score=1,
        buckets=(),
        max_perplexity=0.1,
        min_reference_score=1,
        min_chars=1000,
    )
    assert SelectRule(lifted(strict, OFF))(0, None, None, 9.0, None, None) == ()
    assert set(OFF) | {"profile", "keep_without_bucket", "keep_without_reference_score"} == set(
        SelectSettings.model_fields
    )
    with pytest.raises(KeyError):
        lifted(strict, ["keep_without_bucket"])


def test_a_text_that_is_no_utf8_is_not_passed_on(tmp_path: Path) -> None:
    path = write_part(tmp_path / "in" / "part-00000-of-00001.parquet", [{"id": "a", "text": "b"}])
    table = pq.read_table(path)
    broken = pa.array([b"\xed\xa0\x80 \xff"], pa.large_binary()).view(pa.large_string())
    pq.write_table(table.set_column(1, table.schema.field(1), broken), path)
    step = Step("s", "select", f"{tmp_path}/out", {"input": [path]}, {"buckets": None})
    with pytest.raises(StageError, match=r"part-00000-of-00001\.parquet: .*UTF8"):
        run_step(step)


def test_the_manifest_shows_the_thresholds_of_a_profile(tmp_path: Path) -> None:
    good = {"language": "en", "language_score": 0.9, "bucket": "head", "perplexity": 9.0}
    rows: list[dict[str, Any]] = [
        {"id": "a", "text": "x", **good, "reference_score": 0.3},
        {"id": "b", "text": "y", **good, "reference_score": 0.2},
        {"id": "c", "text": "z", **good},
    ]
    write_parts(tmp_path / "in", [rows, []])
    settings = {"profile": "redpajama", "min_chars": 1}
    where = {"input": [f"{tmp_path}/in"]}
    done = run_step(Step("select", "select", f"{tmp_path}/out", where, settings)).manifest
    check_folder(tmp_path / "out")
    assert done.settings["profile"] == "redpajama"
    assert done.settings["min_reference_score"] == 0.25
    assert done.settings["languages"] == ["en"]
    assert done.settings["min_chars"] == 1
    assert done.counts.reasons == {"reference_score": 1, "no_reference_score": 1}


def test_a_cut_on_scores_that_nothing_has_is_refused_before_everything_is_lost(
    tmp_path: Path,
) -> None:
    write_parts(tmp_path / "in", [[{"id": "a", "text": "x", "bucket": "head"}], []])
    step = Step("select", "select", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]})
    asked = {"min_reference_score": 0.25}
    with pytest.raises(InputError, match=r"select: min_reference_score is 0\.25 .* `reference`"):
        run_step(replace(step, settings=asked))
    kept = {**asked, "keep_without_reference_score": True}
    assert run_step(replace(step, settings=kept)).manifest.counts.documents_out == 1


def test_a_cut_on_scores_passes_over_input_without_documents(tmp_path: Path) -> None:
    write_parts(tmp_path / "in", [[]])
    step = Step("select", "select", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]})
    done = run_step(replace(step, settings={"profile": "paper"})).manifest
    assert done.counts.documents_in == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"buckets": ["haed"]}, "buckets.0: Input should be 'head', 'middle' or 'tail'"),
        ({"languages": ["en", "klingon"]}, "languages: .*no document has the language klingon"),
        ({"languages": ["EN"]}, "language EN"),
    ],
)
def test_a_misspelt_list_is_refused_before_it_empties_the_corpus(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        create(Step("select", "select", "out", {"input": ["in"]}, given))


def test_every_label_of_the_installed_model_is_known() -> None:
    model = load_model(model_path())
    assert {name.removeprefix("__label__") for name in model.get_labels()} == LID_176
    assert SelectSettings(languages=("en", "zh-cn", "yue")).languages == ("en", "zh-cn", "yue")
