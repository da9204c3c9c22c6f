"""Shards made at run time, under the names that each project wants."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import sentencepiece

from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import Step
from tests.peers.exchange import Ids
from tests.stages.helpers import write_parts
from tests.tokenizer.conftest import VOCABULARY, model_path, some_lines
from tokenizer.shards import ShardWriter

__all__ = ["model_path"]

SEPARATOR = 2
SEQ_LEN = 16


@dataclass(frozen=True)
class Written:
    """Shards by path without ending, each with its documents as written, separators included."""

    name: str
    vocab_size: int
    shards: dict[str, list[Ids]]

    def folders(self) -> list[list[list[Ids]]]:
        """The shards of each folder, in order."""
        names = sorted({str(Path(prefix).parent) for prefix in self.shards})
        return [[d for p, d in self.shards.items() if str(Path(p).parent) == n] for n in names]


def link(prefix: str) -> None:
    """The payload under the further endings, as docs/token_shards.md tells users to."""
    for ending in (".ds", ".npy"):
        os.link(prefix + ".bin", prefix + ending)


def write(root: Path, vocab_size: int, sources: dict[str, list[list[int]]]) -> Written:
    """Shards of documents of random ids, by source and shard the lengths without separator."""
    rng = np.random.default_rng(vocab_size)
    shards: dict[str, list[Ids]] = {}
    for source, parts in sources.items():
        for number, lengths in enumerate(parts):
            prefix = f"{root}/{source}/train-{number:05d}-of-{len(parts):05d}"
            documents = [rng.integers(3, vocab_size, size=n) for n in lengths]
            # Both ends of what may stand in a document, wherever there is room.
            for ids in documents:
                ids[:1], ids[1:2] = vocab_size - 1, 3
            writer = ShardWriter(
                prefix,
                vocab_size=vocab_size,
                separator_id=SEPARATOR,
                forbidden_ids=(0, 1),
                dialects=("datatrove", "olmo"),
            )
            for place, ids in enumerate(documents):
                # A comma, quotes and a line end: what a careless reader of a table falls over.
                writer.add(f'{source}, "{number}"\n{place}', ids, 1)
            writer.close()
            link(prefix)
            shards[prefix] = [np.append(ids, SEPARATOR) for ids in documents]
    return Written(root.name, vocab_size, shards)


def run_tokens(documents: Path, model: Path, output: Path, **settings: object) -> Manifest:
    """The stage `tokens`, alone in this process."""
    inputs = {"input": [str(documents)], "tokenizer": [str(model)]}
    return run_step(Step("tokens", "tokens", str(output), inputs, settings)).manifest


def by_random_ids(root: Path, vocab_size: int) -> Written:
    """Two sources of several shards each: empty documents at both ends and in a row, documents of
    one token, documents longer than several sequences, and many of ordinary length."""
    lengths = np.random.default_rng(7).integers(0, 3 * SEQ_LEN, size=(4, 150)).tolist()
    return write(
        root,
        vocab_size,
        {
            "books": [
                [0, 1, 0, 0, 5, 10 * SEQ_LEN + 3, 1, 1, 0],
                [40 * SEQ_LEN],
                [SEQ_LEN - 1, SEQ_LEN, SEQ_LEN - 2, 2 * SEQ_LEN - 1],
            ],
            "wikipedia": lengths,
        },
    )


def by_stage(root: Path, model: Path) -> Written:
    """Shards as the stage `tokens` writes them; the ids expected are SentencePiece's own."""
    texts = {f'{i}, "{i}"\n': line for i, line in enumerate(some_lines(400, seed=1))}
    rows = [{"id": name, "text": text} for name, text in texts.items()]
    documents = write_parts(root / "documents", [rows[:90], rows[90:]])
    run_tokens(
        Path(documents),
        model,
        root / "tokens",
        shard_tokens=1500,
        dialects=["datatrove", "olmo"],
    )
    encode = sentencepiece.SentencePieceProcessor(model_file=str(model)).encode
    shards: dict[str, list[Ids]] = {}
    for path in sorted((root / "tokens" / "toy").glob("*.bin")):
        prefix = str(path.with_suffix(""))
        link(prefix)
        names = pq.read_table(f"{prefix}.docs.parquet", columns=["id"])["id"].to_pylist()
        shards[prefix] = [np.array([*encode(texts.pop(name)), SEPARATOR]) for name in names]
    assert not texts and len(shards) > 3
    return Written(root.name, VOCABULARY, shards)


@pytest.fixture(scope="session")
def all_written(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> dict[str, Written]:
    """Shards of random ids with a small vocabulary and with all of uint16, and of the stage."""
    return {
        "small": by_random_ids(tmp_path_factory.mktemp("small", numbered=False), 1000),
        "full": by_random_ids(tmp_path_factory.mktemp("full", numbered=False), 65_536),
        "stage": by_stage(tmp_path_factory.mktemp("stage", numbered=False), model_path),
    }


@pytest.fixture(scope="session", params=["small", "full", "stage"])
def written(request: pytest.FixtureRequest, all_written: dict[str, Written]) -> Written:
    return all_written[request.param]
