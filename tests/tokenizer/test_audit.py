from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tokenizer import audit as module
from tokenizer.audit import IdKinds, audit, audit_or_report
from tokenizer.audit_sidecars import Finding
from tokenizer.encode import Encoder
from tokenizer.manifest import Canary, HeldOut, TokensManifest, build
from tokenizer.names import hash_of
from tokenizer.shards import ShardReader, ShardWriter

from .conftest import VOCABULARY, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path, {"a": [[9, 30], [25]], "b": [[40], []]})
    return tmp_path


def problems(root: Path) -> list[str]:
    return [p for found in audit(TokensManifest.load(root), root) for p in found.problems]


def findings(root: Path) -> list[Finding]:
    return [f for found in audit(TokensManifest.load(root), root) for f in found.findings]


def test_good_shards(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 7)
    found = list(audit(TokensManifest.load(corpus), corpus))
    assert [a.problems for a in found] == [()] * 4
    assert [a.tokens for a in found] == [41, 26, 41, 0]
    assert [a.separators for a in found] == [2, 1, 1, 0]
    assert all(a.sha256 == a.shard.sha256 for a in found)


def poke(path: Path, token: int, value: int) -> None:
    with open(path, "r+b") as stream:
        stream.seek(2 * token)
        stream.write(struct.pack("<H", value))


def test_one_wrong_id(corpus: Path) -> None:
    poke(corpus / "a/train-00000-of-00002.bin", 3, VOCABULARY)
    assert problems(corpus) == [
        "the sha256 is not the manifest's",
        f"id {VOCABULARY} is outside the vocabulary of {VOCABULARY} (token 3)",
    ]
    (where,) = [f.offset for f in findings(corpus) if f.offset is not None]
    assert where == 6


def test_fms_fsdp_separators_are_counted(corpus: Path) -> None:
    poke(corpus / "a/train-00000-of-00002.bin", 3, 2)
    assert "3 separators, 2 documents" in problems(corpus)


def test_a_lost_separator(corpus: Path) -> None:
    poke(corpus / "a/train-00000-of-00002.bin", 9, 5)
    found = problems(corpus)
    assert "1 separators, 2 documents" in found
    assert "a document of the index does not end in the separator" in found


def test_a_sidecar_of_another_shard(corpus: Path) -> None:
    path = corpus / "a/train-00000-of-00002.docs.parquet"
    path.write_bytes((corpus / "a/train-00001-of-00002.docs.parquet").read_bytes())
    assert problems(corpus) == ["index and document list differ"]


def test_an_index_of_another_shard(corpus: Path) -> None:
    index = corpus / "a/train-00000-of-00002.idx"
    index.write_bytes((corpus / "b/train-00000-of-00002.idx").read_bytes())
    assert "the index has 1 documents, the manifest says 2" in problems(corpus)


def test_missing_and_short_files(corpus: Path) -> None:
    (corpus / "a/train-00000-of-00002.bin").unlink()
    short = corpus / "b/train-00000-of-00002.bin"
    short.write_bytes(short.read_bytes()[:-4])
    (corpus / "a/train-00001-of-00002.idx").write_bytes(b"")
    (corpus / "b/train-00001-of-00002.docs.parquet").write_bytes(b"PAR1")
    found = problems(corpus)
    assert len(found) == 4, "one line each, and the look goes on"
    assert "No such file" in found[0] and "too short" in found[1]
    assert "the index tells of 41 tokens, the payload has 39" in found[2]


def test_all_ids_equal(corpus: Path) -> None:
    path = corpus / "b/train-00000-of-00002.bin"
    np.full(41, 2, dtype="<u2").tofile(path)
    assert "41 separators, 1 documents" in problems(corpus)


# -- sidecars -------------------------------------------------------------------------------------


def names_of(origin: str | None, url: str | None) -> list[str]:
    return [name for name in (origin, url) if name]


@pytest.fixture
def whole(tmp_path: Path, encoder: Encoder) -> Path:
    """One shard with all sidecars, held out by number."""
    writer = ShardWriter(
        tmp_path / "a" / "train-00000-of-00001",
        vocab_size=encoder.vocab_size,
        separator_id=2,
        dialects=("datatrove", "olmo"),
    )
    for n, text in enumerate(["min tor ka", "東京 \U0001f999", "preing es\n\n\n", ""]):
        ids = encoder.encode(text)
        size = len(text.encode())
        writer.add(f"d{n}", ids, size, origin=f"f#{n}", names=[f"f#{n}"], held_out=1 << 63)
    shard = writer.close().entry("a/train-00000-of-00001.bin", source="a", split="train")
    build(
        tokenizer_sha256=encoder.model.sha256,
        canary=Canary(text="a", ids=(5,)),
        vocab_size=encoder.vocab_size,
        proportions={"a": 1.0},
        shards=[shard],
        held_out=HeldOut(by="cluster", share=0.5, seed=0),
    ).save(tmp_path)
    return tmp_path


def look(root: Path, encoder: Encoder, **changes: object) -> list[Finding]:
    manifest = TokensManifest.load(root)
    shard = manifest.shards[0].model_copy(update=changes)
    reader = ShardReader(root / shard.path)
    found = audit_or_report(
        reader, shard, manifest, kinds=IdKinds.of(encoder.model), names_of=names_of
    )
    return list(found.findings)


def test_what_a_sound_shard_tells(whole: Path, encoder: Encoder) -> None:
    manifest = TokensManifest.load(whole)
    reader, seen = ShardReader(whole / manifest.shards[0].path), bytearray()
    found = audit_or_report(
        reader,
        manifest.shards[0],
        manifest,
        kinds=IdKinds.of(encoder.model),
        names_of=names_of,
        observe=seen.extend,
    )
    assert found.findings == ()
    assert bytes(seen) == Path(reader.path).read_bytes()
    assert found.ids.tolist() == [hash_of(f"d{n}") for n in range(4)]
    assert found.text_bytes == manifest.shards[0].text_bytes
    # Two characters lack a piece; that the newlines are bytes, too, is LLaMA's way.
    assert found.byte_pieces == 3 + 4 and found.unknown == 0


def change(root: Path, ending: str, edit: Callable[[bytearray], None]) -> None:
    path = root / f"a/train-00000-of-00001{ending}"
    content = bytearray(path.read_bytes())
    edit(content)
    path.write_bytes(content)


def bump(place: int) -> Callable[[bytearray], None]:
    def edit(content: bytearray) -> None:
        content[place] ^= 1

    return edit


@pytest.mark.parametrize(
    ("ending", "place", "what"),
    [
        (".idx", -1, "its list of documents"),
        (".idx", 34 + 4 * 4 + 8, "offsets of documents"),
        (".names", -1, "document 1677721"),
        (".names", -8, "1 documents cannot be found by their ids"),
        (".names", 0, "names and document list differ"),
        (".ds.index", 0, "ends of documents"),
        (".ds.metadata", 15, "does not tell"),
    ],
)
def test_a_changed_sidecar(
    whole: Path, encoder: Encoder, ending: str, place: int, what: str
) -> None:
    change(whole, ending, bump(place))
    (found,) = look(whole, encoder)
    assert found.ending == ending and found.what.startswith(what)


def test_names_out_of_order_missing_or_cut(whole: Path, encoder: Encoder) -> None:
    def swap(content: bytearray) -> None:
        content[:8], content[8:16] = content[8:16], content[:8]

    change(whole, ".names", swap)
    (found,) = look(whole, encoder)
    assert (found.what, found.offset) == ("hashes are not in order", 8)
    change(whole, ".names", lambda content: content.pop() and None)
    assert "no whole number of names" in look(whole, encoder)[0].what
    (whole / "a/train-00000-of-00001.names").unlink()
    assert look(whole, encoder) == [Finding(".names", "no such file")]


def test_olmo_rows(whole: Path, encoder: Encoder) -> None:
    path = whole / "a/train-00000-of-00001.csv.gz"
    rows = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(rows.replace(b",d1,", b",d9,")))
    assert look(whole, encoder) == [Finding(".csv.gz", "rows and document list differ")]
    path.write_bytes(path.read_bytes()[:-9])
    assert look(whole, encoder)[0].ending == ".csv.gz"
    path.write_bytes(b"no gzip")
    assert "gzip" in look(whole, encoder)[0].what
    path.unlink()
    assert look(whole, encoder) == []


def test_a_document_in_the_wrong_split(whole: Path, encoder: Encoder) -> None:
    found = look(whole, encoder, split="valid")
    assert found[0].what == "4 documents belong to train, by their cluster (the first: d0)"


def test_bytes_of_text(whole: Path, encoder: Encoder) -> None:
    (found,) = look(whole, encoder, text_bytes=1)
    assert found.what.endswith("bytes of text, the manifest says 1")


def test_a_control_piece_in_a_document(whole: Path, encoder: Encoder) -> None:
    poke(whole / "a/train-00000-of-00001.bin", 1, encoder.bos_id)
    found = look(whole, encoder)
    assert [f.offset for f in found] == [None, 2]
    assert "a control or the unknown piece" in found[1].what


def test_any_failure_of_a_reader_is_a_finding(
    whole: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RecursionError("deep")

    monkeypatch.setattr(module.audit_sidecars, "look", fail)
    (found,) = look(whole, encoder)
    assert found.what == "cannot be looked through: RecursionError: deep"
