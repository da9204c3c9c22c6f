"""Encoders side by side: MB/s of UTF-8 text on one core, ids compared with SentencePiece's.

    python -m benchmarks.encoders --model tokenizer.model 'wet/*.wet.gz'

Reads WET files, text, JSON lines or Parquet; takes documents until `--megabytes` of text.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import fsspec
import gigatoken
import numpy as np
import sentencepiece
from fastwarc.warc import ArchiveIterator, WarcRecordType

from benchmarks import command
from tokenizer.encode import Encoder
from tokenizer.inputs import expand, read_texts
from tokenizer.model import ModelFile


def documents(paths: list[str]) -> Iterator[str]:
    """Texts of WET records, or of any file that `tokenizer.inputs` reads."""
    for path in paths:
        if ".wet" in path:
            with fsspec.open(path, "rb") as stream:
                for record in ArchiveIterator(stream, record_types=WarcRecordType.conversion):
                    yield record.reader.read().decode("utf-8", "replace")
        else:
            yield from (text.text for text in read_texts([path]))


def sample(paths: list[str], megabytes: float) -> list[str]:
    """The first documents of up to `megabytes` (10**6 bytes) in all."""
    texts, size = [], 0
    for text in documents(paths):
        texts.append(text)
        size += len(text.encode())
        if size >= megabytes * 1e6:
            break
    return texts


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.encoders", __doc__)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--model", required=True)
    parser.add_argument("--megabytes", type=float, default=8)
    parser.repeats(3, "of each encoder; the best counts", "--rounds")
    options = parser.parse_args()
    return command.run(lambda: show(options))


def show(options: argparse.Namespace) -> None:
    texts = sample(expand(options.inputs), options.megabytes)
    size = sum(len(text.encode()) for text in texts) / 1e6
    model = ModelFile.load(options.model)
    reference = sentencepiece.SentencePieceProcessor(model_proto=model.content)
    bare = gigatoken.Tokenizer.from_sentencepiece(model.content)
    encoder = Encoder.from_model(model)
    encoders: dict[str, Callable[[str], object]] = {
        "sentencepiece": reference.encode,
        "gigatoken": bare.encode,
        f"tokenizer.encode ({encoder.backend})": encoder.encode,
    }
    expected = [np.array(reference.encode(text)) for text in texts]
    tokens = sum(ids.size for ids in expected)
    print(
        f"{len(texts)} documents, {size:.1f} MB, {tokens} tokens, {size * 1e6 / tokens:.2f} B/token"
    )
    speeds: dict[str, float] = {}
    for name, encode in encoders.items():
        best = min(_cpu_seconds(encode, texts) for _ in range(options.rounds))
        wrong = sum(
            not np.array_equal(np.array(encode(text)), ids)
            for text, ids in zip(texts, expected, strict=True)
        )
        speeds[name] = size / best
        times = speeds[name] / speeds["sentencepiece"]
        print(f"{name:32} {speeds[name]:6.2f} MB/s  {times:4.2f}x  {wrong} documents differ")


def _cpu_seconds(encode: Callable[[str], object], texts: list[str]) -> float:
    start = time.process_time()
    for text in texts:
        encode(text)
    return time.process_time() - start


if __name__ == "__main__":
    raise SystemExit(main())
