"""What is compared: stages with their settings, and how the steps of others differ in meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.packages import DATATROVE, TEXT_DEDUP
from benchmarks.peers.settings import BANDS, C4, NGRAM, ROWS, THRESHOLD
from tests.peers.environments import Peer

PROGRAMS = {
    DATATROVE.name: "benchmarks.peers.datatrove_steps",
    TEXT_DEDUP.name: "benchmarks.peers.text_dedup_steps",
}


@dataclass(frozen=True)
class Comparison:
    """`name` is that of the others' program; `differs` says by peer how its step differs."""

    name: str
    title: str
    stage: str
    settings: Mapping[str, Any]
    differs: Mapping[Peer, str]


COMPARISONS = (
    Comparison(
        "extract",
        "WET to documents",
        "commoncrawl",
        {"min_chars": 0},
        {
            DATATROVE: "It asks libmagic for the type of each text and drops those that are taken"
            " for anything but plain text or HTML. The stage also writes the hashes of all lines,"
            " for the dedup of lines; its minimum of 300 characters is off.",
        },
    ),
    Comparison(
        "url_dedup",
        "URL dedup",
        "url_dedup",
        {"keep": "first"},
        {
            DATATROVE: "Its exact dedup with the URL as the content. It compares URLs as they are,"
            " the stage in normal form. Both keep the first; the stage writes down what left.",
        },
    ),
    Comparison(
        "document_dedup",
        "Exact document dedup",
        "document_dedup",
        {},
        {
            DATATROVE: "Its exact dedup with the text as the content: the same documents.",
            TEXT_DEDUP: "`exact_hash` with xxh3: the same documents. It holds all hashes in one"
            " Python set, and writes Arrow files without compression.",
        },
    ),
    Comparison(
        "line_dedup",
        "Line dedup",
        "line_dedup",
        {"keep": "first"},
        {
            DATATROVE: "Its sentence dedup set to spans of one line, the first of which stays,"
            " without minimum sizes. Lines are compared without case, accents and punctuation, each"
            " number as 0; blank ones stay. The stage compares them as cc_net does (with accents,"
            " each digit as 0) and drops blank ones.",
            TEXT_DEDUP: "`ccnet` with xxh3: cc_net's normal form without symbols, too; the first"
            " line stays, and so does the first blank one. It holds all hashes in one Python set.",
        },
    ),
    Comparison(
        "language",
        "Language identification",
        "language",
        {"threshold": THRESHOLD},
        {
            DATATROVE: "The same file, lid.176.ftz. It asks for all 176 scores of the whole text"
            " and compares the best one as it is; the stage keeps 5, reads 2,000 characters first"
            " and the rest where these leave doubt, and rounds to two decimals as cc_net does.",
        },
    ),
    Comparison(
        "minhash",
        "MinHash",
        "fuzzy_dedup",
        {
            "ngram": NGRAM,
            "bands": BANDS,
            "rows": ROWS,
            "permutations": BANDS * ROWS,
            "verify": "none",
        },
        {
            DATATROVE: f"{BANDS} bands of {ROWS}, {NGRAM} words, nothing verified in both. Its"
            " words are spaCy's, and its hashes have 64 bits, ours 32. Of a group any document"
            " stays there, the first one here.",
            TEXT_DEDUP: f"{BANDS} bands of {ROWS}, {NGRAM} words, nothing verified in both. Its"
            " words are what lies between characters that are no letter, digit or underscore,"
            " empty ones included; its hash tables are Python dictionaries.",
        },
    ),
    Comparison(
        "c4",
        "C4's rules",
        "c4_clean",
        {**C4, "end_marks": [".", "?", "!", '"', "'"]},
        {
            DATATROVE: f"Lines of {C4['min_words']} words, {C4['min_sentences']} sentences, and an"
            " apostrophe ends a line, in both. Its sentences are spaCy's by rule, and it finds all"
            " of them; ours are Punkt's, as in C4's own code, and only as many as are asked for. It"
            " counts words before citation marks leave. The stage also drops pages of more than"
            " 190,000 characters and lines like headers of WARC.",
        },
    ),
)
