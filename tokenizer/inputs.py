"""Texts from text, JSON lines and Parquet files, as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tokenizer.files import file_system, is_local, open_read

_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


class Text(NamedTuple):
    """A text and its id: that in the file, or else `name of the file#row`."""

    id: str
    text: str


def expand(patterns: Sequence[str]) -> list[str]:
    """The files that paths, globs or fsspec URLs stand for, each pattern's in order of name.

    Raises:
        ValueError: a pattern that no file matches.
    """
    found: list[str] = []
    for pattern in patterns:
        fs, path = file_system(pattern)
        names = sorted(name for name in fs.glob(path) if fs.isfile(name))
        if not names:
            raise ValueError(f"{pattern}: no such file")
        found.extend(name if is_local(fs) else fs.unstrip_protocol(name) for name in names)
    return found


def read_texts(paths: Sequence[str], column: str = "text") -> Iterator[Text]:
    """Reads files of any of the three kinds, told apart by their endings.

    Text files give one text a line. `column` is the Parquet column or JSON key of the text; a
    column `id` is taken as id if it is there.

    Raises:
        ValueError: a file that cannot be read so, with its name and line.
    """
    for url in paths:
        name = url
        for ending in _COMPRESSIONS:
            name = name.removesuffix(ending)
        try:
            if name.endswith(".parquet"):
                yield from _parquet(url, column)
            elif name.endswith(_JSON_ENDINGS):
                yield from _json_lines(url, column)
            else:
                yield from _text_lines(url)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise ValueError(f"{url}: {str(error).splitlines()[0]}") from error


def _place(url: str, row: int) -> str:
    # Without the folder, so that a sample is the same on every machine.
    return f"{url.rpartition('/')[2]}#{row}"


def _parquet(url: str, column: str) -> Iterator[Text]:
    with open_read(url) as stream:
        file = pq.ParquetFile(stream)
        names = file.schema_arrow.names
        if column not in names:
            raise ValueError(f"{url}: no column {column!r}; there are {', '.join(names)}")
        columns = [column, "id"] if "id" in names else [column]
        row = 0
        for batch in file.iter_batches(batch_size=256, columns=columns):
            texts = batch.column(column).to_pylist()
            ids = batch.column("id").to_pylist() if "id" in names else [None] * len(texts)
            for name, text in zip(ids, texts, strict=True):
                if text is not None:
                    if not isinstance(text, str):
                        raise ValueError(f"{url}: column {column!r} holds no strings")
                    yield Text(str(name) if name is not None else _place(url, row), text)
                row += 1


def _lines(url: str) -> Iterator[str]:
    with fsspec.open(url, "rb", compression="infer") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"{url}: line {number} is not UTF-8") from error


def _text_lines(url: str) -> Iterator[Text]:
    for row, line in enumerate(_lines(url)):
        yield Text(_place(url, row), line.removesuffix("\n"))


def _json_lines(url: str, column: str) -> Iterator[Text]:
    for row, line in enumerate(_lines(url)):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{url}: line {row + 1} is no JSON: {error.msg}") from error
        text = record.get(column) if isinstance(record, dict) else None
        if not isinstance(text, str):
            raise ValueError(f"{url}: line {row + 1} has no string under {column!r}")
        name = record.get("id")
        yield Text(name if isinstance(name, str) else _place(url, row), text)
