"""The shard format, read back by plain numpy and by readers written from the formats' layouts."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import shards as module
from tokenizer.shards import DocumentSpan, ShardInfo, ShardReader, ShardWriter

DOCUMENTS: list[tuple[str, list[int]]] = [
    ("one", [5, 6, 7]),
    ('two, "quoted"\nü', [999]),
    ("empty", []),
    ("three", [10, 11]),
]
STREAM = [5, 6, 7, 2, 999, 2, 2, 10, 11, 2]


def write(prefix: str | Path, documents: list[tuple[str, list[int]]], **more: Any) -> ShardInfo:
    writer = ShardWriter(prefix, vocab_size=1000, separator_id=2, **more)
    for name, ids in documents:
        writer.add(name, ids, 10)
    return writer.close()


def read_megatron(prefix: str) -> tuple[list[list[int]], list[int]]:
    """Documents and document index of a Megatron dataset, by the layout of its version 1."""
    index = Path(prefix + ".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    (version,) = struct.unpack("<Q", index[9:17])
    (code,) = struct.unpack("<B", index[17:18])
    sequences, entries = struct.unpack("<QQ", index[18:34])
    assert version == 1
    dtype = {8: np.uint16, 4: np.int32}[code]
    lengths = np.frombuffer(index, np.int32, sequences, 34)
    pointers = np.frombuffer(index, np.int64, sequences, 34 + lengths.nbytes)
    documents = np.frombuffer(index, np.int64, entries, 34 + lengths.nbytes + pointers.nbytes)
    assert len(index) == 34 + lengths.nbytes + pointers.nbytes + documents.nbytes
    payload = np.memmap(prefix + ".bin", mode="r", dtype=np.uint8)
    found = [
        np.frombuffer(payload, dtype, length, pointer).tolist()
        for length, pointer in zip(lengths, pointers, strict=True)
    ]
    return found, documents.tolist()


def test_payload_is_a_bare_memmap(tmp_path: Path) -> None:
    info = write(tmp_path / "a", DOCUMENTS)
    assert np.memmap(info.path, dtype="<u2", mode="r").tolist() == STREAM
    assert info.tokens == 10 and info.documents == 4 and info.text_bytes == 40
    assert info.sha256 == hashlib.sha256(Path(info.path).read_bytes()).hexdigest()
    assert all(Path(file).is_file() for file in info.files)
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "a.docs.parquet", "a.idx", "a.names"]


def test_megatron_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "a", DOCUMENTS)
    found, documents = read_megatron(str(tmp_path / "a"))
    assert found == [[*ids, 2] for _, ids in DOCUMENTS]
    assert documents == [0, 1, 2, 3, 4]


def test_megatron_index_beyond_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenizer.dialects._BLOCK", 3)
    many = [(str(n), [n + 3] * n) for n in range(10)]
    write(tmp_path / "a", many)
    found, documents = read_megatron(str(tmp_path / "a"))
    assert found == [[*ids, 2] for _, ids in many] and documents == list(range(11))


def test_documents_sidecar(tmp_path: Path) -> None:
    write(tmp_path / "a", DOCUMENTS)
    rows = pq.read_table(tmp_path / "a.docs.parquet").to_pylist()
    assert [row["id"] for row in rows] == [name for name, _ in DOCUMENTS]
    assert [row["first_token"] for row in rows] == [0, 4, 6, 7]
    assert [row["length"] for row in rows] == [4, 2, 1, 3]
    assert {row["origin"] for row in rows} == {row["url"] for row in rows} == {None}


def place(d: DocumentSpan) -> tuple[object, ...]:
    return d.id, d.first_token, d.start, d.length, d.whole, d.origin, d.url


def test_where_a_document_comes_from_goes_along(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "a", vocab_size=1000, separator_id=2)
    writer.add("one", [5, 6], 1, origin="raw#0", url="http://one.example/")
    writer.add("two", [7], 1, origin="raw#9", names=("page", "two"))
    reader = ShardReader(writer.close().path)
    assert [place(d) for d in reader.documents_in(1, 3)] == [
        ("one", 0, 1, 2, 3, "raw#0", "http://one.example/"),
        ("two", 3, 3, 1, 2, "raw#9", None),
    ]
    assert [d.id for d in reader.find(["page"])] == ["two"]
    assert [place(d) for d in reader.find(["two", "one"])] == [
        ("one", 0, 0, 3, 3, "raw#0", "http://one.example/"),
        ("two", 3, 3, 2, 2, "raw#9", None),
    ]
    assert reader.find(["raw#0"]) == reader.find([]) == []


def test_documents_are_found_in_any_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", 3)
    many = [(f"d{n}", [3] * (n % 4)) for n in range(10)]
    reader = ShardReader(write(tmp_path / "a", many).path)
    for n, (name, ids) in enumerate(many):
        first = int(reader.first_tokens[n])
        (found,) = reader.find([name])
        assert place(found) == (name, first, first, len(ids) + 1, len(ids) + 1, None, None)
    wanted = ["d9", "d0", "d4", "nobody"]
    assert [d.id for d in reader.find(wanted)] == ["d0", "d4", "d9"]


@pytest.mark.parametrize(("start", "n"), [(-1, 2), (9, 2), (0, 0), (10, 1)])
def test_documents_of_no_tokens(tmp_path: Path, start: int, n: int) -> None:
    reader = ShardReader(write(tmp_path / "a", DOCUMENTS).path)
    with pytest.raises(ValueError, match="not within 0 to 10"):
        reader.documents_in(start, n)


def test_a_document_sidecar_of_another_shard(tmp_path: Path) -> None:
    info = write(tmp_path / "a", DOCUMENTS)
    write(tmp_path / "b", DOCUMENTS[:1])
    os.replace(tmp_path / "b.docs.parquet", tmp_path / "a.docs.parquet")
    with pytest.raises(ValueError, match="the document sidecar has 1 rows, 4 needed"):
        ShardReader(info.path).documents_in(0, 10)
    (tmp_path / "a.docs.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="the document sidecar: "):
        ShardReader(info.path).documents_in(0, 10)


def test_datatrove_dialect(tmp_path: Path) -> None:
    write(tmp_path / "a", DOCUMENTS, dialects=("datatrove",), tokenizer_name="small")
    ends = np.fromfile(tmp_path / "a.ds.index", dtype="<u8")
    assert ends.tolist() == [4, 6, 7, 10]
    name, tokens = (tmp_path / "a.ds.metadata").read_text().split("\n")[:2]
    assert name == "small|2" and tokens == "10"


def test_olmo_dialect(tmp_path: Path) -> None:
    write(tmp_path / "a", DOCUMENTS, dialects=("olmo",))
    with gzip.open(tmp_path / "a.csv.gz", "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert [(int(row[0]), int(row[1])) for row in rows] == [(0, 4), (4, 6), (6, 7), (7, 10)]
    assert [row[2] for row in rows] == [name.replace("\n", " ") for name, _ in DOCUMENTS]
    assert [(row[3], int(row[4])) for row in rows] == [("a", place) for place in (1, 2, 3, 4)]
    header = (tmp_path / "a.csv.gz").read_bytes()[:10]
    assert header[3] == 0 and header[4:8] == b"\0\0\0\0", "no name and no time"


def test_olmo_core_splits_the_sidecar_at_newlines_whatever_the_quotes(tmp_path: Path) -> None:
    write(tmp_path / "a", DOCUMENTS, dialects=("olmo",))
    with gzip.open(tmp_path / "a.csv.gz", "rt", encoding="utf-8") as stream:
        starts = [int(line.split(",")[0]) for line in stream]
    assert starts == [0, 4, 6, 7]


def test_same_documents_same_bytes(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        write(tmp_path / folder / "a", DOCUMENTS, dialects=("datatrove", "olmo"))
    names = sorted(os.listdir(tmp_path / "x"))
    assert len(names) == 7 and names == sorted(os.listdir(tmp_path / "y"))
    for name in names:
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes(), name


def test_transformers_2825_ids_never_wrap(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "a", vocab_size=1000, separator_id=2)
    for bad in (1000, 65_536 + 5, -1, 2**40):
        with pytest.raises(ValueError, match=rf"document 'd': id {bad} at position 1 is outside"):
            writer.add("d", [5, bad], 1)
    writer.add("good", np.array([5], dtype=np.uint32), 1)
    assert np.fromfile(writer.close().path, "<u2").tolist() == [5, 2]


_IDS = st.lists(st.sampled_from([3, 4, 999]), max_size=12)
_KINDS = st.sampled_from(["<u2", "<u2", "<u2", ">u2", "<i8", "<u4"])


@settings(max_examples=40, deadline=None)
@given(
    data=st.lists(st.tuples(_IDS, _KINDS, st.integers(0, 3)), max_size=25),
    wrong=st.sampled_from([None, None, 1, 2, 1000, 65_535]),
    bare=st.booleans(),
    already=st.integers(0, 5),
    dialects=st.sampled_from([(), ("olmo", "datatrove")]),
)
def test_many_documents_are_added_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    data: list[tuple[list[int], str, int]],
    wrong: int | None,
    bare: bool,
    already: int,
    dialects: Any,
) -> None:
    folder = tmp_path_factory.mktemp("many")
    ids = [np.array(values, dtype=kind) for values, kind, _ in data]
    if wrong is not None and data:
        ids[len(data) // 2] = np.array([5, wrong], dtype=np.uint16)
    documents = [f"d,{i}\n" for i in range(len(data))]
    sizes = list(range(len(data)))
    # Some have a name twice, or their own id as a name.
    names = [[f"n{i}", "all", documents[i], "all"][:n] for i, (_, _, n) in enumerate(data)]
    origins = [None if n == 1 else f"o{n}" for _, _, n in data]
    numbers = [None if n == 2 else 2**64 - n - 1 for _, _, n in data]
    written = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROW_GROUP", 7)
        patch.setattr(module, "_TOGETHER", 30)
        for way in ("one", "many"):
            (folder / way).mkdir()
            writer = ShardWriter(
                folder / way / "a",
                vocab_size=1000,
                separator_id=2,
                forbidden_ids=(1,),
                dialects=dialects,
            )
            for i in range(already):
                writer.add(f"before-{i}", [7], 1)
            error = ""
            try:
                if way == "many" and bare:
                    writer.add_many(documents, ids, sizes)
                elif way == "many":
                    writer.add_many(
                        documents, ids, sizes,
                        origins=origins, urls=origins, names=names, held_out=numbers,
                    )  # fmt: skip
                else:
                    for i, document in enumerate(documents):
                        more: dict[str, Any] = {
                            "origin": origins[i],
                            "url": origins[i],
                            "names": names[i],
                            "held_out": numbers[i],
                        }
                        writer.add(document, ids[i], sizes[i], **({} if bare else more))
            except ValueError as wrong_document:
                error = str(wrong_document)
            info = writer.close()
            contents = {Path(path).name: Path(path).read_bytes() for path in info.files}
            written[way] = (error, contents, info.sha256, info.tokens, info.text_bytes)
    assert written["one"] == written["many"]
    assert bool(written["many"][0]) == (wrong is not None and bool(data))


def test_many_documents_need_columns_of_one_length(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "a", vocab_size=1000, separator_id=2)
    with pytest.raises(ValueError, match="different lengths"):
        writer.add_many(["a", "b"], [np.array([5], dtype=np.uint16)], [1, 1])
    assert writer.close().documents == 0
    with pytest.raises(ValueError, match="closed"):
        writer.add_many(["a"], [np.array([5], dtype=np.uint16)], [1])


def test_fms_fsdp_a_second_separator_is_refused(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "a", vocab_size=1000, separator_id=2, forbidden_ids=(1,))
    with pytest.raises(ValueError, match=r"document 'd': id 2 at position 2 is the separator"):
        writer.add("d", [5, 6, 2], 1)
    with pytest.raises(ValueError, match=r"id 1 at position 0 is a control id"):
        writer.add("d", [1, 5], 1)
    assert writer.close().tokens == 0


@pytest.mark.parametrize("ids", [[1.5], [[1], [2]], ["a"], [True, False]])
def test_ids_must_be_integers_in_one_dimension(tmp_path: Path, ids: Any) -> None:
    writer = ShardWriter(tmp_path / "a", vocab_size=1000, separator_id=2)
    with pytest.raises(ValueError, match="integers in one dimension"):
        writer.add("d", ids, 1)
    writer.discard()


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="for uint16"):
        ShardWriter(tmp_path / "a", vocab_size=65_537, separator_id=2)
    with pytest.raises(ValueError, match="not below"):
        ShardWriter(tmp_path / "a", vocab_size=10, separator_id=10)
    with pytest.raises(ValueError, match="unknown dialect"):
        ShardWriter(
            tmp_path / "a",
            vocab_size=10,
            separator_id=2,
            dialects=("mds",),  # type: ignore[arg-type]
        )
    assert os.listdir(tmp_path) == []


def test_the_largest_vocabulary_that_uint16_holds(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "a", vocab_size=65_536, separator_id=2)
    writer.add("d", [65_535], 1)
    assert ShardReader(writer.close().path).tokens(0, 2).tolist() == [65_535, 2]


def test_nothing_is_left_of_a_shard_that_was_given_up(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        ShardWriter(
            tmp_path / "a", vocab_size=10, separator_id=2, dialects=("olmo", "datatrove")
        ) as writer,
    ):
        writer.add("d", [5], 1)
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        writer.add("d", [5], 1)


def test_an_unfinished_shard_has_no_final_name(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "a", vocab_size=10, separator_id=2)
    writer.add("d", [5], 1)
    assert not [n for n in os.listdir(tmp_path) if n.endswith((".bin", ".idx", ".parquet"))]
    writer.discard()


def test_row_groups_bound_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", 3)
    many = [(f"d{n}", [3] * (n % 4)) for n in range(10)]
    write(tmp_path / "a", many)
    assert pq.ParquetFile(tmp_path / "a.docs.parquet").num_row_groups == 4
    reader = ShardReader(tmp_path / "a")
    spans = reader.documents_in(0, reader.size)
    assert [span.id for span in spans] == [name for name, _ in many]
    assert reader.documents_in(int(reader.first_tokens[7]), 1)[0].id == "d7"


def test_reading(tmp_path: Path) -> None:
    info = write(tmp_path / "a", DOCUMENTS)
    reader = ShardReader(info.path, vocab_size=1000)
    assert reader.size == len(reader) == 10
    assert reader.tokens(3, 4).tolist() == STREAM[3:7] and reader.tokens(3, 4).dtype == np.uint16
    assert reader.tokens(10, 0).size == 0
    assert reader.memmap.tolist() == STREAM
    assert reader.sha256() == info.sha256
    assert reader.documents.num_rows == 4
    spans = reader.documents_in(2, 6)
    assert [(s.id, s.first_token, s.start, s.length) for s in spans] == [
        ("one", 0, 2, 2),
        (DOCUMENTS[1][0], 4, 4, 2),
        ("empty", 6, 6, 1),
        ("three", 7, 7, 1),
    ]


@pytest.mark.parametrize(("start", "n"), [(-1, 2), (9, 2), (11, 0), (0, -1)])
def test_only_what_is_there_can_be_read(tmp_path: Path, start: int, n: int) -> None:
    reader = ShardReader(write(tmp_path / "a", DOCUMENTS).path)
    with pytest.raises(ValueError, match="not within 0 to 10"):
        reader.tokens(start, n)


def test_llm_shearing_65_ids_are_checked_on_read(tmp_path: Path) -> None:
    info = write(tmp_path / "a", DOCUMENTS)
    with open(info.path, "r+b") as stream:
        stream.seek(2 * 7)
        stream.write(struct.pack("<H", 4000))
    reader = ShardReader(info.path, vocab_size=1000)
    assert reader.tokens(0, 7).size == 7
    with pytest.raises(ValueError, match=r"a\.bin: id 4000 at token 7 is outside"):
        reader.tokens(5, 5)


def test_a_payload_cut_short(tmp_path: Path) -> None:
    info = write(tmp_path / "a", DOCUMENTS)
    reader = ShardReader(info.path)
    assert reader.size == 10
    os.truncate(info.path, 6)
    with pytest.raises(ValueError, match="ends before token 10"):
        reader.tokens(0, 10)
    with pytest.raises(ValueError, match="the payload has 3"):
        _ = ShardReader(info.path).first_tokens
    os.truncate(info.path, 5)
    with pytest.raises(ValueError, match="no whole number"):
        _ = ShardReader(info.path).size


def test_a_damaged_index(tmp_path: Path) -> None:
    info = write(tmp_path / "a", DOCUMENTS)
    index = tmp_path / "a.idx"
    whole = index.read_bytes()
    for damaged, message in (
        (whole[:20], "too short"),
        (whole[:-1], "bytes long"),
        (b"X" + whole[1:], "no Megatron index"),
        (whole[:18] + struct.pack("<Q", 1 << 60) + whole[26:], "bytes long"),
    ):
        index.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            _ = ShardReader(info.path).first_tokens


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nope\.bin: No such file"):
        ShardReader(tmp_path / "nope").tokens(0, 1)
    with pytest.raises(ValueError, match="no such file"):
        ShardReader(f"memory://{tmp_path.name}/nope").tokens(0, 1)


def test_remote_shards_are_cached(tmp_path: Path) -> None:
    prefix = f"memory://{tmp_path.name}/a"
    info = write(prefix, DOCUMENTS, dialects=("datatrove", "olmo"))
    assert info.path == prefix + ".bin" and len(info.files) == 7
    reader = ShardReader(info.path, cache_dir=tmp_path)
    assert reader.tokens(0, 10).tolist() == STREAM
    assert [n for n in os.listdir(tmp_path) if n.endswith("a.bin")]
    assert reader.documents_in(0, 1)[0].id == "one"
    # A rewritten file is not taken from the cache.
    write(prefix, DOCUMENTS[:1])
    assert ShardReader(info.path, cache_dir=tmp_path).tokens(0, 4).tolist() == STREAM[:4]
    assert ShardReader(info.path, cache_dir=tmp_path).size == 4


def test_readers_travel_between_processes(tmp_path: Path) -> None:
    reader = ShardReader(write(tmp_path / "a", DOCUMENTS).path, vocab_size=1000)
    reader.tokens(0, 1)
    other = pickle.loads(pickle.dumps(reader))
    assert other.tokens(0, 10).tolist() == STREAM and other.vocab_size == 1000


def test_an_empty_shard(tmp_path: Path) -> None:
    info = write(tmp_path / "a", [], dialects=("datatrove", "olmo"))
    reader = ShardReader(info.path)
    assert reader.size == 0 and reader.documents.num_rows == 0 and reader.memmap.size == 0
    assert reader.first_tokens.tolist() == [0]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), max_size=5),
            st.lists(st.integers(3, 999), max_size=9),
        ),
        max_size=12,
    )
)
def test_any_documents_come_back(
    tmp_path_factory: pytest.TempPathFactory, documents: list[tuple[str, list[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("shard")
    info = write(folder / "a", documents)
    reader = ShardReader(info.path, vocab_size=1000)
    stream = [token for _, ids in documents for token in [*ids, 2]]
    assert reader.tokens(0, reader.size).tolist() == stream
    table = reader.documents
    assert table.column("id").to_pylist() == [name for name, _ in documents]
    assert np.count_nonzero(reader.memmap == 2) == len(documents) == info.documents
    assert np.diff(reader.first_tokens).tolist() == table.column("length").to_pylist()
