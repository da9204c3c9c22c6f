"""Other programs that turn the same documents into the same ids, each in a process of its own.

    python -m benchmarks.tokenisers NAME JSON

All are held to one thread. What is measured is from the opening of the model to the last byte
written; imports are not. Prints the cost as JSON; `documents_of` reads what was written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measure import costed

SEPARATOR = "</s>"
BATCH = 1000
"""Documents given to Hugging Face tokenizers at a time."""


Run: TypeAlias = Callable[[], None]


def sentencepiece(parts: list[str], model: str, separator: int, out: str, **_: Any) -> Run:
    import sentencepiece

    def run() -> None:
        encoder = sentencepiece.SentencePieceProcessor(model_file=model)
        _write(parts, out, separator, lambda texts: map(encoder.encode, texts))

    return run


def gigatoken(parts: list[str], model: str, separator: int, out: str, **_: Any) -> Run:
    import gigatoken

    def run() -> None:
        encoder = gigatoken.Tokenizer.from_sentencepiece(model)
        _write(parts, out, separator, lambda texts: map(encoder.encode, texts))

    return run


def hugging_face(parts: list[str], tokenizer_json: str, separator: int, out: str, **_: Any) -> Run:
    from tokenizers import Tokenizer

    def run() -> None:
        tokenizer = Tokenizer.from_file(tokenizer_json)

        def encode(texts: list[str]) -> Iterator[list[int]]:
            batches = (texts[i : i + BATCH] for i in range(0, len(texts), BATCH))
            for batch in batches:
                for encoded in tokenizer.encode_batch(batch, add_special_tokens=False):
                    yield encoded.ids

        _write(parts, out, separator, encode)

    return run


def datatrove(parts: list[str], tokenizer_json: str, out: str, **_: Any) -> Run:
    """Its own reader (of the text alone) and its own step with all defaults: one task, documents
    shuffled at the end. Needs datatrove's packages (`tests.peers.environments`)."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from loguru import logger

    logger.remove()

    def run() -> None:
        folder = str(Path(parts[0]).parent)
        reader = ParquetReader(folder, glob_pattern="part-*.parquet", read_metadata=False)
        writer = DocumentTokenizer(out, tokenizer_json, eos_token=SEPARATOR, seed=0)
        # By default a task that ended once is not run again.
        LocalPipelineExecutor(
            [reader, writer], logging_dir=f"{out}.logs", skip_completed=False
        ).run()

    return run


def _write(parts: list[str], out: str, separator: int, encode: Callable[[list[str]], Any]) -> None:
    """Payloads as ours: `ndarray.tofile` a document, with the lengths beside them."""
    import numpy as np
    import pyarrow.parquet as pq

    Path(out).mkdir(parents=True)
    for number, path in enumerate(parts):
        texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
        lengths = []
        with Path(out, f"{number:05d}.bin").open("wb") as stream:
            for ids in encode(texts):
                np.array([*ids, separator], dtype=np.uint16).tofile(stream)
                lengths.append(len(ids) + 1)
        np.cumsum(lengths, dtype=np.uint64).tofile(Path(out, f"{number:05d}.ends"))


PROGRAMS: dict[str, Callable[..., Run]] = {
    "sentencepiece": sentencepiece,
    "gigatoken": gigatoken,
    "hugging_face": hugging_face,
    "datatrove": datatrove,
}
_ENDS = {".bin": ".ends", ".ds": ".ds.index"}


def documents_of(out: Path) -> list[bytes]:
    """The ids of each document that a program wrote, as bytes of uint16, separator included."""
    import numpy as np

    found: list[bytes] = []
    for path in sorted(p for p in out.iterdir() if p.suffix in _ENDS):
        payload = path.read_bytes()
        ends = 2 * np.fromfile(path.with_suffix(_ENDS[path.suffix]), dtype="<u8").astype(np.int64)
        starts = np.append(0, ends[:-1])
        found += [payload[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    return found


def main(arguments: list[str]) -> None:
    name, options = arguments
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    for module in ("numpy", "pyarrow.parquet"):
        import_module(module)
    _, cost = costed(PROGRAMS[name](**json.loads(options)))
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main(sys.argv[1:])
