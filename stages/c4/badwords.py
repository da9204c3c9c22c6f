"""Lists of bad words: a page with one of them leaves.

C4 used the list of LDNOOBW for English at commit 25e679f. No list comes along; give paths.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from stages.engine import files

# Languages written without blanks between words: a word counts wherever it stands.
_WITHOUT_BLANKS = frozenset({"ja", "th", "zh"})
_RUN = re.compile(r"\w+")


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
    r"""The words of one language; `find` gives one that is in a text, or None.

    C4's expression is `(?:\W|^)(word|word|...)(?:\W|$)` on the lower-cased text, but in languages
    written without blanks a word counts wherever it stands. Where that expression matches, each run
    of word characters in a word is a whole run of them in the text. So only words whose first run
    the text has are looked for; the verdict is the same.
    """

    def __init__(self, language: str, words: Iterable[str], allowed: Collection[str] = ()) -> None:
        left = sorted(set(words) - set(allowed))
        anywhere = language in _WITHOUT_BLANKS
        self._always: list[str] = []  # words that no run points to
        self._by_run: dict[str, list[str]] = {}
        for word in left:
            run = None if anywhere else _RUN.search(word)
            (self._by_run.setdefault(run.group(), []) if run else self._always).append(word)
        form = "{}" if anywhere else r"(?:\W|^){}(?:\W|$)"
        self._patterns = {word: re.compile(form.format(re.escape(word))) for word in left}

    def find(self, text: str) -> str | None:
        lower = text.lower()
        words = [*self._always]
        if self._by_run:
            for run in self._by_run.keys() & _RUN.findall(lower):
                words += self._by_run[run]
        return next((w for w in sorted(words) if self._patterns[w].search(lower)), None)
