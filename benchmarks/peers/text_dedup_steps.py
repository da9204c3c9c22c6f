"""Programs of text-dedup, as its command line runs them: one process, no cache of earlier runs.

    python -m benchmarks.peers.text_dedup_steps STEP JSON

Runs with text-dedup's packages (`benchmarks.peers.packages`). Options: `documents` (a folder of
Parquet) and `out`, which gets the folder `documents` in Arrow's format.
"""

from __future__ import annotations

import logging
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.program import Make, Step, main
from benchmarks.peers.settings import BANDS, NGRAM, ROWS

_BEFORE = re.compile(r"Before(?: document count)? *: (\d+)")


class _Told(logging.Handler):
    """The number of documents that a program says it read."""

    documents = 0

    def emit(self, record: logging.LogRecord) -> None:
        if found := _BEFORE.match(record.getMessage()):
            self.documents = int(found[1])


def program(module: str, documents: str, out: str, **settings: Any) -> Step:
    from datasets.utils import logging as told
    from datasets.utils.logging import disable_progress_bar

    called = import_module(f"text_dedup.{module}")
    for name in ("datasets.packaged_modules.parquet.parquet", "pyarrow.parquet", "pandas"):
        import_module(name)
    told.set_verbosity_error()
    disable_progress_bar()
    handler = _Told()
    logger = called.logger
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)

    def run() -> int:
        given = {
            "path": "parquet",
            "data_files": f"{documents}/part-*.parquet",
            "split": "train",
            "cache_dir": f"{out}/cache",
            "output": f"{out}/documents",
            "column": "text",
            "num_proc": 1,
            # The hash function that is faster, and that our stages have.
            "hash_func": "xxh3",
            **settings,
        }
        called.main([f"--{name}={value}" for name, value in given.items()], standalone_mode=False)
        return handler.documents

    return run


def document_dedup(documents: str, out: str, **_: Any) -> Step:
    return program("exact_hash", documents, out)


def line_dedup(documents: str, out: str, **_: Any) -> Step:
    return program("ccnet", documents, out)


def minhash(documents: str, out: str, **_: Any) -> Step:
    return program("minhash", documents, out, ngram=NGRAM, num_perm=BANDS * ROWS, b=BANDS, r=ROWS)


def left(out: Path) -> tuple[int, int]:
    """Documents that were written, and the bytes of their texts."""
    import pyarrow.compute as pc
    from datasets import load_from_disk

    # Rows that left are only marked.
    texts = load_from_disk(str(out / "documents")).flatten_indices().data.column("text")
    return len(texts), pc.sum(pc.binary_length(texts)).as_py() or 0


PROGRAMS: dict[str, Make] = {
    "document_dedup": document_dedup,
    "line_dedup": line_dedup,
    "minhash": minhash,
}

if __name__ == "__main__":
    main("text-dedup", PROGRAMS, left, sys.argv[1:])
