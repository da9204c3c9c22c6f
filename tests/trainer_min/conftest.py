"""A tiny corpus of token shards, and training runs as real processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tokenizer.encode import Encoder
from tokenizer.manifest import Canary, Shard, Split, build
from tokenizer.shards import ShardWriter
from tokenizer.train import TokenizerSettings, train_tokenizer

VOCABULARY = 300


def write_corpus(folder: Path, *, seed: int = 0) -> Path:
    """Two sources with two training shards and a held-out one each; text is easy to predict."""
    rng = np.random.default_rng(seed)
    shards: list[Shard] = []
    plan: list[tuple[str, Split, int]] = [
        (source, split, number)
        for source in ("books", "c4")
        for split, count in (("train", 2), ("valid", 1))
        for number in range(count)
    ]
    for source, split, number in plan:
        name = f"{source}/{split}-{number:05d}-of-00002"
        (folder / source).mkdir(parents=True, exist_ok=True)
        writer = ShardWriter(folder / name, vocab_size=VOCABULARY, separator_id=2)
        for document in range(12 if split == "train" else 6):
            start = int(rng.integers(3, 40))
            ids = 3 + (start + np.arange(60) * int(rng.integers(1, 3))) % 50
            writer.add(f"{name}-{document}", ids, text_bytes=200)
        shards.append(writer.close().entry(f"{name}.bin", source=source, split=split))
    build(
        tokenizer_sha256=hashlib.sha256(b"no tokenizer").hexdigest(),
        canary=Canary(text="x", ids=(5,)),
        vocab_size=VOCABULARY,
        proportions={"books": 0.25, "c4": 0.75},
        shards=shards,
    ).save(folder)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("work") / "tokens")


@pytest.fixture
def own_corpus(tmp_path: Path) -> Path:
    """A corpus that the test may damage."""
    return write_corpus(tmp_path / "tokens")


def lines(count: int = 600) -> list[str]:
    """Sentences with numbers, capitals and the letters that answers are given in."""
    rng = np.random.default_rng(3)
    words = [
        "the",
        "answer",
        "of",
        "a",
        "small",
        "model",
        "is",
        "A",
        "B",
        "C",
        "or",
        "D",
        "and",
        "sun",
        "moon",
        "river",
        "stone",
        "counts",
    ]
    return [
        " ".join(rng.choice(words, 9)) + f" {rng.integers(100)}. Answer: {'ABCD'[i % 4]}"
        for i in range(count)
    ]


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of text with its tokenizer beside it."""
    folder = tmp_path_factory.mktemp("spoken") / "tokens"
    (folder / "books").mkdir(parents=True)
    path = folder / "tokenizer.model"
    train_tokenizer(lines(), path, TokenizerSettings(vocab_size=320))
    encoder = Encoder(path)
    shards = []
    for split, texts in (("train", lines(400)), ("valid", lines(60))):
        name = f"books/{split}-00000-of-00001"
        writer = ShardWriter(
            folder / name, vocab_size=encoder.vocab_size, separator_id=encoder.eos_id
        )
        for number, text in enumerate(texts):
            writer.add(f"{split}-{number}", encoder.encode(text), len(text.encode()))
        shards.append(writer.close().entry(f"{name}.bin", source="books", split=split))
    build(
        tokenizer_sha256=encoder.model.sha256,
        canary=encoder.canary,
        vocab_size=encoder.vocab_size,
        proportions={"books": 1.0},
        shards=shards,
    ).save(folder)
    return folder


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs the command in `processes` processes (0: without a launcher)."""

    def start(
        *arguments: object, processes: int = 0, limit_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        launcher = [sys.executable, "-m"]
        if processes:
            launcher += ["torch.distributed.run", "--standalone", "--nproc_per_node"]
            launcher += [str(processes), "-m"]
        return subprocess.run(
            [*launcher, "trainer_min", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=limit_s,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "NO_COLOR": "1"},
            cwd=Path(__file__).resolve().parents[2],
        )

    return start
