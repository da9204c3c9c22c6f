"""The published C4: JSON lines, packed or not, whole or in stretches, sound or damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path

import orjson
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import registry
from stages.c4.reader import FAULTS, C4Reader, C4Settings
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped, SourceReader, Tally
from stages.wikipedia import compression
from tests.stages.helpers import check_folder, read_rows

PATH = "s3://bucket/en/c4-train.00007-of-01024.json.gz"


def line(text: str = "A page.", url: str = "https://a.example/1", **more: object) -> bytes:
    return orjson.dumps({"text": text, "timestamp": "2019-04-25T12:57:54Z", "url": url, **more})


def read(
    data: bytes, path: str = PATH, start: int = 0, end: int | None = None, **more: object
) -> list[Outcome]:
    reader: SourceReader = C4Reader(C4Settings(**more))  # type: ignore[arg-type]
    tally = Tally()
    outcomes = list(reader(io.BytesIO(data), path, tally, start, end))
    assert tally.records == len(outcomes)
    return outcomes


def errors(outcomes: list[Outcome]) -> list[str]:
    found = [o.error for o in outcomes if isinstance(o, Bad)]
    assert {e.split(":")[0] for e in found} <= set(FAULTS)
    return found


def texts(outcomes: list[Outcome]) -> list[str]:
    return [o.text for o in outcomes if isinstance(o, Document)]


def test_a_document_has_all_fields() -> None:
    first_line = line("Ünï. \n Two.")
    first, second = read(gzip.compress(first_line + b"\n" + line() + b"\n"))
    assert isinstance(first, Document)
    assert first == Document(
        id=first.id,
        text="Ünï. \n Two.",
        source="c4",
        origin=f"{PATH}#0",
        url="https://a.example/1",
        language="en",
        created="2019-04-25T12:57:54Z",
        meta={"c4_split": "train"},
    )
    assert isinstance(second, Document)
    assert second.origin == f"{PATH}#{len(first_line) + 1}"
    assert first.id != second.id


def test_redpajama_reserialised_text_is_the_published_text() -> None:
    """The published dataset went through the rules once; they are not applied again, and nothing of
    a text is changed on the way."""
    text = "  Two words.\n\nOnly { javascript.\u2028 \x0b..."
    assert texts(read(line(text))) == [text]


def test_ids_change_neither_with_the_folder_nor_with_the_packing() -> None:
    data = line() + b"\n" + line("Two.", "https://a.example/2") + b"\n"
    packed = {
        "a/c4-train.0.json": data,
        "b/c4-train.0.json.gz": gzip.compress(data),
        "c4-train.0.json.zst": zstd.compress(data),
        "c4-train.0.json.bz2": bz2.compress(data),
        "c4-train.0.json.xz": lzma.compress(data),
    }
    ids = {tuple(o.id for o in read(d, p) if isinstance(o, Document)) for p, d in packed.items()}
    assert len(ids) == 1
    assert len(set(*ids)) == 2
    other = read(data, "c4-train.1.json")[0]
    assert isinstance(other, Document)
    assert other.id not in next(iter(ids))


def test_gzip_members_are_one_file() -> None:
    data = b"".join(gzip.compress(line(str(i)) + b"\n") for i in range(3))
    assert texts(read(data)) == ["0", "1", "2"]


def test_a_line_end_inside_a_text_ends_no_line() -> None:
    text = "one\u2028two\x85three\rfour\u2029five"
    raw = orjson.dumps({"text": text, "url": "u", "timestamp": None})
    assert b"\xe2\x80\xa8" in raw  # raw in the file, as JSON allows
    assert texts(read(raw + b"\r\n" + line())) == [text, "A page."]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (line()[:-5], "json: "),
        (line()[3:], "json: "),
        (line() * 2, "json: "),
        (b"\xff" + line(), "json: "),
        (line().replace(b"page", b"\xc3("), "json: "),
        (line().replace(b"page", b"\\ud800"), "json: "),
        (b'{"text":' + b"[" * 100_000, "json: "),
        (b"[1]", "json: list, not an object"),
        (b"null", "json: NoneType, not an object"),
        (b'{"url": "u"}', "schema: text is missing"),
        (b'{"text": null}', "schema: text is NoneType"),
        (b'{"text": ["a"], "url": "u"}', "schema: text is list"),
        (b'{"text": "a", "url": 3}', "schema: url is int"),
        (b'{"text": "a", "url": "u", "timestamp": 1556197074}', "schema: timestamp is int"),
    ],
)
def test_a_damaged_line_is_one_bad_record(raw: bytes, error: str) -> None:
    outcomes = read(line("before") + b"\n" + raw + b"\n" + line("after") + b"\n")
    assert texts(outcomes) == ["before", "after"]
    (found,) = errors(outcomes)
    assert found.startswith(error)
    assert isinstance(outcomes[1], Bad)
    assert outcomes[1].offset == len(line("before")) + 1


def test_a_line_too_long_is_read_past() -> None:
    raw = b"\n".join([line("before"), line("x" * 5000), line("after"), line("y" * 5000)])
    outcomes = read(raw, max_line_bytes=1000)
    assert texts(outcomes) == ["before", "after"]
    assert [e.split(":")[0] for e in errors(outcomes)] == ["too_long", "too_long"]


def test_a_bomb_ends_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_BOMB_FREE_BYTES", 1 << 20)
    data = gzip.compress(line() + b"\n" + b" " * (8 << 20))
    outcomes = read(data)
    assert texts(outcomes) == ["A page."]
    assert [e.split(":")[0] for e in errors(outcomes)] == ["bomb"]


def _zstd(data: bytes) -> bytes:
    """With a checksum, which the command-line tool writes too."""
    return zstd.compress(data, options={int(zstd.CompressionParameter.checksum_flag): 1})


@pytest.mark.parametrize("pack", [gzip.compress, _zstd, bz2.compress, lzma.compress])
def test_a_cut_or_broken_file_gives_its_sound_lines_and_one_bad_record(pack: object) -> None:
    rows = [line(f"{i} " + "".join(chr(33 + i * j % 90) for j in range(600))) for i in range(90)]
    data = pack(b"\n".join(rows))  # type: ignore[operator]
    whole = read(data)
    assert len(texts(whole)) == 90
    cut = read(data[: len(data) * 2 // 3])
    assert errors(cut)[-1].startswith("truncated: ")
    broken = bytearray(data)
    broken[len(data) // 2 : len(data) // 2 + 40] = b"\xaa" * 40
    assert set(texts(cut)) <= set(texts(whole))
    assert errors(read(bytes(broken)))


@pytest.mark.parametrize("rows", [500, 30_000])
def test_a_wrong_checksum_takes_no_sound_line(rows: int) -> None:
    """`zlib` forgets what it decoded in the call that meets the damage: of a small file all."""
    data = b"".join(line(f"Page {i}.") + b"\n" for i in range(rows))
    packed = gzip.compress(data, 1)
    for trailer in (b"\0" * 8, packed[-8:-4] + b"\0" * 4):
        outcomes = read(packed[:-8] + trailer)
        assert len(texts(outcomes)) == rows
        assert texts(outcomes)[-1] == f"Page {rows - 1}."
        (found,) = errors(outcomes)
        assert found.startswith("compression: ")
        assert isinstance(outcomes[-1], Bad) and outcomes[-1].offset == len(data)


def test_lines_before_damage_in_a_small_gzip_stand() -> None:
    rows = [line(f"{i} " + "".join(chr(33 + i * j % 90) for j in range(600))) for i in range(90)]
    packed = bytearray(gzip.compress(b"\n".join(rows)))
    middle = len(packed) // 2
    packed[middle : middle + 40] = b"\xff" * 40
    sound = texts(read(bytes(packed)))
    expected = texts(read(b"\n".join(rows)))
    assert len(sound) > 20
    assert sound[:20] == expected[:20]


def test_a_hostile_zstd_window_is_refused() -> None:
    header = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0xA8]) + b"\x01\x00\x00"  # window of 2 GiB
    assert [e.split(":")[0] for e in errors(read(header + b"\0" * 30))] == ["compression"]


def test_blank_lines_and_blank_texts() -> None:
    outcomes = read(b"\n" + line(" \u00a0\n") + b"\n  \n" + line())
    assert outcomes[0] == Skipped("blank_line")
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].reason == "empty"
    assert outcomes[2] == Skipped("blank_line")
    assert texts(outcomes) == ["A page."]


def test_dates_and_urls_that_are_none() -> None:
    raw = b'{"text": "a", "timestamp": "yesterday"}\n{"text": "b", "url": ""}'
    first, second = read(raw, "x.json")
    assert isinstance(first, Document)
    assert (first.url, first.created, first.meta) == (None, None, {"timestamp": "yesterday"})
    assert isinstance(second, Document)
    assert (second.url, second.created, second.meta) == (None, None, None)


def test_the_validation_files_are_told_by_their_name() -> None:
    (found,) = read(line(), "c4-validation.00000-of-00008.json.gz")
    assert isinstance(found, Document)
    assert found.meta == {"c4_split": "validation"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=12), st.lists(st.integers(1, 200), max_size=4))
def test_stretches_of_a_file_give_each_line_once(sizes: list[int], cuts: list[int]) -> None:
    data = b"\n".join(line("x" * n, f"https://a.example/{i}") for i, n in enumerate(sizes))
    data += b"\n" * (len(sizes) % 2)
    edges = sorted({0, *(min(len(data), 7 * c) for c in cuts)})
    stretches = list(zip(edges, [*edges[1:], None], strict=True))
    pieces = [o for start, end in stretches for o in read(data, "x.json", start, end)]
    assert pieces == read(data, "x.json")


def test_a_stretch_of_a_packed_file_is_read_by_its_first_unit_only() -> None:
    data = gzip.compress(line())
    assert texts(read(data, "misnamed.json", 0, 10)) == ["A page."]
    assert read(data, "misnamed.json", 10, None) == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_accounted_for(data: bytes, packed: bool) -> None:
    outcomes = read(gzip.compress(data) if packed else data)
    assert packed is False or len(outcomes) == len(data.split(b"\n")) - (not data.split(b"\n")[-1])


def test_the_stage_runs_and_balances(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    plain = b"\n".join(line(f"{i} " * 40, f"https://a.example/{i}") for i in range(200))
    (raw / "c4-train.00000-of-00002.json").write_bytes(plain)
    (raw / "c4-train.00001-of-00002.json.gz").write_bytes(gzip.compress(plain + b"\n{"))
    step = Step(
        "c4",
        "c4",
        str(tmp_path / "out"),
        {"input": [str(raw)]},
        layout={"split_bytes": 5000, "bundle_bytes": 0},
    )
    stage = registry.create(step)
    assert len(stage.units()) > 3
    done = run_step(step).manifest
    assert (done.counts.documents_out, done.counts.bad) == (400, 1)
    check_folder(tmp_path / "out")
    assert len({row["id"] for row in read_rows(tmp_path / "out")}) == 400
