"""Perplexity of a text: SentencePiece pieces under a KenLM model, as CCNet computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        """The perplexity of a text, rounded to tenths as cc_net does.

        A line of n pieces and the base-10 logarithm p of its probability, end of sentence
        included, has perplexity 10 ** (-p / (n + 1)). By `unit`, that of the document as one line,
        or the mean of those of its paragraphs (lines with at least one piece).

        None where the language is unknown or has no model, and where the text has no pieces.

        Raises:
            ModelFileError: a file of this language is no model.
        """
        if language is None or language not in self.files:
            return None
        models = self._models(language)
        text = text[: self.settings.max_chars]
        if self.settings.unit == "paragraph":
            paragraphs = text.split("\n")
        elif self.settings.newline == "space":
            paragraphs = [text.replace("\n", " ")]
        else:
            paragraphs = [text]
        scores = [_perplexity(models, paragraph) for paragraph in paragraphs]
        known = [score for score in scores if score is not None]
        return round(sum(known) / len(known), 1) if known else None

    def _models(self, language: str) -> _Models:
        if language not in self._loaded:
            self._loaded[language] = _load(self.files[language])
        return self._loaded[language]


class PerplexityRule:
    """Gives a document its perplexity; None where its language has no model. Rejects nothing."""

    reads: tuple[str, ...] = ("text", "language")
    writes: tuple[str, ...] = ("perplexity",)

    def __init__(self, settings: PerplexitySettings | None = None) -> None:
        self.scorer = PerplexityScorer(settings)

    def __call__(self, *values: Any) -> tuple[float | None]:
        text, language = values
        return (self.scorer.score(text, language),)


def _perplexity(models: _Models, text: str) -> float | None:
    pieces = models.pieces.encode(normalise_for_language_model(text), out_type=str)
    if not pieces:
        return None
    log10 = models.ngrams.score(" ".join(pieces))
    return 10.0 ** min(-log10 / (len(pieces) + 1), _LARGEST_EXPONENT)


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
