"""CCNet's path as the plain loop over documents, as its program goes it, over the same libraries.

    python -m benchmarks.ccnet_loop '{"wet": [...], "models": FOLDER, "language": "en", "out": ...}'

One pass hashes the lines of all documents into a table; another one reads the files again, removes
the lines that the table knows twice, identifies the language, and scores the documents of the one
language that has a model. Like the program, it normalises and hashes in both passes. Written after
the paper and what is published of the program's rules, not from its code. It prints its cost, as
JSON, in all and by kind of work, and writes a Parquet file per input file.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fasttext
import kenlm
import numpy as np
import pyarrow as pa
import sentencepiece
from fastwarc.warc import ArchiveIterator, WarcRecordType

from benchmarks.floors.normal_forms import line_key, model_line
from benchmarks.floors.tables import write
from benchmarks.measure import as_json, costed

MIN_CHARS = 300
THRESHOLD = 0.5
PERCENTILES = (30.0, 60.0)


@dataclass
class LoopWork:
    """Documents of at least `MIN_CHARS`, bytes of their text, and CPU seconds by kind of work."""

    documents: int = 0
    text_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def at(self, kind: str) -> Iterator[None]:
        start = time.process_time()
        yield
        used = time.process_time() - start
        self.seconds[kind] = self.seconds.get(kind, 0.0) + used


def parsed(path: str) -> Iterator[tuple[str, str]]:
    """(record id, text) of the documents of a WET file that are long enough."""
    with open(path, "rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.conversion):
            text = record.reader.read().decode("utf-8", "replace").strip("\n").rstrip()
            if len(text) >= MIN_CHARS:
                yield str(record.record_id), text


def line_digests(text: str, key: Callable[[str], str]) -> list[bytes]:
    return [hashlib.sha1(key(line).encode()).digest()[:8] for line in text.split("\n")]


def run(wet: list[str], models: str, language: str, model: str, out: str) -> LoopWork:
    lid = fasttext.load_model(model)
    pieces = sentencepiece.SentencePieceProcessor(
        model_file=str(Path(models, f"{language}.sp.model"))
    )
    ngrams = kenlm.Model(str(Path(models, f"{language}.arpa.bin")))
    key, normalise = line_key(), model_line()
    empty = hashlib.sha1(b"").digest()[:8]
    work = LoopWork()

    twice: dict[bytes, bool] = {}
    for path in wet:
        with work.at("parse"):
            documents = list(parsed(path))
        for _, text in documents:
            work.documents += 1
            work.text_bytes += len(text.encode())
            with work.at("hash"):
                digests = line_digests(text, key)
            with work.at("dedup"):
                for digest in set(digests):
                    twice[digest] = digest in twice
    twice[empty] = True

    files: list[list[dict[str, Any]]] = []
    for path in wet:
        rows: list[dict[str, Any]] = []
        with work.at("parse again"):
            documents = list(parsed(path))
        for name, text in documents:
            with work.at("hash again"):
                digests = line_digests(text, key)
            with work.at("dedup"):
                kept, mine = [], set()
                for line, digest in zip(text.split("\n"), digests, strict=True):
                    if not twice[digest] and digest not in mine:
                        mine.add(digest)
                        kept.append(line)
                text = "\n".join(kept)
            if not text:
                continue
            with work.at("language"):
                labels, scores = lid.predict(" ".join(text.split()))
            score = min(float(scores[0]), 1.0)
            if round(score, 2) < THRESHOLD:
                continue
            row: dict[str, Any] = {"id": name, "text": text, "score": score, "perplexity": None}
            row["language"] = labels[0].removeprefix("__label__")
            if row["language"] == language:
                with work.at("normalise"):
                    line = normalise(text)
                with work.at("SentencePiece"):
                    encoded = pieces.encode(line, out_type=str)
                with work.at("KenLM"):
                    log10 = ngrams.score(" ".join(encoded))
                row["perplexity"] = round(10.0 ** (-log10 / (len(encoded) + 1)), 1)
            rows.append(row)
        files.append(rows)

    known = [r["perplexity"] for rows in files for r in rows if r["perplexity"] is not None]
    low, high = np.percentile(known, PERCENTILES) if known else (0.0, 0.0)
    with work.at("write"):
        for number, rows in enumerate(files):
            for row in rows:
                row["bucket"] = bucket(row["perplexity"], low, high)
            write(pa.Table.from_pylist(rows, SCHEMA), out, number)
    return work


SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("language", pa.string()),
        ("score", pa.float32()),
        ("perplexity", pa.float32()),
        ("bucket", pa.string()),
    ]
)


def bucket(perplexity: float | None, low: float, high: float) -> str | None:
    if perplexity is None:
        return None
    if perplexity < low:
        return "head"
    return "middle" if perplexity < high else "tail"


def main(arguments: list[str]) -> None:
    options = json.loads(arguments[0])
    print(as_json(*costed(lambda: run(**options))))


if __name__ == "__main__":
    main(sys.argv[1:])
