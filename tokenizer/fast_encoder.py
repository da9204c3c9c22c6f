"""gigatoken as an encoder of SentencePiece BPE models, with its memory bounded.

It remembers the ids of every word that it has met, which makes it fast and lets it grow: by some 90
bytes for each different word (measured; 12 million words took 1.1 GB). So it starts afresh every
now and then, which changes no id.

It is only ever given `str`: bytes that are no UTF-8 crash version 0.10 of it, with the process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from tokenizer.model import USER_DEFINED, ModelFile
from tokenizer.tokenizer_json import tokenizer_json

# Characters between two fresh starts, which cost 0.07 s each. Of running text they hold about a
# million different words, 100 MB; words of random letters alone would take half a gigabyte.
_FRESH_EVERY = 1 << 26


class FastEncoder:
    """Encodes texts with gigatoken, one after the other, on the calling thread.

    Raises:
        ValueError: at construction, where gigatoken cannot take the model, or is not there.
    """

    def __init__(self, model: ModelFile) -> None:
        if USER_DEFINED in model.types:
            raise ValueError("a model with user-defined pieces, for which it is not exact")
        content = tokenizer_json(model)
        # Control pieces written out in a text are text.
        content["added_tokens"] = []
        self._json = orjson.dumps(content)
        self._left = 0
        self._renew()

    def _renew(self) -> None:
        try:
            from gigatoken.gigatoken_rs import load_hf_json
        except ImportError as error:
            raise ValueError(f"it is not installed: {error}") from error
        try:
            self._tokenizer: Any = load_hf_json(self._json)
        # Its own errors are plain Exceptions.
        except Exception as error:
            raise ValueError(f"it refuses the model: {error}") from error
        self._left = _FRESH_EVERY

    def encode(self, text: str) -> npt.NDArray[np.uint32]:
        """The ids of a text that can be written as UTF-8: shape (tokens,)."""
        self._left -= len(text)
        if self._left < 0:
            self._renew()
            self._left -= len(text)
        ids: npt.NDArray[np.uint32] = self._tokenizer.encode(text)
        return ids
