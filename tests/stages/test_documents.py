"""Parts: what becomes of outcomes and of judged documents, and that none is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import documents
from stages.documents import (
    SCHEMA,
    Counts,
    PartWriter,
    TableFile,
    apply_rule,
    further_columns,
    part_facts,
    printable,
    read_batches,
    with_columns,
)
from stages.documents import table as table_module
from stages.outcomes import Bad, Reject, Rejected, Skipped
from tests.stages.helpers import digests, document, read_rows, write_documents, write_part

PART = "part-00000-of-00001.parquet"


class Upper:
    """Upper-cases; rejects, raises or answers nonsense by the text."""

    reads: tuple[str, ...] = ("text", "absent")
    writes: tuple[str, ...] = ("text", "size")

    def __call__(self, text: str, absent: None) -> tuple[str, int] | Reject:
        assert absent is None
        if text == "reject":
            return Reject("unwanted", "line one\nline two\x00")
        if text == "raise":
            raise KeyError("no such thing\nat all")
        if text == "surrogate":
            return ("\ud800", 1)
        if text == "memory":
            raise MemoryError
        return (text.upper(), len(text))


SIZE = pa.field("size", pa.int32())


def batch_of(texts: list[str], **columns: list[Any]) -> pa.RecordBatch:
    rows = [
        {"id": f"d{i}", "text": t, "source": "toy", "origin": f"toy://{i}", "url": f"u{i}"}
        for i, t in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


# -- outcomes -------------------------------------------------------------------------------------


def test_every_kind_of_outcome_is_written_down_and_counted(tmp_path: Path) -> None:
    out = write_documents(
        tmp_path,
        PART,
        [
            document("a", "héllo", language="en", meta={"b": 1, "a": [2]}, title="T"),
            Rejected("b", "toy://b", "redirect", "to\nelsewhere", "http://b"),
            Bad("raw.gz", 17, "gzip: it ends early"),
            Skipped("warcinfo"),
            document("c", ""),
        ],
    )
    (a, c) = read_rows(tmp_path)
    assert (a["id"], a["text"], a["language"], a["meta"]) == ("a", "héllo", "en", '{"a":[2],"b":1}')
    assert (c["text"], c["meta"], c["perplexity"]) == ("", None, None)
    assert read_rows(tmp_path, "rejected") == [
        {
            "id": "b",
            "origin": "toy://b",
            "stage": "test",
            "reason": "redirect",
            "detail": "to elsewhere",
            "url": "http://b",
        }
    ]
    assert read_rows(tmp_path, "bad") == [
        {"file": "raw.gz", "offset": "17", "stage": "test", "error": "gzip: it ends early"}
    ]
    assert out.counts.to_json() == {
        "records": 0,
        "documents_in": 4,
        "documents_out": 2,
        "rejected": 1,
        "bad": 1,
        "text_bytes_in": 6,
        "text_bytes_out": 6,
        "reasons": {"redirect": 1},
        "errors": {"gzip": 1},
        "skipped": {"warcinfo": 1},
        "languages": {"en": 1},
        "other": {},
    }
    assert out.counts.imbalance() == ""
    listed = {f["path"]: f for f in out.files}
    assert {n: f["sha256"] for n, f in listed.items()} == digests(tmp_path)
    for name, f in listed.items():
        assert f["bytes"] == (tmp_path / name).stat().st_size
        assert f["rows"] == pq.read_metadata(tmp_path / name).num_rows


def test_a_part_without_documents_exists_and_has_the_schema(tmp_path: Path) -> None:
    write_documents(tmp_path, PART, [], columns=(SIZE,))
    assert pq.read_schema(tmp_path / PART) == pa.schema([*SCHEMA, SIZE])
    assert read_rows(tmp_path) == []
    assert [p.name for p in tmp_path.iterdir()] == [PART]
    assert part_facts(str(tmp_path / PART)).source is None
    assert list(read_batches(str(tmp_path / PART))) == []


def test_only_leaving_writes_no_documents_part(tmp_path: Path) -> None:
    with PartWriter(str(tmp_path), PART, "test", only_leaving=True) as out:
        out.counts.documents_in += 1
        out.leave(Rejected("a", "o", "gone"))
    assert list(digests(tmp_path)) == [f"rejected/{PART}"]


@pytest.mark.parametrize(
    "broken",
    [
        document("a", "x\ud800y"),
        document("a\udfff", "text"),
        document("a", "text", title="\ud800"),
        document("a", "text", url="http://\udc80"),
        document("a", "text", meta={"set": {1}}),
        document("a", "text", meta={"text": "\ud800"}),
    ],
    ids=["text", "id", "title", "url", "meta type", "meta text"],
)
def test_what_cannot_be_stored_is_one_dead_letter_and_not_a_dead_unit(
    tmp_path: Path, broken: Any
) -> None:
    out = write_documents(tmp_path, PART, [document("b", "fine"), broken, document("c", "too")])
    assert [r["id"] for r in read_rows(tmp_path)] == ["b", "c"]
    (bad,) = read_rows(tmp_path, "bad")
    assert bad["error"].startswith("not storable: ")
    assert out.counts.errors == {"not storable": 1}
    assert out.counts.text_bytes_in == out.counts.text_bytes_out == 7
    assert out.counts.imbalance() == ""


def test_names_that_are_no_unicode_do_not_break_the_tables_of_those_that_leave(
    tmp_path: Path,
) -> None:
    # A file name in no encoding reaches Python with lone surrogates.
    write_documents(
        tmp_path,
        PART,
        [Bad("raw\udcff.gz", "key\ud800", "e\ud800: x"), Rejected("i\ud800", "o\ud800", "r")],
    )
    (bad,) = read_rows(tmp_path, "bad")
    assert (bad["file"], bad["offset"], bad["error"]) == ("raw?.gz", "key?", "e?: x")
    (rejected,) = read_rows(tmp_path, "rejected")
    assert (rejected["id"], rejected["origin"]) == ("i?", "o?")


def test_details_are_cut_and_printable(tmp_path: Path) -> None:
    write_documents(
        tmp_path,
        PART,
        [Rejected("a", "o", "r", "x" * 10_000), Bad("f", 0, "e: \x1b[31mred\u202e\ta")],
    )
    assert read_rows(tmp_path, "rejected")[0]["detail"] == "x" * 500
    assert read_rows(tmp_path, "bad")[0]["error"] == "e: \ufffd[31mred\ufffd\ufffda"


@given(st.text(st.characters(), max_size=50))
@settings(max_examples=100, deadline=None)
def test_printable_gives_one_valid_line_for_any_text(text: str) -> None:
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert shown.isprintable()  # no line end is
    assert len(shown) == len(text)


def test_further_columns_are_filled_in_before_a_batch_is_written(tmp_path: Path) -> None:
    def complete(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["size"] = len(row["text"])

    given_ = [document(f"d{i}", "x" * i) for i in range(documents.BATCH_DOCUMENTS + 3)]
    write_documents(tmp_path, PART, given_, columns=(SIZE,), complete=complete)
    assert [r["size"] for r in read_rows(tmp_path)] == list(range(documents.BATCH_DOCUMENTS + 3))


def test_extra_values_go_to_the_declared_columns(tmp_path: Path) -> None:
    write_documents(tmp_path, PART, [document("a", "x", extra={"size": 7})], columns=(SIZE,))
    assert read_rows(tmp_path)[0]["size"] == 7
    assert further_columns(str(tmp_path / PART)) == [SIZE]


# -- aborting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_aborted_part_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    write_documents(tmp_path, PART, [document("old", "old")])
    before = digests(tmp_path)
    with pytest.raises(error), PartWriter(str(tmp_path), PART, "test") as out:
        for i in range(documents.BATCH_DOCUMENTS * 2):
            out.outcome(document(f"d{i}", "text"))
        out.outcome(Bad("f", 0, "e: x"))
        raise error
    assert digests(tmp_path) == before


def test_a_part_that_cannot_be_ended_leaves_nothing(tmp_path: Path) -> None:
    def broken(rows: list[dict[str, Any]]) -> None:
        raise RuntimeError("cannot complete")

    with pytest.raises(RuntimeError, match="cannot complete"):
        write_documents(tmp_path, PART, [document("a", "x"), Bad("f", 0, "e: x")], complete=broken)
    assert digests(tmp_path) == {}


# -- rules ----------------------------------------------------------------------------------------


def judge(tmp_path: Path, texts: list[str], **more: Any) -> PartWriter:
    with PartWriter(str(tmp_path), PART, "test", (SIZE,)) as out:
        apply_rule(batch_of(texts), Upper(), out, "place")
    return out


@pytest.mark.parametrize("url", [True, False], ids=["with URLs", "without"])
def test_documents_of_a_batch_leave_in_the_order_in_which_they_are_told(
    tmp_path: Path, url: bool
) -> None:
    columns = {name: [f"{name} {i}" for i in range(4)] for name in ("id", "origin", "text")}
    batch = pa.RecordBatch.from_pydict(columns | ({"url": [None, "b", "c", "d"]} if url else {}))
    with PartWriter(str(tmp_path), PART, "test", only_leaving=True) as out:
        out.leave(Rejected("before", "o", "early", "", None))
        left = out.reject(batch, {2: Reject("bad", "two\nlines"), 0: Reject("bad", "x" * 600)})
        assert out.reject(batch, {}).to_pylist() == [True] * 4
        out.leave(Rejected("after", "o", "late", "", None))
    assert left.to_pylist() == [False, True, False, True]
    assert (out.counts.rejected, out.counts.reasons) == (4, {"early": 1, "bad": 2, "late": 1})
    rows = read_rows(tmp_path, "rejected")
    assert [row["id"] for row in rows] == ["before", "id 2", "id 0", "after"]
    assert [row["url"] for row in rows[1:3]] == (["c", None] if url else [None, None])
    assert rows[1]["origin"] == "origin 2" and rows[1]["stage"] == "test"
    assert [row["detail"] for row in rows[1:3]] == ["two lines", "x" * 500]


def test_a_name_that_is_no_utf8_is_not_written(tmp_path: Path) -> None:
    bad = pa.array([b"\xff"], pa.binary()).view(pa.string())
    text = pa.array(["x"])
    batch = pa.RecordBatch.from_arrays([bad, text, text], ["id", "origin", "text"])
    with (
        pytest.raises(pa.ArrowInvalid),
        PartWriter(str(tmp_path), PART, "test", only_leaving=True) as out,
    ):
        out.reject(batch, {0: Reject("bad")})
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_rule_writes_columns_and_rejects(tmp_path: Path) -> None:
    out = judge(tmp_path, ["aé", "reject", "b"])
    assert [(r["id"], r["text"], r["size"]) for r in read_rows(tmp_path)] == [
        ("d0", "AÉ", 2),
        ("d2", "B", 1),
    ]
    (left,) = read_rows(tmp_path, "rejected")
    assert left["detail"] == "line one line two\ufffd"
    assert (left["reason"], left["url"]) == ("unwanted", "u1")
    assert out.counts.imbalance() == ""
    assert (out.counts.text_bytes_in, out.counts.text_bytes_out) == (10, 4)


@pytest.mark.parametrize("text", ["raise", "surrogate"])
def test_a_rule_that_fails_makes_a_bad_record_and_no_crash(tmp_path: Path, text: str) -> None:
    out = judge(tmp_path, ["a", text, "b"])
    assert [r["text"] for r in read_rows(tmp_path)] == ["A", "B"]
    (bad,) = read_rows(tmp_path, "bad")
    assert (bad["file"], bad["offset"]) == ("place", "d1")
    assert "\n" not in bad["error"]
    assert out.counts.imbalance() == ""


def test_want_of_memory_is_no_property_of_a_document(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        judge(tmp_path, ["a", "memory"])
    assert digests(tmp_path) == {}


def test_a_rule_that_answers_with_too_few_values_fails_loudly(tmp_path: Path) -> None:
    class Short(Upper):
        writes = ("text", "size", "title")

    with pytest.raises(ValueError, match="zip"), PartWriter(str(tmp_path), PART, "t") as out:
        apply_rule(batch_of(["a"]), Short(), out, "place")


def test_a_rule_may_reject_everything(tmp_path: Path) -> None:
    out = judge(tmp_path, ["reject"] * 3)
    assert read_rows(tmp_path) == []
    assert out.counts.reasons == {"unwanted": 3}
    assert out.counts.imbalance() == ""


def test_columns_that_a_rule_does_not_write_are_carried_along(tmp_path: Path) -> None:
    extra = pa.field("line_hashes", pa.binary())
    path = write_part(
        tmp_path / "in.parquet",
        [{"id": "a", "text": "x", "title": "T", "line_hashes": b"\x01", "language_score": 0.5}],
        (extra,),
    )
    (batch,) = read_batches(path)
    with PartWriter(str(tmp_path), PART, "test", further_columns(path)) as out:
        apply_rule(batch, Upper(), out, "place")
    (row,) = read_rows(tmp_path)
    assert (row["text"], row["title"], row["line_hashes"], row["language_score"]) == (
        "X",
        "T",
        b"\x01",
        0.5,
    )


@given(st.lists(st.sampled_from(["a", "reject", "raise", "bb"]), max_size=40), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_no_document_is_lost_and_order_stays(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    batch = batch_of(texts)
    with PartWriter(str(folder), PART, "test", (SIZE,)) as out:
        for start in range(0, len(texts), size):
            apply_rule(batch.slice(start, size), Upper(), out, "place")
    assert out.counts.documents_in == len(texts)
    assert out.counts.imbalance() == ""
    kept = [f"d{i}" for i, t in enumerate(texts) if t in ("a", "bb")]
    assert [r["id"] for r in read_rows(folder)] == kept
    left = [r["id"] for r in read_rows(folder, "rejected")]
    assert left == [f"d{i}" for i, t in enumerate(texts) if t == "reject"]
    bad = [r["offset"] for r in read_rows(folder, "bad")]
    assert bad == [f"d{i}" for i, t in enumerate(texts) if t == "raise"]


# -- bytes ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_bytes_depend_on_the_rows_and_not_on_how_they_came(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], group: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    batch = batch_of([f"text {i} " * (i % 50) for i in range(sum(cuts))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_module, "ROW_GROUP_DOCUMENTS", group)
        patch.setattr(table_module, "ROW_GROUP_BYTES", 2000)
        with TableFile(str(folder / "whole"), SCHEMA) as whole:
            whole.write(batch)
        with TableFile(str(folder / "cut"), SCHEMA) as cut:
            start = 0
            for n in cuts:
                cut.write(batch.slice(start, n))
                start += n
    found = digests(folder)
    assert found["whole"] == found["cut"]
    meta = pq.read_metadata(folder / "cut")
    assert meta.num_rows == sum(cuts)
    assert all(meta.row_group(i).num_rows <= group for i in range(meta.num_row_groups))


def test_batch_sizes_of_a_reader_do_not_show_in_the_bytes_of_large_parts(tmp_path: Path) -> None:
    # Several pages (1 MiB each) in a row group, several row groups.
    texts = [chr(97 + i % 26) * (i % 4000) for i in range(20_000)]
    path = write_part(tmp_path / "in", [{"id": f"d{i}", "text": t} for i, t in enumerate(texts)])
    for size in (128, 512, 1024):
        with PartWriter(str(tmp_path), f"out-{size}", "test") as out:
            for batch in read_batches(path, batch_documents=size):
                out.batch(batch)
    found = digests(tmp_path)
    assert len({found[f"out-{size}"] for size in (128, 512, 1024)}) == 1
    assert pq.read_metadata(tmp_path / "out-512").num_row_groups > 1


def test_row_groups_are_closed_by_documents_and_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "ROW_GROUP_DOCUMENTS", 10)
    with TableFile(str(tmp_path / "many"), SCHEMA) as many:
        for _ in range(7):
            many.write(batch_of(["x"] * 5))
    assert pq.read_metadata(tmp_path / "many").num_row_groups == 4
    monkeypatch.setattr(table_module, "ROW_GROUP_BYTES", 1000)
    with TableFile(str(tmp_path / "large"), SCHEMA) as large:
        for _ in range(3):
            large.write(batch_of(["x" * 1000]))
    assert pq.read_metadata(tmp_path / "large").num_row_groups == 3


# -- reading --------------------------------------------------------------------------------------


def test_part_facts_tell_source_and_sizes(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "text": "x" * 100, "source": "books"} for i in range(10)]
    facts = part_facts(write_part(tmp_path / "p.parquet", rows, rows_per_group=4))
    assert facts.source == "books"
    assert [g[0] for g in facts.row_groups] == [4, 4, 2]
    assert all(total >= text > 0 for _, total, text in facts.row_groups)


@pytest.mark.parametrize("content", [b"", b"hello", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_damaged_part_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.parquet").write_bytes(content)
    with pytest.raises((pa.ArrowInvalid, OSError), match=r"p\.parquet"):
        part_facts(str(tmp_path / "p.parquet"))


def test_a_foreign_parquet_file_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "p.parquet")
    with pytest.raises(
        pa.ArrowInvalid, match=r"p\.parquet holds no documents: it has no column id"
    ):
        part_facts(str(tmp_path / "p.parquet"))


def test_columns_and_row_groups_can_be_chosen(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "text": f"t{i}"} for i in range(6)]
    path = write_part(tmp_path / "p.parquet", rows, rows_per_group=2)
    batches = list(read_batches(path, ["id", "absent"], range(1, 3)))
    assert [r for b in batches for r in b.to_pylist()] == [{"id": f"d{i}"} for i in range(2, 6)]
    assert list(read_batches(path, None, range(1, 1))) == []


def test_with_columns_conforms_types_and_adds_nulls() -> None:
    narrow = pa.record_batch({"id": ["a"], "text": pa.array(["x"], pa.string())})
    schema = pa.schema([SCHEMA.field("text"), SCHEMA.field("title"), SIZE])
    done = with_columns(narrow, schema, {"size": [3]})
    assert done.schema == schema
    assert done.to_pylist() == [{"text": "x", "title": None, "size": 3}]


# -- counts ---------------------------------------------------------------------------------------


def test_imbalance_says_what_is_missing() -> None:
    assert Counts(documents_in=3, documents_out=1, rejected=1, bad=1).imbalance() == ""
    assert Counts(documents_in=3, documents_out=1).imbalance() == (
        "3 documents in, but 1 out + 0 rejected + 0 bad = 1"
    )
    assert Counts(documents_in=1, documents_out=2).imbalance() != ""
    lost = Counts(records=4, documents_in=2, documents_out=2)
    lost.skipped["header"] = 1
    assert lost.imbalance() == "4 records found, but 3 accounted for"
    lost.skipped["header"] = 2
    assert lost.imbalance() == ""


def test_counts_add_up_and_survive_json() -> None:
    a = Counts(records=1, documents_in=2, documents_out=1, rejected=1, text_bytes_in=5)
    a.reasons["short"] += 1
    a.languages["en"] += 1
    b = Counts.from_json(a.to_json())
    assert b == a
    b.add(a)
    assert b.documents_in == 4
    assert b.reasons == {"short": 2}
    assert a.reasons == {"short": 1}


def test_the_order_of_counts_does_not_depend_on_that_of_counting() -> None:
    for order in ("bbcaa", "aacbb", "cabab"):
        assert documents.ranked(Counter(order)) == [("a", 2), ("b", 2), ("c", 1)]
