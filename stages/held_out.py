"""Which documents are held out for validation: all of a near-duplicate cluster, or none.

The number of a document decides: a keyed 64-bit hash of what it is held out by. Below
`share * 2**64` it is held out. The shards keep the number of every document, so that the split can
be checked without the text.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import xxhash

from stages.character_map import CharacterMap, characters
from tokenizer.manifest import HeldOutBy
from tokenizer.sample import hash64

try:
    from stages._mapped_text import spaced
except ImportError:  # Built where there is a C compiler; what is below gives the same bytes.
    spaced = None  # type: ignore[assignment]

# ASCII white space as spaces, and what other white space NFKC leaves as it is.
_ASCII_BLANKS = bytes(0x20 if code < 0x80 and chr(code).isspace() else code for code in range(256))
_OTHER_BLANKS = ("\x85", "\u1680", "\u2028", "\u2029")

CLUSTER = "cluster"
"""Column that names the near-duplicate cluster of a document, where a stage left one."""


def normalised(text: str) -> str:
    """The form in which two texts are the same: NFKC, case folded, white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _folded(text: str) -> str:
    if not unicodedata.is_normalized("NFKC", text):
        # Nothing is composed across a newline, and lines that need nothing are passed quickly.
        text = "\n".join([unicodedata.normalize("NFKC", line) for line in text.split("\n")])
    return text.casefold()


def text_key(text: str) -> str:
    """A 128-bit hash of the normalised text, as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(_normalised_bytes(text))


def _normalised_bytes(text: str) -> bytes:
    """`normalised` in UTF-8, without a string for each word."""
    if spaced is not None and (done := spaced(text, *_characters().arrays())) is not None:
        return done
    return _normalised_by_lines(text)


def _normalised_by_lines(text: str) -> bytes:
    folded = _folded(text)
    if any(blank in folded for blank in _OTHER_BLANKS):
        return normalised(text).encode("utf-8", "surrogatepass")
    spaced = folded.encode("utf-8", "surrogatepass").translate(_ASCII_BLANKS)
    while b"  " in spaced:  # Each time runs become half as long.
        spaced = spaced.replace(b"  ", b" ")
    return spaced.strip(b" ")


@cache
def _characters() -> CharacterMap:
    """`normalised` character by character, for texts in which none joins the one before it."""
    return CharacterMap(_character, contextual=_joining())


def _character(character: str) -> str:
    if character.isspace():
        return " "
    return unicodedata.normalize("NFKC", character).casefold()


def _joining() -> list[str]:
    """Characters that NFKC may compose or reorder with what is before them: marks, those that some
    character is composed with, and Hangul vowels and final consonants."""
    found = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for character in characters():
        parts = unicodedata.decomposition(character).split(" ")
        if len(parts) == 2 and parts[0][0] != "<":
            found.add(chr(int(parts[1], 16)))
    return [
        character
        for character in characters()
        if (first := unicodedata.normalize("NFKD", character)[0]) in found
        or unicodedata.combining(first)
    ]


@dataclass(frozen=True)
class HeldOutRule:
    """Numbers of documents, by `cluster`, `text` or `id`."""

    by: HeldOutBy
    seed: int

    def number(self, document_id: str, text: str, cluster: str | None = None) -> int:
        """The number that decides; equal for two documents that must not be parted.

        By cluster: the cluster's name where the document has one, else the normalised text.
        """
        if self.by == "id":
            key = document_id
        elif self.by == "cluster" and cluster is not None:
            key = f"cluster\0{cluster}"
        else:
            key = f"text\0{text_key(text)}"
        return hash64(self.seed, key, "valid")
