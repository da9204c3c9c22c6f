"""C4's rules over real pages: the authors' own program gave these numbers and these texts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stages.engine.run import run_step
from stages.engine.step import Step
from tests.data_paths import SHARED_DATA, needs_shared_data
from tests.stages.helpers import read_rows

WET = SHARED_DATA / "commoncrawl" / "wet"

# Counted by `split_wet_file`, `is_valid_length`, `select_newest_page`, `clean_page` and
# `_remove_lines_from_text` of tensorflow_datasets 4.9.10 with NLTK 3.10.4, over the same file.
CLEAN = "f466d6967e4c21b5044a63db96a0c410f1f4a920e1e24202242ba8f030aa3ee1"
DEDUPED = "8cb2a4a4cc6cfa09e2acae713cbac6ac846385e6f8a82d04e0adecb496b5d9a5"


@needs_shared_data
def test_real_pages_come_out_as_the_authors_program_has_them(tmp_path: Path) -> None:
    before = [str(WET / "part-00002.warc.wet.gz")]
    counts = {}
    for stage in ("commoncrawl", "c4_url_dedup", "c4_clean", "c4_line_dedup"):
        settings = {"min_chars": 0} if stage == "commoncrawl" else {}
        out = tmp_path / stage
        done = run_step(Step(stage, stage, str(out), {"input": before}, settings)).manifest
        counts[stage], before = done.counts, [str(out)]
    assert counts["c4_url_dedup"].reasons == {"duplicate_url": 2}
    assert counts["c4_clean"].reasons == {
        "page_too_long": 1,
        "lorem_ipsum": 4,
        "curly_bracket": 10,
        "too_few_sentences": 57,
    }
    lines = counts["c4_clean"].other
    assert lines["line_no_end_mark"] + lines["line_ellipsis"] == 65_498
    assert {rule: lines[f"line_{rule}"] for rule in ("javascript", "policy", "too_few_words")} == {
        "javascript": 30,
        "policy": 25,
        "too_few_words": 1_537,
    }
    assert lines["line_passed"] == 13_389
    assert counts["c4_line_dedup"].reasons == {"all_lines_duplicate": 2, "too_few_sentences": 1}
    assert counts["c4_line_dedup"].other["line_duplicate"] == 202
    assert counts["c4_line_dedup"].other["line_repeated"] == 459
    assert digest(tmp_path / "c4_clean") == CLEAN
    assert digest(tmp_path / "c4_line_dedup") == DEDUPED


def digest(folder: Path) -> str:
    pages = sorted((row["url"], row["text"]) for row in read_rows(folder))
    return hashlib.sha256("\0".join(f"{u}\n{t}" for u, t in pages).encode()).hexdigest()
