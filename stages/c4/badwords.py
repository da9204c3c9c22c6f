"""Lists of bad words: a page with one of them leaves.

C4 used the list of LDNOOBW for English at commit 25e679f. No list comes along; give paths.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from stages.engine import files

# Languages written without blanks between words: a word counts wherever it stands.
_WITHOUT_BLANKS = frozenset({"ja", "th", "zh"})


def read_words(path: str) -> list[str]:
    """The words of a list, one a line, in UTF-8, lower-cased; blank lines are left out.

    Raises OSError, or ValueError if there is no word in it.
    """
    try:
        text = files.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8") from error
    words = [line.strip().lower() for line in text.split("\n")]
    if not any(words):
        raise ValueError(f"{path}: no word in it")
    return [w for w in words if w]


class BadWords:
    """The words of one language; `find` gives the first in a text, or None.

    A word must stand between characters that belong to no word (`\\W`) or the ends of the text,
    except in languages written without blanks.
    """

    def __init__(self, language: str, words: Iterable[str], allowed: Collection[str] = ()) -> None:
        left = sorted(set(words) - set(allowed))
        joined = "|".join(map(re.escape, left)) or r"(?!)"
        if language in _WITHOUT_BLANKS:
            self._pattern = re.compile(f"({joined})")
        else:
            self._pattern = re.compile(rf"(?:\W|^)({joined})(?:\W|$)")

    def find(self, text: str) -> str | None:
        found = self._pattern.search(text.lower())
        return found.group(1) if found else None
