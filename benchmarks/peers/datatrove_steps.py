"""Steps of datatrove, with its own readers and writers: one task, one worker.

    python -m benchmarks.peers.datatrove_steps STEP JSON

Runs with datatrove's packages (`benchmarks.peers.packages`). Options: `wet` (files), `documents`
(a folder of Parquet), `model` (of fastText), and `out`, which gets the folder `documents`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.program import Make, Step, main
from benchmarks.peers.settings import BANDS, C4, NGRAM, ROWS, THRESHOLD

_PARTS = "part-*.parquet"
# Compression of our own Parquet files.
_COMPRESSION = "zstd"


class Counter:
    """A block of a pipeline that counts what goes through it."""

    def __init__(self) -> None:
        self.seen = 0
        self.block: Callable[..., Iterator[Any]] = self._block()

    def _block(self) -> Callable[..., Iterator[Any]]:
        # A function, since the executor copies objects before it runs them.
        def count(data: Iterator[Any], rank: int = 0, world_size: int = 1) -> Iterator[Any]:
            for document in data:
                self.seen += 1
                yield document

        return count


def extract(wet: Sequence[str], out: str, **_: Any) -> Step:
    from datatrove.pipeline.readers import WarcReader, warc

    prepare("warcio.archiveiterator", "cchardet", "magic")

    def run() -> int:
        records = 0
        process = warc.process_record

        def counted(record: Any) -> Any:
            nonlocal records
            records += record.rec_type == "conversion"
            return process(record)

        folder = os.path.commonpath([Path(path).parent for path in wet])
        names = Path(out, "names")
        names.write_text("".join(f"{os.path.relpath(path, folder)}\n" for path in wet))
        warc.process_record = counted
        execute(out, [WarcReader(folder, paths_file=str(names)), writer(out)])
        return records

    return run


def exact(out: str, documents: str, content: Callable[[Any], str]) -> Step:
    """Of documents with the same content the first stays."""
    from datatrove.pipeline.dedup.exact_dedup import (
        ExactDedupConfig,
        ExactDedupFilter,
        ExactDedupSignature,
        ExactFindDedups,
    )

    prepare()

    def run() -> int:
        config, counter = ExactDedupConfig(content_getter=content), Counter()
        sigs, dups = f"{out}/signatures", f"{out}/duplicates"
        execute(out, [*read(documents, counter), ExactDedupSignature(sigs, config)])
        execute(out, [ExactFindDedups(sigs, dups, config)])
        execute(out, [*read(documents), ExactDedupFilter(dups, config), writer(out, documents)])
        return counter.seen

    return run


def url_dedup(documents: str, out: str, **_: Any) -> Step:
    return exact(out, documents, lambda document: document.metadata["url"])


def document_dedup(documents: str, out: str, **_: Any) -> Step:
    return exact(out, documents, lambda document: document.text)


def line_dedup(documents: str, out: str, **_: Any) -> Step:
    """Its dedup of spans of sentences with spans of one line, and no word of documents' sizes."""
    from datatrove.pipeline.dedup.sentence_dedup import (
        SentDedupConfig,
        SentenceDedupFilter,
        SentenceDedupSignature,
        SentenceFindDedups,
    )

    prepare("spacy")

    def run() -> int:
        config = SentDedupConfig(
            n_sentences=1, split_sentences=False, min_doc_words=0, min_num_sentences=0
        )
        counter = Counter()
        sigs, dups = f"{out}/signatures", f"{out}/duplicates"
        execute(out, [*read(documents, counter), SentenceDedupSignature(sigs, config=config)])
        execute(out, [SentenceFindDedups(sigs, dups, config=config)])
        execute(
            out,
            [*read(documents), SentenceDedupFilter(dups, config=config), writer(out, documents)],
        )
        return counter.seen

    return run


def language(documents: str, out: str, model: str, **_: Any) -> Step:
    from datatrove.pipeline.filters import LanguageFilter
    from datatrove.utils import lid

    prepare("fasttext.FastText")

    def run() -> int:
        # It would fetch lid.176.bin; here both sides have the same file.
        lid.cached_asset_path_or_download = lambda *_, **__: model
        counter = Counter()
        execute(
            out,
            [
                *read(documents, counter),
                LanguageFilter(language_threshold=THRESHOLD),
                writer(out, documents),
            ],
        )
        return counter.seen

    return run


def minhash(documents: str, out: str, **_: Any) -> Step:
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )

    prepare("spacy")

    def run() -> int:
        config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS)
        counter = Counter()
        sigs, pairs, remove = (f"{out}/{name}" for name in ("signatures", "pairs", "remove"))
        execute(out, [*read(documents, counter), MinhashDedupSignature(sigs, config=config)])
        execute(out, [MinhashDedupBuckets(sigs, pairs, config=config)], tasks=BANDS)
        execute(out, [MinhashDedupCluster(pairs, remove, config=config)])
        execute(out, [*read(documents), MinhashDedupFilter(remove), writer(out, documents)])
        return counter.seen

    return run


def c4(documents: str, out: str, **_: Any) -> Step:
    from datatrove.pipeline.filters import C4QualityFilter

    prepare("spacy")

    def run() -> int:
        counter = Counter()
        rules = C4QualityFilter(
            min_num_sentences=C4["min_sentences"],
            min_words_per_line=C4["min_words"],
            max_word_length=C4["max_word_chars"],
        )
        execute(out, [*read(documents, counter), rules, writer(out, documents)])
        return counter.seen

    return run


def prepare(*modules: str) -> None:
    """Imports what the steps import when they run, and turns off what they say."""
    from loguru import logger

    for module in ("multiprocess.managers", "pyarrow.parquet", *modules):
        import_module(module)
    logger.remove()


def read(documents: str, counter: Counter | None = None) -> list[Any]:
    """A reader of all columns, and what counts its documents."""
    from datatrove.pipeline.readers import ParquetReader

    reader = ParquetReader(documents, glob_pattern=_PARTS)
    return [reader, counter.block] if counter else [reader]


def writer(out: str, documents: str | None = None) -> Any:
    """Parquet; with the columns of the documents that were read, where there are some.

    Without them it would take the columns' types from the first document.
    """
    import pyarrow.parquet as pq
    from datatrove.pipeline.writers import ParquetWriter

    folder = f"{out}/documents"
    if documents is None:
        return ParquetWriter(folder, compression=_COMPRESSION)
    schema = pq.read_schema(min(Path(documents).glob(_PARTS)))
    return ParquetWriter(folder, compression=_COMPRESSION, expand_metadata=True, schema=schema)


def execute(out: str, pipeline: list[Any], tasks: int = 1) -> None:
    from datatrove.executor import LocalPipelineExecutor

    # A folder of its own for each: tasks that a folder tells to be done are not run.
    logs = Path(out, "logs", str(len(list(Path(out).glob("logs/*")))))
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(logs)).run()


def left(out: Path) -> tuple[int, int]:
    """Documents that were written, and the bytes of their texts."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    documents = size = 0
    for path in out.glob("documents/*.parquet"):
        texts = pq.read_table(path, columns=["text"])["text"]
        documents += len(texts)
        size += pc.sum(pc.binary_length(texts)).as_py() or 0
    return documents, size


PROGRAMS: dict[str, Make] = {
    "extract": extract,
    "url_dedup": url_dedup,
    "document_dedup": document_dedup,
    "line_dedup": line_dedup,
    "language": language,
    "minhash": minhash,
    "c4": c4,
}

if __name__ == "__main__":
    main("datatrove", PROGRAMS, left, sys.argv[1:])
