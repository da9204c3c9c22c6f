"""The floors: what the bare libraries need for the work of a step, reading and writing included.

Each floor is the plainest loop over the libraries, without Beam, work units, rejects, counts,
digests, or care for damaged input. It is prepared (imports) and then run, in a process of its own:

    python -m benchmarks.floors NAME '{"argument": value, ...}'

prints what it went through and what that cost, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from itertools import compress
from pathlib import Path
from typing import Any

from benchmarks.measure import as_json, costed


@dataclass(frozen=True)
class Work:
    """What a floor went through: documents read, and bytes of the text (UTF-8) worked on."""

    documents: int
    text_bytes: int


Floor = Callable[[], Work]


# -- CommonCrawl ----------------------------------------------------------------------------------


def commoncrawl(wet: list[str], out: str) -> Floor:
    import pyarrow as pa
    from warcio.archiveiterator import ArchiveIterator

    line_key = _line_key()

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
                        hashlib.sha1(line_key(line).encode()).digest()[:8]
                        for line in text.split("\n")
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
            _write(pa.Table.from_pylist(rows), out, number)
        return Work(documents, size)

    return run


def url_dedup(parts: list[str], out: str) -> Floor:
    import numpy as np

    def run() -> Work:
        tables = [_read(path) for path in parts]
        urls = [url for table in tables for url in table["url"].to_pylist()]
        _, first = np.unique(np.array(urls, dtype=object).astype(str), return_index=True)
        return _write_rows(tables, first, out)

    return run


def document_dedup(parts: list[str], out: str) -> Floor:
    import numpy as np
    import xxhash

    def run() -> Work:
        tables = [_read(path) for path in parts]
        keys = [
            xxhash.xxh3_64_intdigest(text.encode())
            for table in tables
            for text in table["text"].to_pylist()
        ]
        _, first = np.unique(np.array(keys, dtype=np.uint64), return_index=True)
        return _write_rows(tables, first, out)

    return run


def line_dedup(parts: list[str], out: str) -> Floor:
    import numpy as np
    import pyarrow as pa

    def run() -> Work:
        tables = [_read(path) for path in parts]
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
            kept = _with_column(table, "text", pa.array(texts, pa.large_string()))
            _write(kept.drop_columns(["line_hashes"]), out, number)
        return _work(tables)

    return run


def language(parts: list[str], model: str, out: str) -> Floor:
    import fasttext
    import pyarrow as pa

    def run() -> Work:
        lid = fasttext.load_model(model)
        tables = []
        for number, path in enumerate(parts):
            table = _read(path)
            best = [lid.predict(text.replace("\n", " "), k=5) for text in table["text"].to_pylist()]
            labels = pa.array([labels[0].removeprefix("__label__") for labels, _ in best])
            scores = pa.array([float(scores[0]) for _, scores in best], pa.float32())
            table = _with_column(table, "language", labels)
            _write(_with_column(table, "language_score", scores), out, number)
            tables.append(table.select(["text"]))
        return _work(tables)

    return run


def perplexity(parts: list[str], models: str, language: str, out: str) -> Floor:
    import kenlm
    import pyarrow as pa
    import sentencepiece

    normalise = _model_line()

    def run() -> Work:
        pieces = sentencepiece.SentencePieceProcessor(
            model_file=str(Path(models, f"{language}.sp.model"))
        )
        ngrams = kenlm.Model(str(Path(models, f"{language}.arpa.bin")))
        documents = size = 0
        for number, path in enumerate(parts):
            table = _read(path)
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
            table = _with_column(table, "perplexity", pa.array(scores, pa.float32()))
            _write(table, out, number)
        return Work(documents, size)

    return run


def select(parts: list[str], out: str) -> Floor:
    import pyarrow as pa
    import pyarrow.compute as pc

    def run() -> Work:
        tables = [_read(path) for path in parts]
        for number, table in enumerate(tables):
            wanted = pc.is_in(table["bucket"], value_set=pa.array(["head", "middle"]))
            _write(table.filter(wanted), out, number)
        return _work(tables)

    return run


# -- Models ---------------------------------------------------------------------------------------


def language_model(parts: list[str], language: str, head_chars: int, out: str) -> Floor:
    import sentencepiece

    from stages.language_model.kenlm_tools import find_tools

    tools = find_tools()
    normalise = _model_line()

    def run() -> Work:
        documents, lines, size = 0, [], 0
        for path in parts:
            table = _read(path, ["text", "language"])
            for text, code in zip(
                table["text"].to_pylist(), table["language"].to_pylist(), strict=True
            ):
                documents += 1
                if code == language:
                    head = text[:head_chars]
                    size += len(head.encode())
                    lines.append(normalise(head.replace("\n", " ")))
        folder = Path(out)
        folder.mkdir(parents=True)
        with (folder / "sp.model").open("wb") as model:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="unigram",
                vocab_size=65_536,
                hard_vocab_limit=False,
                character_coverage=0.9995,
                num_threads=4,
                minloglevel=2,
            )
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))
        with (folder / "pieces").open("w") as stream:
            for line in lines:
                stream.write(" ".join(pieces.encode(line, out_type=str)) + "\n")
        options = ["--memory", "2G", "--temp_prefix", f"{out}/", "--vocab_estimate", "65536"]
        options += ["--discount_fallback", "--skip_symbols"]
        options += ["--text", str(folder / "pieces"), "--arpa", str(folder / "arpa")]
        for command in (
            [str(tools.lmplz), "--order", "5", *options],
            [str(tools.build_binary), "probing", str(folder / "arpa"), str(folder / "arpa.bin")],
        ):
            subprocess.run(command, check=True, capture_output=True)
        return Work(documents, size)

    return run


def tokenizer(parts: list[str], out: str) -> Floor:
    import sentencepiece

    from tokenizer.train import LLAMA_FLAGS

    def run() -> Work:
        texts = [text for path in parts for text in _read(path, ["text"])["text"].to_pylist()]
        folder = Path(out)
        folder.mkdir(parents=True)
        with (folder / "tokenizer.model").open("wb") as model:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(line for text in texts for line in text.split("\n")),
                model_writer=model,
                vocab_size=32_000,
                hard_vocab_limit=False,
                character_coverage=0.99995,
                input_sentence_size=200_000_000,
                num_threads=16,
                minloglevel=2,
                **LLAMA_FLAGS,
            )
        return Work(len(texts), _size(texts))

    return run


# -- Tokens ---------------------------------------------------------------------------------------


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
            for text in _read(path, ["text"])["text"].to_pylist():
                np.append(np.array(encode(text), dtype=np.uint16), np.uint16(2)).tofile(stream)
                documents += 1
                size += len(text.encode())
    return Work(documents, size)


# -- Wikipedia ------------------------------------------------------------------------------------


def wikipedia(dumps: list[str], out: str) -> Floor:
    """`text_bytes` are those of the wikitext of articles."""
    import bz2
    from xml.etree import ElementTree

    import mwparserfromhell
    import pyarrow as pa

    def run() -> Work:
        pages = size = 0
        for number, path in enumerate(dumps):
            rows = []
            with bz2.open(path) as stream:
                for _, element in ElementTree.iterparse(stream):
                    if _local(element.tag) != "page":
                        continue
                    fields = {_local(e.tag): e.text or "" for e in element.iter()}
                    redirect = (
                        "redirect" in fields or fields.get("text", "")[:9].lower() == "#redirect"
                    )
                    pages += 1
                    if fields.get("ns", "0") == "0" and not redirect:
                        text = str(mwparserfromhell.parse(fields.get("text", "")).strip_code())
                        rows.append({"title": fields.get("title", ""), "text": text})
                        size += len(fields.get("text", "").encode())
                    element.clear()
            _write(pa.Table.from_pylist(rows), out, number)
        return Work(pages, size)

    return run


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


# -- what several floors share --------------------------------------------------------------------


def _line_key() -> Callable[[str], str]:
    """CCNet's line normalisation as its program has it: a regular expression a line."""
    from stages.ccnet_text import _CONTROLS, _REPLACEMENT

    digit = re.compile(r"\d")
    removed = re.compile(f"[{re.escape(''.join(sorted(_CONTROLS)) + ''.join(_REPLACEMENT))}]")
    return lambda line: removed.sub("", digit.sub("0", line.strip().lower()))


def _model_line() -> Callable[[str], str]:
    """CCNet's normalisation for language models, as its program has it."""
    from stages.ccnet_text import _CONTROLS, _REPLACEMENT

    digit = re.compile(r"\d")
    table = str.maketrans({**_REPLACEMENT, **dict.fromkeys(_CONTROLS, "")})

    def normalise(text: str) -> str:
        decomposed = unicodedata.normalize("NFD", text.strip().lower())
        if len(decomposed) != len(text) or not decomposed.isascii():
            category = unicodedata.category
            decomposed = "".join([c for c in decomposed if category(c) != "Mn"])
        return digit.sub("0", decomposed).translate(table)

    return normalise


def _read(path: str, columns: list[str] | None = None) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=columns, use_threads=False)


def _write(table: Any, out: str, number: int) -> None:
    import pyarrow.parquet as pq

    Path(out).mkdir(parents=True, exist_ok=True)
    path = Path(out, f"{number:05d}.parquet")
    pq.write_table(table, path, compression="zstd", compression_level=2)


def _write_rows(tables: list[Any], rows: Any, out: str) -> Work:
    """Writes the chosen rows, numbered through all tables."""
    import numpy as np

    keep = np.zeros(sum(table.num_rows for table in tables), dtype=bool)
    keep[rows] = True
    start = 0
    for number, table in enumerate(tables):
        _write(table.filter(keep[start : start + table.num_rows]), out, number)
        start += table.num_rows
    return _work(tables)


def _with_column(table: Any, name: str, values: Any) -> Any:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _work(tables: Iterable[Any]) -> Work:
    import pyarrow.compute as pc

    documents = size = 0
    for table in tables:
        documents += table.num_rows
        size += pc.sum(pc.binary_length(table["text"])).as_py() or 0
    return Work(documents, size)


def _size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


FLOORS: dict[str, tuple[Callable[..., Floor], str]] = {
    "commoncrawl": (commoncrawl, "warcio, regular expressions and hashlib a line, pyarrow"),
    "url_dedup": (url_dedup, "pyarrow, numpy.unique over URLs"),
    "document_dedup": (document_dedup, "pyarrow, xxhash, numpy.unique"),
    "line_dedup": (line_dedup, "pyarrow, numpy.unique over all hashes, split, join"),
    "language": (language, "fastText on full texts, pyarrow"),
    "perplexity": (perplexity, "normalised with unicodedata and re, SentencePiece, KenLM, pyarrow"),
    "select": (select, "pyarrow filter"),
    "language_model": (language_model, "SentencePiece's trainer, lmplz, build_binary"),
    "tokenizer": (tokenizer, "SentencePiece's trainer"),
    "tokens (SentencePiece)": (tokens_sentencepiece, "SentencePiece, ndarray.tofile"),
    "tokens (gigatoken)": (tokens_gigatoken, "gigatoken, ndarray.tofile"),
    "wikipedia": (wikipedia, "bz2, ElementTree, mwparserfromhell.strip_code, pyarrow"),
}
"""By name: the floor, and what it is made of."""


def main(arguments: list[str]) -> None:
    name, options = arguments
    for module in ("numpy", "pyarrow.compute", "pyarrow.parquet"):
        import_module(module)  # for the functions that the floors share
    run = FLOORS[name][0](**json.loads(options))
    work, cost = costed(run)
    print(as_json(work, cost))


if __name__ == "__main__":
    main(sys.argv[1:])
