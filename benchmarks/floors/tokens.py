"""Floors of `tokens`: an encoder, and `tofile`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.floors.tables import Floor, Work, read


def tokens_sentencepiece(parts: list[str], model: str, out: str) -> Floor:
    import sentencepiece

    def run() -> Work:
        return _encode(parts, sentencepiece.SentencePieceProcessor(model_file=model).encode, out)

    return run


def tokens_gigatoken(parts: list[str], model: str, out: str) -> Floor:
    import gigatoken

    def run() -> Work:
        return _encode(parts, gigatoken.Tokenizer.from_sentencepiece(model).encode, out)

    return run


def _encode(parts: list[str], encode: Callable[[str], Any], out: str) -> Work:
    import numpy as np

    documents = size = 0
    Path(out).mkdir(parents=True)
    for number, path in enumerate(parts):
        with Path(out, f"{number:05d}.bin").open("wb") as stream:
            for text in read(path, ["text"])["text"].to_pylist():
                np.append(np.array(encode(text), dtype=np.uint16), np.uint16(2)).tofile(stream)
                documents += 1
                size += len(text.encode())
    return Work(documents, size)
