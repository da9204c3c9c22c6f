"""Instruction fine-tuning data: prompts and responses to token shards with a loss mask.

The paper fine-tunes LLaMA-I "with the same protocol as Chung et al. (2022)" and says no more. Here
a document is prompt, joint, response and the separator, and only the response and its separator are
labels. The mask lies beside each shard as `.mask`, one byte a token (1: a label), so that the same
reader, order and train loop serve.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenizer.encode import Encoder
from tokenizer.files import AtomicFile
from tokenizer.manifest import Separator, Shard, Split, build
from tokenizer.sample import SampleRule
from tokenizer.shards import ShardWriter
from trainer_min.data import MASK
from trainer_min.errors import RefusedError, RunError

_MOST_LINE = 16 << 20  # bytes: a longer line is no example that a model could be shown
_SHOWN = 5


@dataclass
class Counts:
    """What became of the lines: read = written + bad; `bad` has the place and reason of each."""

    read: int = 0
    documents: dict[str, int] = field(default_factory=lambda: {"train": 0, "valid": 0})
    tokens: int = 0
    labels: int = 0
    bad: list[str] = field(default_factory=list)


def examples(path: Path, prompt: str, response: str) -> Iterator[tuple[int, tuple[str, str] | str]]:
    """Line by line its number, and prompt and response or why it is bad. Blank lines are none."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(_MOST_LINE + 1):
            number += 1
            if len(line) > _MOST_LINE:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_MOST_LINE)
                yield number, f"over {_MOST_LINE:,} bytes"
                continue
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                yield number, f"no JSON: {error}"
                continue
            asked, answer = (
                row.get(name) if isinstance(row, dict) else None for name in (prompt, response)
            )
            if not isinstance(asked, str) or not isinstance(answer, str):
                yield number, f"{prompt!r} and {response!r} are not both texts"
            elif not answer.strip():
                yield number, f"{response!r} is empty"
            elif re.search("[\ud800-\udfff]", asked + answer):
                yield number, "holds half of a surrogate pair"
            else:
                yield number, (asked, answer)


def encoded(
    encoder: Encoder, prompt: str, response: str, joint: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """The ids of the whole text, and which of them are labels (uint8, one more for the separator).

    Encoded as one text, as a model will see it; a piece that holds the end of the prompt and the
    beginning of the response is a label.
    """
    ids = encoder.encode(prompt + joint + response)
    before = encoder.encode(prompt + joint)
    most = min(len(ids), len(before))
    differs = np.flatnonzero(ids[:most] != before[:most])
    first = int(differs[0]) if len(differs) else most
    labels = np.zeros(len(ids) + 1, dtype=np.uint8)
    labels[first:] = 1
    return ids, labels


def write(
    path: Path,
    tokenizer: Path,
    out: Path,
    *,
    prompt: str = "prompt",
    response: str = "response",
    joint: str = "\n",
    valid_share: float = 0.0,
    seed: int = 0,
) -> Counts:
    """Writes `out` as a corpus of one source, `instructions`; returns what became of the lines.

    Documents come in the order of a keyed hash of their line and text, so that neighbours in the
    file are not neighbours in a batch. Memory: the ids of all examples.

    Raises:
        RefusedError: no such file or tokenizer, or `out` is not empty.
        RunError: no line is a usable example.
    """
    if out.exists() and any(out.iterdir()):
        raise RefusedError(f"{out} is not empty: give another --out")
    try:
        encoder = Encoder(tokenizer, "sentencepiece")
        lines = examples(path, prompt, response)
        counts, parts = _encode(lines, encoder, joint, valid_share, seed)
    except (ValueError, OSError) as error:
        raise RefusedError(str(error)) from error
    if not counts.documents["train"]:
        raise RunError("\n  ".join([f"{path}: no usable example", *counts.bad[:_SHOWN]]))
    shards = [
        _write_shard(out, split, parts[split], encoder)
        for split in ("train", "valid")
        if parts[split]
    ]
    (out / "tokenizer.model").write_bytes(encoder.model.content)
    build(
        tokenizer_sha256=encoder.model.sha256,
        canary=encoder.canary,
        vocab_size=encoder.vocab_size,
        proportions={"instructions": 1.0},
        shards=shards,
        separator=Separator(id=encoder.eos_id),
    ).save(out)
    return counts


Example = tuple[bytes, str, npt.NDArray[Any], npt.NDArray[np.uint8], int]


def _encode(
    lines: Iterator[tuple[int, tuple[str, str] | str]],
    encoder: Encoder,
    joint: str,
    valid_share: float,
    seed: int,
) -> tuple[Counts, dict[Split, list[Example]]]:
    counts = Counts()
    parts: dict[Split, list[Example]] = {"train": [], "valid": []}
    held_out = SampleRule(valid_share, seed, "valid")
    for number, found in lines:
        counts.read += 1
        if isinstance(found, str):
            counts.bad.append(f"line {number}: {found}")
            continue
        try:
            ids, labels = encoded(encoder, *found, joint)
        except ValueError as error:
            counts.bad.append(f"line {number}: {error}")
            continue
        # By the prompt alone, so that one prompt's answers are not on both sides.
        split: Split = "valid" if held_out.keep(found[0]) else "train"
        size = len((found[0] + joint + found[1]).encode())
        key = hashlib.blake2b(f"{seed}\0{number}\0{found}".encode(), digest_size=8).digest()
        parts[split].append((key, f"line-{number}", ids, labels, size))
        counts.documents[split] += 1
        counts.tokens += len(labels)
        counts.labels += int(labels.sum())
    return counts, parts


def _write_shard(out: Path, split: Split, rows: list[Example], encoder: Encoder) -> Shard:
    name = f"instructions/{split}-00000-of-00001"
    (out / "instructions").mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(
        os.fspath(out / name),
        vocab_size=encoder.vocab_size,
        separator_id=encoder.eos_id,
        forbidden_ids=(encoder.bos_id, encoder.unk_id),
    )
    masks = []
    try:
        for _, line, ids, labels, size in sorted(rows, key=lambda row: row[:2]):
            writer.add(line, ids, size)
            masks.append(labels)
        info = writer.close()
    except BaseException:
        writer.discard()
        raise
    mask = np.concatenate(masks).tobytes()
    with AtomicFile(out / f"{name}{MASK}") as stream:
        stream.write(mask)
    entry = info.entry(f"{name}.bin", source="instructions", split=split)
    return entry.model_copy(update={"mask_sha256": hashlib.sha256(mask).hexdigest()})
