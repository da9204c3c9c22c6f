"""Floors of the steps through which every document of a crawl goes."""

from __future__ import annotations

import hashlib
from itertools import compress
from pathlib import Path
from typing import Any

from benchmarks.floors.normal_forms import line_key, model_line
from benchmarks.floors.tables import Floor, Work, read, with_column, work_on, write, write_rows


def commoncrawl(wet: list[str], out: str) -> Floor:
    import pyarrow as pa
    from warcio.archiveiterator import ArchiveIterator

    key = line_key()

    def run() -> Work:
        documents = size = 0
        for number, path in enumerate(wet):
            rows: list[dict[str, Any]] = []
            with open(path, "rb") as stream:
                for record in ArchiveIterator(stream):
                    if record.rec_type != "conversion":
                        continue
                    payload = record.content_stream().read()
                    text = payload.decode("utf-8", "replace")
                    digests = [
                        hashlib.sha1(key(line).encode()).digest()[:8] for line in text.split("\n")
                    ]
                    rows.append(
                        {
                            "id": record.rec_headers.get_header("WARC-Record-ID"),
                            "url": record.rec_headers.get_header("WARC-Target-URI"),
                            "created": record.rec_headers.get_header("WARC-Date"),
                            "text": text,
                            "line_hashes": b"".join(digests),
                        }
                    )
                    documents += 1
                    size += len(payload)
            write(pa.Table.from_pylist(rows), out, number)
        return Work(documents, size)

    return run


def url_dedup(parts: list[str], out: str) -> Floor:
    import numpy as np

    def run() -> Work:
        tables = [read(path) for path in parts]
        urls = [url for table in tables for url in table["url"].to_pylist()]
        _, first = np.unique(np.array(urls, dtype=object).astype(str), return_index=True)
        return write_rows(tables, first, out)

    return run


def document_dedup(parts: list[str], out: str) -> Floor:
    import numpy as np
    import xxhash

    def run() -> Work:
        tables = [read(path) for path in parts]
        keys = [
            xxhash.xxh3_64_intdigest(text.encode())
            for table in tables
            for text in table["text"].to_pylist()
        ]
        _, first = np.unique(np.array(keys, dtype=np.uint64), return_index=True)
        return write_rows(tables, first, out)

    return run


def line_dedup(parts: list[str], out: str) -> Floor:
    import numpy as np
    import pyarrow as pa

    def run() -> Work:
        tables = [read(path) for path in parts]
        joined = b"".join(h for t in tables for h in t["line_hashes"].to_pylist())
        hashes = np.frombuffer(joined, dtype="<u8")
        _, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        keep, line = (counts == 1)[which].tolist(), 0
        for number, table in enumerate(tables):
            texts = []
            for text in table["text"].to_pylist():
                lines = text.split("\n")
                texts.append("\n".join(compress(lines, keep[line : line + len(lines)])))
                line += len(lines)
            kept = with_column(table, "text", pa.array(texts, pa.large_string()))
            write(kept.drop_columns(["line_hashes"]), out, number)
        return work_on(tables)

    return run


def language(parts: list[str], model: str, out: str) -> Floor:
    import fasttext
    import pyarrow as pa

    def run() -> Work:
        lid = fasttext.load_model(model)
        tables = []
        for number, path in enumerate(parts):
            table = read(path)
            best = [lid.predict(text.replace("\n", " "), k=5) for text in table["text"].to_pylist()]
            labels = pa.array([labels[0].removeprefix("__label__") for labels, _ in best])
            scores = pa.array([float(scores[0]) for _, scores in best], pa.float32())
            table = with_column(table, "language", labels)
            write(with_column(table, "language_score", scores), out, number)
            tables.append(table.select(["text"]))
        return work_on(tables)

    return run


def perplexity(parts: list[str], models: str, language: str, out: str) -> Floor:
    import kenlm
    import pyarrow as pa
    import sentencepiece

    normalise = model_line()

    def run() -> Work:
        pieces = sentencepiece.SentencePieceProcessor(
            model_file=str(Path(models, f"{language}.sp.model"))
        )
        ngrams = kenlm.Model(str(Path(models, f"{language}.arpa.bin")))
        documents = size = 0
        for number, path in enumerate(parts):
            table = read(path)
            scores: list[float | None] = []
            for text, code in zip(
                table["text"].to_pylist(), table["language"].to_pylist(), strict=True
            ):
                documents += 1
                if code != language:
                    scores.append(None)
                    continue
                size += len(text.encode())
                encoded = pieces.encode(normalise(text), out_type=str)
                score = ngrams.score(" ".join(encoded))
                scores.append(10.0 ** (-score / (len(encoded) + 1)))
            table = with_column(table, "perplexity", pa.array(scores, pa.float32()))
            write(table, out, number)
        return Work(documents, size)

    return run


def select(parts: list[str], out: str) -> Floor:
    import pyarrow as pa
    import pyarrow.compute as pc

    def run() -> Work:
        tables = [read(path) for path in parts]
        for number, table in enumerate(tables):
            wanted = pc.is_in(table["bucket"], value_set=pa.array(["head", "middle"]))
            write(table.filter(wanted), out, number)
        return work_on(tables)

    return run
