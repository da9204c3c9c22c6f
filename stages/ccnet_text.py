"""How CCNet normalises text: for comparing lines, and before its language models.

CCNet (Wenzek et al. 2019) is a paper and a program, and they differ. The paper compares paragraphs
lower-cased, with digits as 0 and without Unicode punctuation and accent marks. The program
(`cc_net`) keeps accents and ASCII punctuation and removes 33 named characters. LLaMA's CommonCrawl
went through the program, so `cc_net` is the default here: only with it do line hashes equal those
of published CCNet runs.

One entry of the program's own table is left out on purpose: it turns FULLWIDTH DIGIT ONE into a
quotation mark. Digits are made 0 before the table is read, so that entry never acts, and leaving
it out changes no output.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stages.character_map import CharacterMap, characters

try:
    from stages._line_hashes import hash_texts
except ImportError:  # Built where there is a C compiler; what is below gives the same hashes.
    hash_texts = None  # type: ignore[assignment]

Variant: TypeAlias = Literal["cc_net", "paper"]

# Characters that `cc_net` takes as punctuation, by what stands for them in the text its language
# models were trained on. In line comparison they are removed instead.
_REPLACEMENT: dict[str, str] = {
    chr(code): replacement
    for replacement, codes in {
        # FULLWIDTH forms stand for their ASCII character; only the full stop brings a space.
        "!": (0xFF01,),
        "%": (0xFF05,),
        "(": (0xFF08,),
        ")": (0xFF09,),
        ",": (0xFF0C, 0x3001),  # and IDEOGRAPHIC COMMA
        ". ": (0xFF0E,),
        ":": (0xFF1A, 0x2236),  # and RATIO
        ";": (0xFF1B,),
        "?": (0xFF1F,),
        "~": (0xFF5E,),
        ".": (0x3002,),  # IDEOGRAPHIC FULL STOP
        "<": (0x3008,),  # LEFT ANGLE BRACKET
        ">": (0x3009,),
        "[": (0x3010,),  # LEFT BLACK LENTICULAR BRACKET
        "]": (0x3011,),
        # Double quotation marks: guillemets, curly double marks, CJK double angle and corner.
        '"': (0x00AB, 0x00BB, 0x201C, 0x201D, 0x201E, 0x300A, 0x300B, 0x300C, 0x300D),
        "'": (0x00B4, 0x2019),  # ACUTE ACCENT, RIGHT SINGLE QUOTATION MARK
        "-": (0x2013, 0x2501, 0x25BA),  # EN DASH, BOX DRAWINGS HEAVY HORIZONTAL, BLACK POINTER
        " - ": (0x2014,),  # EM DASH
        "...": (0x2026,),  # HORIZONTAL ELLIPSIS
    }.items()
    for code in codes
}
# The two blocks of control characters (C0 and C1) with DELETE; NEWLINE is one of them.
_CONTROLS = frozenset(map(chr, chain(range(0x20), range(0x7F, 0xA0))))
_DIGIT = re.compile(r"\d")
_DIGEST = np.dtype([("prefix", "<u8"), ("rest", "V12")])


def normalise_line(line: str, variant: Variant = "cc_net") -> str:
    """The form in which two lines are compared.

    `cc_net`: outer white space off, lower case, decimal digits of any script as 0, then the
    33 characters of its punctuation table and all control characters removed. White space that
    stood behind a removed character at an end stays, as in the program.
    `paper`: lower case, digits as 0, and all Unicode punctuation (general categories P*), accent
    marks (Mn after canonical decomposition) and control characters removed; outer white space off
    last. The paper does not speak of white space.
    """
    if variant == "cc_net":
        kept = _DIGIT.sub("0", line.strip().lower())
        return "".join(c for c in kept if c not in _REPLACEMENT and c not in _CONTROLS)
    decomposed = unicodedata.normalize("NFD", line.lower())
    return "".join(map(_paper_character, decomposed)).strip()


def normalise_for_language_model(text: str) -> str:
    """The text as CCNet's language models read it: one line, whatever the text was.

    Outer white space off, lower case, accent marks (Mn after canonical decomposition) off, decimal
    digits as 0, the punctuation table's characters replaced by ASCII, control characters removed.
    Newlines are control characters, so the words at the end of one line and the start of the next
    grow together, as they do in `cc_net`. The result can always be encoded as UTF-8.
    """
    return encodable(_language_model_map()(text.strip()))


def encodable(text: str) -> str:
    """The text with lone surrogates, which no UTF-8 can hold, made question marks."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def line_hash(line: str, variant: Variant = "cc_net") -> int:
    """The first 64 bits of the SHA-1 of the normalised line in UTF-8, as a little-endian integer.

    Lone surrogates, which UTF-8 forbids, are hashed as their three-byte form.
    """
    normalised = normalise_line(line, variant).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha1(normalised).digest()[:8], "little")


def line_hashes(text: str, variant: Variant = "cc_net") -> npt.NDArray[np.uint64]:
    """`line_hash` of each line of `text.split("\\n")`: uint64, shape (lines,). Never empty."""
    return batch_line_hashes((text,), variant)[0]


def batch_line_hashes(
    texts: Sequence[str], variant: Variant = "cc_net"
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The line hashes of many documents at once, equal to `line_hash` of each line.

    Those of the program by compiled code where it was built: SHA-1 alone, called for each line from
    Python, takes half of the time that numpy needs for everything.

    Returns:
        hashes: uint64, shape (lines of all documents,), in order.
        offsets: int64, shape (documents + 1,); document i owns hashes[offsets[i]:offsets[i + 1]].
    """
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([text.count("\n") + 1 for text in texts], out=offsets[1:])
    if not texts:
        return np.empty(0, dtype=np.uint64), offsets
    if hash_texts is not None and variant == "cc_net":
        table, bounds, pool = _line_map(variant).arrays()
        hashes = hash_texts(list(texts), table, bounds, pool, line_hash)
        return np.frombuffer(hashes, dtype="<u8"), offsets
    lines = "\n".join(texts).split("\n")
    # Slices that stay in the processor's cache.
    parts = [_hash_slice(lines[i : i + 4096], variant) for i in range(0, len(lines), 4096)]
    return np.concatenate(parts), offsets


def _hash_slice(lines: list[str], variant: Variant) -> npt.NDArray[np.uint64]:
    """Hashes of some lines, normalised as one text: no character maps to or from a newline."""
    if variant == "cc_net":
        lines = [line.strip() for line in lines]
    text = _line_map(variant)("\n".join(lines))
    if variant == "paper":
        text = "\n".join([line.strip() for line in text.split("\n")])
    sha1 = hashlib.sha1
    normalised = text.encode("utf-8", "surrogatepass").split(b"\n")
    digests = b"".join([sha1(line).digest() for line in normalised])
    return np.frombuffer(digests, dtype=_DIGEST)["prefix"]


def _lower_and_zero(character: str) -> str:
    return "0" if character.isdecimal() else character.lower()


def _cc_net_character(character: str) -> str:
    if character in _REPLACEMENT or character in _CONTROLS:
        return ""
    return _lower_and_zero(character)


def _paper_character(character: str) -> str:
    out = []
    for part in unicodedata.normalize("NFD", _lower_and_zero(character)):
        category = unicodedata.category(part)
        if category != "Mn" and category[0] != "P" and part not in _CONTROLS:
            out.append(part)
    return "".join(out)


def _language_model_character(character: str) -> str:
    out = ""
    for part in unicodedata.normalize("NFD", _lower_and_zero(character)):
        if unicodedata.category(part) != "Mn" and part not in _CONTROLS:
            out += _REPLACEMENT.get(part, part)
    return out


@cache
def _line_map(variant: Variant) -> CharacterMap:
    """`normalise_line` without its stripping, for many lines at once: newlines stay."""
    if variant == "cc_net":
        return CharacterMap(
            lambda c: c if c == "\n" else _cc_net_character(c), contextual="Σ", prepare=str.lower
        )
    return CharacterMap(
        lambda c: c if c == "\n" else _paper_character(c), _reordered(), _lower_decomposed
    )


@cache
def _language_model_map() -> CharacterMap:
    return CharacterMap(_language_model_character, _reordered(), _lower_decomposed)


def _lower_decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text.lower())


def _reordered() -> str:
    """Characters that lower-casing and decomposition treat by their neighbours.

    Capital sigma becomes a final sigma at a word's end; marks that are kept (not Mn) but carry a
    combining class may change places with one another.
    """
    marks = filter(unicodedata.combining, characters())
    return "Σ" + "".join(c for c in marks if unicodedata.category(c) != "Mn")
