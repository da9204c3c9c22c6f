from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from trainer_min.data import IGNORED, Corpus, differences, open_corpus, read
from trainer_min.errors import RefusedError


def found(
    corpus: Corpus,
    *,
    vocab_size: int = 300,
    padded: bool = False,
    seq_len: int = 32,
    weights: Mapping[str, float] | None = None,
    verify: bool = False,
) -> list[str]:
    return differences(
        corpus,
        vocab_size=vocab_size,
        padded=padded,
        seq_len=seq_len,
        weights=weights,
        verify=verify,
    )


def test_work_folder_and_tokens_folder_are_the_same_corpus(corpus: Path) -> None:
    assert open_corpus(corpus) == open_corpus(corpus.parent)
    assert found(open_corpus(corpus), verify=True) == []


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no token manifest"):
        open_corpus(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("dtype", "uint32"), ("vocab_size", 70_000)])
def test_a_manifest_of_another_format(own_corpus: Path, field: str, value: object) -> None:
    path = own_corpus / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(RefusedError, match=field):
        open_corpus(own_corpus)


def test_another_vocabulary(corpus: Path) -> None:
    opened = open_corpus(corpus)
    assert found(opened, vocab_size=32_000) == ["vocabulary: corpus 300, model 32000"]
    assert found(opened, vocab_size=299, padded=True) == ["vocabulary: corpus 300, model 299"]
    assert found(opened, vocab_size=320, padded=True) == []


def test_sources_that_are_not_there(corpus: Path) -> None:
    opened = open_corpus(corpus)
    assert found(opened, weights={"arxiv": 1.0}) == [
        "source arxiv: asked for, corpus has books, c4"
    ]
    assert len(found(opened, seq_len=10_000)) == 2
    assert found(opened, weights={"c4": 0.0}) == ["no source has a share above 0"]


def test_damaged_shards(own_corpus: Path) -> None:
    first, second, third = sorted(own_corpus.glob("*/train-*.bin"))[:3]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-2])
    changed = bytearray(third.read_bytes())
    changed[0] ^= 1
    third.write_bytes(changed)
    corpus = open_corpus(own_corpus)
    problems = found(corpus)
    assert len(problems) == 2
    assert "no such file" in problems[0]
    assert "bytes, file" in problems[1]
    assert "sha256" in found(corpus, verify=True)[2]


def test_labels_are_the_tokens_that_follow(corpus: Path) -> None:
    order = open_corpus(corpus).order(seq_len=32, seed=0, split="train", weights=None)
    batch = read(order, range(5, 7), rows=3)
    tokens = torch.from_numpy(order.tokens(6))
    assert torch.equal(batch.inputs[1], tokens[:-1])
    assert torch.equal(batch.labels[1], tokens[1:])
    assert batch.inputs.shape == batch.labels.shape == (3, 32)
    assert (batch.labels[2] == IGNORED).all()
    assert not (batch.labels[:2] == IGNORED).any()


def test_the_digest_does_not_depend_on_who_reads(corpus: Path) -> None:
    order = open_corpus(corpus).order(seq_len=32, seed=0, split="train", weights=None)
    whole = read(order, range(7), rows=7).digest
    parts = [read(order, part, rows=4).digest for part in (range(3), range(3, 7), range(7, 7))]
    assert sum(parts) % (1 << 64) == whole
    assert read(order, range(1, 8), rows=7).digest != whole


def test_a_process_without_sequences_still_has_rows(corpus: Path) -> None:
    order = open_corpus(corpus).order(seq_len=32, seed=0, split="train", weights=None)
    batch = read(order, range(0), rows=2)
    assert batch.inputs.shape == (2, 32)
    assert (batch.labels == IGNORED).all()
    assert batch.digest == 0


def test_an_id_outside_the_vocabulary_is_told_not_trained_on(own_corpus: Path) -> None:
    for path in own_corpus.glob("*/train-*.bin"):
        path.write_bytes(b"\xff" * path.stat().st_size)
    order = open_corpus(own_corpus).order(seq_len=32, seed=0, split="train", weights=None)
    batch = read(order, range(2), rows=2)
    assert "outside the vocabulary" in str(batch.problem)
    assert (batch.labels == IGNORED).all()
