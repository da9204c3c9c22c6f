"""The comparison of tokenisers: that it compares the same ids and tells those that differ."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from warcio.warcwriter import WARCWriter

from benchmarks import data, tokenise
from benchmarks.measure import Cost, MeasureError
from benchmarks.tokenise_report import (
    JUDGE,
    STAGE,
    SYMBOL,
    Comparison,
    Measured,
    check,
    page,
    table,
)
from tests.tokenizer.conftest import some_lines

PAGES = 40


def write_wet(path: Path, seed: int) -> None:
    lines = some_lines(PAGES * 8, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for number in range(PAGES):
            text = "\n".join(lines[number * 8 : number * 8 + 8])
            if number == 7:
                text += "\nHTML5 dropped <s> once; </s> ends it\n"
            record = writer.create_warc_record(
                f"http://site{seed}.example/{number}",
                "conversion",
                payload=BytesIO(text.encode()),
                warc_content_type="text/plain",
                warc_headers_dict={"WARC-Date": "2020-01-01T00:00:00Z"},
            )
            writer.write_record(record)


@pytest.mark.slow
def test_all_programs_write_the_same_ids(tmp_path: Path, model_path: Path) -> None:
    for seed in range(4):
        write_wet(tmp_path / "wet" / f"{seed}.warc.wet.gz", seed)
    raw = data.find(tmp_path / "wet", tmp_path / "raw")
    found = tokenise.compare(raw, tmp_path / "work", model_path, repeats=2)
    assert found.documents == 4 * PAGES and found.written_out == 4
    judge = found.measured[JUDGE].tokens
    assert judge > 20 * found.documents
    for name, m in found.measured.items():
        assert m.documents == 4 * PAGES, name
        # Theirs is one token where SentencePiece spells the symbol out.
        theirs = name in ("gigatoken", "hugging_face", "datatrove")
        assert m.different == ({SYMBOL: 4} if theirs else {}), name
        assert (m.tokens < judge) == theirs, name
    assert ("datatrove" in found.measured) != ("datatrove" in found.left_out)
    told = json.loads(json.dumps(found.to_json()))
    assert told["rates"][STAGE]["tokens_per_cpu_s"]["median"] > 0


def test_a_run_that_does_other_work_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(8))
    (tmp_path / "a.docs.parquet").write_bytes(bytes(5))
    tokenise.same_size("some", tokenise.size_of(tmp_path), tmp_path)
    (tmp_path / "a.bin").write_bytes(bytes(6))
    with pytest.raises(MeasureError, match="some wrote 6 bytes of ids, 8 before"):
        tokenise.same_size("some", 8, tmp_path)


def of(*documents: str) -> list[bytes]:
    return [text.encode() for text in documents]


def test_differences_are_counted_whatever_the_order() -> None:
    texts = ["one", "with </s>", "", "four", "one"]
    ids = {
        JUDGE: of("aa", "bb", "cc", "dd", "aa"),
        STAGE: of("dd", "aa", "bb", "aa"),
        "gigatoken": of("aa", "bb", "cc", "xx", "aa"),
        "hugging_face": of("aa", "x2", "cc", "dd", "aa"),
        "datatrove": of("cc", "aa", "dd", "bb", "aa", "ee"),
    }
    measured = {name: Measured() for name in ids}
    check(measured, texts, ids)
    assert {name: m.different for name, m in measured.items()} == {
        JUDGE: {},
        STAGE: {"no text": 1},
        "gigatoken": {"no reason known": 1},
        "hugging_face": {SYMBOL: 1},
        "datatrove": {"more documents than there are": 1},
    }
    assert (measured[STAGE].documents, measured[STAGE].tokens) == (4, 4)


def test_the_table_tells_medians_differences_and_who_is_missing() -> None:
    costs = [Cost(cpu, 2 * cpu, 50_000_000) for cpu in (4.0, 1.0, 2.0)]
    measured = {
        STAGE: Measured(costs, Cost(0.5, 0.5, 1), 10, 4000),
        "hugging_face": Measured(costs, None, 10, 4000, {SYMBOL: 3}),
    }
    left_out = {"datatrove": "no index is reached"}
    found = Comparison("pages", "a tokenizer", 10, 8_000_000, 3, measured, left_out)
    sheet = table(found)
    assert sheet.rows[0][1:] == (
        "4.0 (2.0-8.0)",
        "2 (1-4)",
        "2.0 (1.0-4.0)",
        "2.00 (1.00-4.00)",
        "4.00 (2.00-8.00)",
        "0.50",
        "50",
        "0",
    )
    assert sheet.rows[1][-1] == "3"
    told = page(sheet, "Two cores.")
    assert "differing: 3 (a control symbol is written out in the text)" in told
    assert "datatrove `DocumentTokenizer` is not there: no index is reached." in told
