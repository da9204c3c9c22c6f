"""Every document of token shards, decoded, beside the text that it was made of.

    python -m tests.peers.round_trip TOKENS DOCUMENTS...

Needs numpy, pyarrow and SentencePiece, and none of this project's own code: the shards are read as
docs/token_shards.md describes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import sentencepiece

SPACE = "\u2581"


@dataclass(frozen=True)
class Compared:
    """What came back: `tokens` with separators, `text_bytes` of the original in UTF-8."""

    documents: int
    tokens: int
    text_bytes: int
    shards: int


class DifferenceError(AssertionError):
    """A document is missing, doubled or not the text that it was made of."""


def round_trip(tokens: Path, documents: Iterable[Path]) -> Compared:
    """Compares all shards of a `tokens` folder with the documents that went in.

    Args:
        tokens: the folder with `manifest.json` and `tokenizer.model`.
        documents: folders of Parquet parts, or Parquet files, with `id` and `text`.

    Raises:
        DifferenceError: names the first shard and document that differ, and where.
    """
    model = sentencepiece.SentencePieceProcessor(model_file=str(tokens / "tokenizer.model"))
    # Ids may occur more than once: an old dump and a new one hold the same page.
    texts: dict[str, list[str]] = {}
    for name, text in _texts(documents):
        if text:
            texts.setdefault(name, []).append(text)
    count = Compared(0, 0, 0, 0)
    for shard in json.loads((tokens / "manifest.json").read_text())["shards"]:
        payload = np.fromfile(tokens / shard["path"], dtype="<u2")
        rows = pq.read_table((tokens / shard["path"]).with_suffix(".docs.parquet")).to_pydict()
        end = size = 0
        for name, first, length in zip(
            rows["id"], rows["first_token"], rows["length"], strict=True
        ):
            where = f"{shard['path']}: document {name!r}"
            if first != end:
                raise DifferenceError(f"{where} begins at {first}, the one before ends at {end}")
            end = first + length
            ids = payload[first:end]
            if np.flatnonzero(ids == model.eos_id()).tolist() != [length - 1]:
                raise DifferenceError(f"{where} has not just one separator, at its end")
            if int(ids.max()) >= model.vocab_size():
                raise DifferenceError(f"{where} has id {ids.max()}, which the tokenizer has not")
            if not texts.get(name):
                raise DifferenceError(f"{where} went not in, or came out before")
            found = model.decode(ids[:-1].tolist())
            expected = [_normalised(model, text) for text in texts[name]]
            if found not in expected:
                raise DifferenceError(f"{where} {_difference(found, expected[0])}")
            size += len(texts[name].pop(expected.index(found)).encode())
        if end != len(payload):
            raise DifferenceError(f"{shard['path']}: {len(payload) - end} tokens in no document")
        count = Compared(
            count.documents + len(rows["id"]),
            count.tokens + end,
            count.text_bytes + size,
            count.shards + 1,
        )
    if left := [name for name, rest in texts.items() for _ in rest]:
        raise DifferenceError(f"{len(left)} documents are in no shard, as {left[0]!r}")
    return count


def _texts(documents: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for place in documents:
        parts = sorted(place.glob("part-*.parquet")) if place.is_dir() else [place]
        for part in parts:
            table = pq.read_table(part, columns=["id", "text"]).to_pydict()
            yield from zip(table["id"], table["text"], strict=True)


def _normalised(model: sentencepiece.SentencePieceProcessor, text: str) -> str:
    """What the tokenizer makes of a text before it cuts it: with LLaMA's settings nothing but that
    a written-out mark for a space becomes one. The space that it puts in front is taken off."""
    return model.normalize(text).replace(SPACE, " ")[1:]


def _difference(found: str, expected: str) -> str:
    shared = min(len(found), len(expected))
    at = next((i for i in range(shared) if found[i] != expected[i]), shared)
    return f"differs at character {at}: {found[at : at + 30]!r}, not {expected[at : at + 30]!r}"


if __name__ == "__main__":
    print(round_trip(Path(sys.argv[1]), map(Path, sys.argv[2:])))
