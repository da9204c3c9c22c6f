"""Documents on disk: their schema, how parts are written and read, and how rules meet them."""

from stages.documents.counts import Counts, ranked
from stages.documents.reader import (
    BATCH_DOCUMENTS,
    PartFacts,
    further_columns,
    part_facts,
    read_batches,
)
from stages.documents.rules import CHARACTERS, apply_rule, values_of, with_columns
from stages.documents.schema import BAD_SCHEMA, REJECTED_SCHEMA, SCHEMA, text_bytes
from stages.documents.strings import meta_json, printable, storable
from stages.documents.table import ROW_GROUP_BYTES, ROW_GROUP_DOCUMENTS, TableFile
from stages.documents.writer import PartWriter

__all__ = [
    "BAD_SCHEMA",
    "BATCH_DOCUMENTS",
    "CHARACTERS",
    "REJECTED_SCHEMA",
    "ROW_GROUP_BYTES",
    "ROW_GROUP_DOCUMENTS",
    "SCHEMA",
    "Counts",
    "PartFacts",
    "PartWriter",
    "TableFile",
    "apply_rule",
    "further_columns",
    "meta_json",
    "part_facts",
    "printable",
    "ranked",
    "read_batches",
    "storable",
    "text_bytes",
    "values_of",
    "with_columns",
]
