"""What the classifier reads of a page: the same for references, random pages and scoring.

A difference in preparation between the classes, or between training and scoring, would itself be
something to learn.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, TypeAlias

from stages.ccnet_text import encodable

Cleaning: TypeAlias = Literal["words", "line"]

_WORD = re.compile(r"[^\W_]+|[^\w\s\x00-\x1f\x7f]")
_DIGIT = re.compile(r"\d")
_LABEL = "__label__"


def classifier_text(text: str, max_chars: int, cleaning: Cleaning = "words") -> str:
    """One line of words with single spaces, from the first `max_chars` characters of `text`.

    `words`: lower case, digits as 0, each mark of punctuation a word of its own, `_` a blank. So a
    word is the same at the end of a sentence as within it, and no text can hold the prefix by which
    fastText knows labels, or its mark `</s>`. `line`: words parted at white space, as they are, but
    for that prefix; for models that were trained elsewhere.

    The result can always be encoded as UTF-8; it is empty where the text has no words.
    """
    text = encodable(text[:max_chars])
    if cleaning == "line":
        return " ".join(text.replace("\x00", " ").replace(_LABEL, " ").split())
    # Composed, because a combining mark by itself is no letter and would part its word.
    words = _WORD.findall(unicodedata.normalize("NFC", text.lower()))
    return _DIGIT.sub("0", " ".join(words))
