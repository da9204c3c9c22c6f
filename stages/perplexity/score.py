"""Perplexity of a text: SentencePiece pieces under a KenLM model, as CCNet computes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import kenlm
import sentencepiece

from stages.ccnet_text import normalise_for_language_model
from stages.perplexity.settings import ModelFiles, PerplexitySettings

_SP_SUFFIX = ".sp.model"
_LM_SUFFIX = ".arpa.bin"
MODEL_FILES = (_SP_SUFFIX, _LM_SUFFIX)
"""How the names of CCNet's model files end."""
# 10 to more than this is no finite float; only a broken model comes near.
_LARGEST_EXPONENT = 300.0
# Some dozens of pages: enough to pay, and little memory in pieces.
_SLICE_CHARS = 1 << 19


class ModelFileError(RuntimeError):
    """A model file is missing or damaged; the message is one line."""


@dataclass(frozen=True)
class _Models:
    pieces: Any
    ngrams: Any


class PerplexityScorer:
    """Scores texts; the models of a language are loaded when it first comes, once.

    KenLM maps its binary files into memory, so processes of one machine share them.

    Raises:
        ModelFileError: at construction, where a language has one of its two files only.
    """

    def __init__(self, settings: PerplexitySettings | None = None) -> None:
        self.settings = settings or PerplexitySettings()
        self.files: Mapping[str, ModelFiles] = _found(self.settings)
        self._loaded: dict[str, _Models] = {}

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a model, sorted."""
        return tuple(sorted(self.files))

    def load_all(self) -> None:
        """Loads every model now, so that a damaged one shows before the work begins.

        Raises:
            ModelFileError: a file is no model.
        """
        for language in self.languages:
            self._models(language)

    def score(self, text: str, language: str | None) -> float | None:
        """The perplexity of one text; see `scores`."""
        return self.scores([text], [language])[0]

    def scores(self, texts: Sequence[str], languages: Sequence[str | None]) -> list[float | None]:
        """The perplexity of each text, rounded to tenths as cc_net does.

        A line of n pieces and the base-10 logarithm p of its probability, end of sentence
        included, has perplexity 10 ** (-p / (n + 1)). By `unit`, that of the document as one line,
        or the mean of those of its paragraphs (lines with at least one piece).

        None where the language is unknown or has no model, and where the text has no pieces.

        Raises:
            ModelFileError: a file of this language is no model.
        """
        found: list[float | None] = [None] * len(texts)
        for language in sorted(
            {code for code in languages if code is not None and code in self.files}
        ):
            models = self._models(language)
            rows = [row for row, code in enumerate(languages) if code == language]
            for some in _slices(rows, texts):
                paragraphs = [self._paragraphs(texts[row]) for row in some]
                scores = iter(_perplexities(models, list(chain.from_iterable(paragraphs))))
                for row, lines in zip(some, paragraphs, strict=True):
                    known = [s for s in islice(scores, len(lines)) if s is not None]
                    found[row] = round(sum(known) / len(known), 1) if known else None
        return found

    def _paragraphs(self, text: str) -> list[str]:
        text = text[: self.settings.max_chars]
        if self.settings.unit == "paragraph":
            return text.split("\n")
        if self.settings.newline == "space":
            return [text.replace("\n", " ")]
        return [text]

    def _models(self, language: str) -> _Models:
        if language not in self._loaded:
            self._loaded[language] = _load(self.files[language])
        return self._loaded[language]


def _perplexities(models: _Models, texts: list[str]) -> list[float | None]:
    """Of each text as one line; None where it has no pieces.

    All are normalised, then all are cut, then all are scored: each of the three fills the
    processor's cache with its own tables, and text by text it takes a quarter longer.
    """
    normalised = [normalise_for_language_model(text) for text in texts]
    cut = [_pieces(models, text) for text in normalised]
    return [_perplexity(models, pieces, number) for pieces, number in cut]


def _pieces(models: _Models, text: str) -> tuple[bytes, int]:
    """The pieces of a text with spaces between them, in UTF-8, and their number.

    As bytes, since to make strings of them, for KenLM to make bytes of, takes a fifth of all.
    """
    pieces = models.pieces.encode(text, out_type=bytes)
    return b" ".join(pieces), len(pieces)


def _perplexity(models: _Models, pieces: bytes, number: int) -> float | None:
    if not number:
        return None
    log10 = models.ngrams.score(pieces)
    return 10.0 ** min(-log10 / (number + 1), _LARGEST_EXPONENT)


def _slices(rows: Sequence[int], texts: Sequence[str]) -> Iterator[list[int]]:
    """Rows whose texts together have about `_SLICE_CHARS` characters; at least one."""
    some: list[int] = []
    chars = 0
    for row in rows:
        some.append(row)
        chars += len(texts[row])
        if chars >= _SLICE_CHARS:
            yield some
            some, chars = [], 0
    if some:
        yield some


def _found(settings: PerplexitySettings) -> dict[str, ModelFiles]:
    """The files of each language to be scored."""
    files = {}
    if settings.models is not None:
        folder = Path(settings.models)
        if not folder.is_dir():
            raise ModelFileError(f"{folder} is not a folder of language models")
        for kind in (_SP_SUFFIX, _LM_SUFFIX):
            for path in folder.glob(f"*{kind}"):
                stem = path.name.removesuffix(kind)
                files[stem] = ModelFiles(
                    sentencepiece=str(folder / f"{stem}{_SP_SUFFIX}"),
                    kenlm=str(folder / f"{stem}{_LM_SUFFIX}"),
                )
    files |= settings.files
    if settings.languages is not None:
        files = {key: value for key, value in files.items() if key in settings.languages}
    for language, pair in files.items():
        for name in (pair.sentencepiece, pair.kenlm):
            if not Path(name).is_file():
                raise ModelFileError(f"language model of `{language}`: {name} is missing")
    return files


def _load(files: ModelFiles) -> _Models:
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=files.sentencepiece)
    except (OSError, RuntimeError) as error:
        raise ModelFileError(f"{files.sentencepiece} is no SentencePiece model: {error}") from error
    try:
        ngrams = kenlm.Model(files.kenlm)
    except (OSError, RuntimeError) as error:
        raise ModelFileError(f"{files.kenlm} is no KenLM model: {error}") from error
    return _Models(pieces, ngrams)
