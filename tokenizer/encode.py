"""Text to ids, exactly as SentencePiece does it, by the fastest encoder that is exact."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import sentencepiece

from tokenizer.fast_encoder import FastEncoder
from tokenizer.manifest import MAX_VOCAB_SIZE, Canary, TokensManifest
from tokenizer.model import CANARY_TEXT, ModelFile

Backend: TypeAlias = Literal["auto", "gigatoken", "sentencepiece"]
# SentencePiece gets longer texts in parts: it takes fifty times a text's size in memory.
CHUNK = 1 << 18

# What implementations are known to differ in; encoded once when a model is loaded.
PROBES: tuple[str, ...] = (
    "",
    " ",
    "   ",
    " " * 40,
    "\t\ta \t b",
    "\n\na\r\nb \n",
    "a\0b",
    "".join(map(chr, range(32))) + "\x7f\x80\x85",
    "a</s>b<s> <unk> <0x0A> <pad>",
    "\u2581a \u2581 b\u2581\u2581",
    "0123456789 3.14 1e10 \u0661\u0662\u0663 \u00b2\u2460",
    "e\u0301\u0323 \u1e69 \ufb01 \uff21",
    "\U0001f469\u200d\U0001f4bb\U0001f1eb\U0001f1f7 \U0001f999",
    "\u0378\ue000\ufdd0\ufffd\uffff\U0010ffff",
    "\ufeffa\u00a0b\u3000c\u2028d\u200be",
    "\u6771\u4eac \u05e9\u05dc\u05d5\u05dd \ud55c\uad6d\uc5b4 \u0e44\u0e17\u0e22",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "The  quick\tbrown   fox; x = {'a': [1, 2]}  # ok",
    CANARY_TEXT,
)


@dataclass(frozen=True, slots=True)
class Verification:
    """How a backend's ids compare with SentencePiece's: counts, and the first difference.

    `first_mismatch` is the number of the first text that differs, the place and both ids there.
    """

    backend: str
    texts: int
    text_bytes: int
    tokens: int
    mismatches: int
    first_mismatch: str | None = None

    @property
    def exact(self) -> bool:
        """Whether every text gave SentencePiece's ids."""
        return self.mismatches == 0


class Encoder:
    """Encodes with one SentencePiece model. No `<s>` or `</s>` is added, and control symbols
    written out in a text (`</s>`) stay text.

    Attributes:
        model: the model file's own account.
        backend: "gigatoken" or "sentencepiece", whichever is in use.
        reason: why this backend.
        dtype: of the ids, uint16 if the vocabulary fits, else uint32.
    """

    def __init__(self, model_path: str | os.PathLike[str], backend: Backend = "auto") -> None:
        """
        Args:
            model_path: path or fsspec URL of the model file.
            backend: "auto" takes gigatoken where it gives SentencePiece's ids for a set of probing
                texts, else SentencePiece; `verify_exact` with texts of the corpus is the full
                check.

        Raises:
            ValueError: no model there, or gigatoken asked for and it is not exact.
        """
        self.model = ModelFile.load(model_path)
        self._start(backend)

    @classmethod
    def from_model(cls, model: ModelFile, backend: Backend = "auto") -> Encoder:
        """An encoder for a model that is already in memory."""
        encoder = cls.__new__(cls)
        encoder.model = model
        encoder._start(backend)
        return encoder

    def __copy__(self) -> Encoder:
        """Another one with the same loaded models: what either falls back to is its own affair."""
        other = Encoder.__new__(Encoder)
        vars(other).update(vars(self))
        return other

    def __reduce__(self) -> tuple[object, ...]:
        return Encoder.from_model, (self.model, self.backend)

    def _start(self, backend: Backend) -> None:
        if backend not in ("auto", "gigatoken", "sentencepiece"):
            raise ValueError(f"no backend {backend!r}: auto, gigatoken or sentencepiece")
        try:
            self._sentencepiece = sentencepiece.SentencePieceProcessor(
                model_proto=self.model.content
            )
        except (RuntimeError, OSError) as error:
            raise ValueError(f"SentencePiece refuses the model: {error}") from error
        self.dtype = np.dtype(np.uint16 if self.vocab_size <= MAX_VOCAB_SIZE else np.uint32)
        self._breaks = self.model.breaks()
        self._chunk = CHUNK
        self._fast: FastEncoder | None = None
        # For the parts of a long text after the first.
        self._continuation: Any = None
        self.backend, self.reason = "sentencepiece", "asked for"
        if backend == "sentencepiece":
            return
        failure = self._start_fast()
        if failure is None:
            self.reason = "asked for" if backend == "gigatoken" else "exact on the probing texts"
        elif backend == "gigatoken":
            raise ValueError(f"gigatoken cannot be used with this model: {failure}")
        else:
            self._fall_back(failure)

    def _start_fast(self) -> str | None:
        """Switches to gigatoken; returns why it cannot be."""
        try:
            self._fast = FastEncoder(self.model)
        except ValueError as error:
            return str(error)
        self.backend = "gigatoken"
        result = self._compare(PROBES)
        return None if result.exact else f"it differs from SentencePiece: {result.first_mismatch}"

    def _fall_back(self, reason: str) -> None:
        self._fast = None
        self.backend, self.reason = "sentencepiece", reason

    @property
    def vocab_size(self) -> int:
        """Pieces in the model; every id is below it."""
        return self.model.vocab_size

    @property
    def bos_id(self) -> int:
        """The id of `<s>`, which is never added here."""
        return int(self.model.trainer["bos_id"])

    @property
    def eos_id(self) -> int:
        """The id of `</s>`, the separator between documents."""
        return int(self.model.trainer["eos_id"])

    @property
    def unk_id(self) -> int:
        """The id of the unknown piece, which a model with byte fallback never gives."""
        return int(self.model.trainer["unk_id"])

    @property
    def canary(self) -> Canary:
        """A text and its ids by SentencePiece, to tell tokenizers apart."""
        return self.model.canary(self._sentencepiece.encode(CANARY_TEXT))

    def require(self, manifest: TokensManifest) -> None:
        """Raises ValueError with one line unless token shards were made with this tokenizer."""
        if manifest.tokenizer_sha256 == self.model.sha256:
            return
        ids = tuple(self._sentencepiece.encode(manifest.canary.text))
        if manifest.vocab_size != self.vocab_size:
            found = f"{self.vocab_size} pieces, not {manifest.vocab_size}"
        elif ids != manifest.canary.ids:
            found = "it encodes the canary otherwise"
        else:
            found = "though it encodes the canary alike"
        raise ValueError(
            f"tokenizer {self.model.sha256[:12]} is not {manifest.tokenizer_sha256[:12]}, which "
            f"the shards were made with ({found})"
        )

    def encode(self, text: str) -> npt.NDArray[np.unsignedinteger[Any]]:
        """The ids of a text: shape (tokens,), dtype `self.dtype`.

        SentencePiece gets long texts in parts cut where it makes no difference; a stretch without
        any space or newline is never cut, so memory grows with the longest such stretch.

        Raises:
            ValueError: the text holds a lone surrogate and so is no Unicode text.
        """
        _require_unicode(text)
        if self._fast is not None:
            return self._fast.encode(text).astype(self.dtype)
        if len(text) <= self._chunk or self._breaks is None:
            return self._array(self._by_sentencepiece(text, first=True))
        parts = [
            self._array(self._by_sentencepiece(part, first=number == 0))
            for number, part in enumerate(self._parts(text))
        ]
        return np.concatenate(parts)

    def encode_batch(self, texts: Sequence[str]) -> list[npt.NDArray[np.unsignedinteger[Any]]]:
        """`encode` for each of `texts`, in order, on one thread."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """The text of ids; ValueError for an id outside the vocabulary."""
        values = np.asarray(ids, dtype=np.int64)
        outside = values[(values < 0) | (values >= self.vocab_size)]
        if outside.size:
            raise ValueError(f"id {outside[0]} is outside the vocabulary of {self.vocab_size}")
        return str(self._sentencepiece.decode(values.tolist()))

    def pieces(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> list[str]:
        """The pieces of ids, as the model spells them."""
        return [self.model.pieces[int(i)] for i in ids]

    def verify_exact(self, texts: Iterable[str]) -> Verification:
        """Compares the backend with SentencePiece on `texts`; falls back if they ever differ.

        After a difference the encoder uses SentencePiece, and `reason` names it.
        """
        result = self._compare(texts)
        if not result.exact:
            self._fall_back(
                f"{result.backend} gave other ids than SentencePiece for {result.mismatches} of "
                f"{result.texts} texts; {result.first_mismatch}"
            )
        elif self.backend == "gigatoken":
            self.reason = f"exact on {result.texts} texts, {result.tokens} tokens"
        return result

    def _compare(self, texts: Iterable[str]) -> Verification:
        count = text_bytes = tokens = mismatches = 0
        first: str | None = None
        for number, text in enumerate(texts):
            _require_unicode(text)
            expected = self._array(self._sentencepiece.encode(text))
            count, tokens = count + 1, tokens + expected.size
            text_bytes += len(text.encode())
            got = self.encode(text)
            if not np.array_equal(got, expected):
                mismatches += 1
                first = first or f"text {number}: {_difference(got, expected)}"
        return Verification(self.backend, count, text_bytes, tokens, mismatches, first)

    def _by_sentencepiece(self, text: str, first: bool) -> list[int]:
        if not first and self._continuation is None:
            self._continuation = sentencepiece.SentencePieceProcessor(
                model_proto=self.model.without_dummy_prefix()
            )
        ids: list[int] = (self._sentencepiece if first else self._continuation).encode(text)
        return ids

    def _array(self, ids: list[int]) -> npt.NDArray[np.unsignedinteger[Any]]:
        return np.array(ids, dtype=self.dtype)

    def _parts(self, text: str) -> Iterator[str]:
        """Cuts a text into parts of about `_chunk` characters at the model's breaks."""
        assert self._breaks is not None
        start = 0
        while start < len(text):
            found = self._breaks.search(text, min(start + self._chunk, len(text)))
            # A part that would be cut at its own start is the rest of the text.
            end = found.start() if found else len(text)
            yield text[start:end]
            start = end


def _require_unicode(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"lone surrogate U+{ord(text[error.start]):04X} at character {error.start}: "
            "not a Unicode text"
        ) from None


def _difference(got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> str:
    shared = min(got.size, expected.size)
    unequal = np.flatnonzero(got[:shared] != expected[:shared])
    at = int(unequal[0]) if unequal.size else shared
    return f"at token {at} {got[at : at + 4].tolist()} instead of {expected[at : at + 4].tolist()}"
