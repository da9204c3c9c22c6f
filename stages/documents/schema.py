"""The columns of documents, of rejected documents and of bad records."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_TEXT = pa.large_string()

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", _TEXT, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("title", pa.string()),
        pa.field("language", pa.string()),
        pa.field("created", pa.string()),
        pa.field("license", pa.string()),
        pa.field("meta", pa.string()),
        # Scores: null until the stage that computes them has run.
        pa.field("language_score", pa.float32()),
        pa.field("perplexity", pa.float32()),
        pa.field("bucket", pa.string()),
        pa.field("reference_score", pa.float32()),
    ]
)

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("url", pa.string()),
    ]
)

BAD_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)


def text_bytes(column: pa.Array) -> int:
    """UTF-8 bytes of a string column."""
    return int(pc.sum(pc.binary_length(column)).as_py() or 0)
