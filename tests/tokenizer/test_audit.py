from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tokenizer import audit as module
from tokenizer.audit import audit
from tokenizer.manifest import TokensManifest

from .conftest import VOCABULARY, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path, {"a": [[9, 30], [25]], "b": [[40], []]})
    return tmp_path


def problems(root: Path) -> list[str]:
    return [p for found in audit(TokensManifest.load(root), root) for p in found.problems]


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
        f"id {VOCABULARY} is outside the vocabulary of {VOCABULARY}",
    ]


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
