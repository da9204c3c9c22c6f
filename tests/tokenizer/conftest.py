"""Small tokenizers and shards, made at run time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.data_paths import SHARED_DATA
from tokenizer.encode import Encoder
from tokenizer.manifest import Canary, Shard, Split, TokensManifest, build
from tokenizer.shards import ShardWriter
from tokenizer.train import TokenizerSettings, train_tokenizer

LLAMA_MODEL = SHARED_DATA / "models" / "llama" / "tokenizer.model"
needs_llama_model = pytest.mark.skipif(
    not LLAMA_MODEL.is_file(),
    reason="LLaMA's tokenizer.model is not part of the project; set LLAMA_CORPUS_DATA to a folder "
    "with models/llama/tokenizer.model",
)
VOCABULARY = 1000


def some_lines(count: int = 4000, seed: int = 0) -> list[str]:
    """Lines of made-up words with numbers, space runs, punctuation and several scripts."""
    rng = random.Random(seed)
    syllables = ["ka", "lo", "min", "tor", "es", "ü", "ña", "pre", "ing", "да", "мо", "の", "東"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 5))) for _ in range(900)]
    lines = []
    for _ in range(count):
        parts = rng.choices(words, k=rng.randint(3, 12))
        parts.insert(rng.randrange(len(parts)), str(rng.randrange(10_000)))
        gap = rng.choice([" ", " ", " ", "  ", "    ", "\t"])
        lines.append(rng.choice(["", "  ", "    "]) + gap.join(parts) + rng.choice([".", ",", ""]))
    return lines


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.model"
    train_tokenizer(some_lines(), path, TokenizerSettings(vocab_size=VOCABULARY))
    return path


@pytest.fixture(scope="session")
def encoder(model_path: Path) -> Encoder:
    return Encoder(model_path)


def write_shard(
    root: str | Path, path: str, lengths: list[int], seed: int = 0, vocab_size: int = VOCABULARY
) -> Shard:
    """A shard of documents of random ids, `lengths` tokens each (separator not counted)."""
    source, name = path.split("/")
    rng = np.random.default_rng([seed, *path.encode()])
    writer = ShardWriter(
        f"{root}/{path.removesuffix('.bin')}", vocab_size=vocab_size, separator_id=2
    )
    for number, length in enumerate(lengths):
        writer.add(f"{path}/{number}", rng.integers(3, vocab_size, size=length), length * 4)
    split: Split = "valid" if name.startswith("valid") else "train"
    return writer.close().entry(path, source=source, split=split)


def write_corpus(
    root: str | Path,
    sources: Mapping[str, list[list[int]]],
    proportions: Mapping[str, float] | None = None,
) -> TokensManifest:
    """Shards per source, each a list of document lengths; the manifest is saved beside them."""
    shards = [
        write_shard(root, f"{source}/train-{number:05d}-of-{len(parts):05d}.bin", lengths)
        for source, parts in sources.items()
        for number, lengths in enumerate(parts)
    ]
    manifest = build(
        tokenizer_sha256="0" * 64,
        canary=Canary(text="a", ids=(5,)),
        vocab_size=VOCABULARY,
        proportions=proportions or {name: 1 / len(sources) for name in sources},
        shards=shards,
    )
    manifest.save(root)
    return manifest
