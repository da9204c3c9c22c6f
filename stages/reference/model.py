"""A fastText model that tells references from random pages, and what must be known to use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from stages.reference.text import Cleaning, classifier_text

MODEL_FILE = "reference.bin"
CARD_FILE = "reference.json"
PREFIX = "__label__"
_EPOCHS, _MOST_EPOCHS, _LEAST_STEPS = 5, 100, 20_000


class ModelError(RuntimeError):
    """A model file is missing, damaged, or lacks the label asked for; one line."""


class Card(BaseModel):
    """What lies beside a model: whether there is one, and how a page is prepared for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: bool
    label: str = "reference"
    cleaning: Cleaning = "words"
    max_chars: int = Field(5000, ge=1)
    why_none: str | None = None


class TrainingSettings(BaseModel):
    """How the model is trained; the paper says "a linear model" and no more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cleaning: Cleaning = Field(
        "words",
        description="`words`: lower case, digits as 0, punctuation apart, for both classes and when"
        " scoring. `line`: words at white space as they are, which is what RedPajama's model read",
    )
    max_chars: int = Field(
        5000,
        ge=1,
        description="characters of a page that are read, in training and scoring: a bound on the"
        " time for a page, and longer pages cannot be told by their length",
    )
    dim: int = Field(100, ge=1, description="length of the word vectors; fastText's default")
    epochs: int | None = Field(
        None,
        ge=1,
        description="passes over the training pages. null: 5, which is fastText's default and"
        " RedPajama's, but more for fewer than 4,000 pages, since each is one step of learning a"
        " pass: as many as make 20,000 steps, at most 100",
    )
    learning_rate: float = Field(0.1, gt=0, description="fastText's default, RedPajama's")
    word_ngrams: int = Field(
        1, ge=1, le=3, description="1, RedPajama's: single words; a linear model over them"
    )
    buckets: int = Field(
        2_000_000, ge=1, description="hashed n-grams where word_ngrams is over 1; fastText's"
    )
    min_count: int = Field(
        5,
        ge=1,
        description="words seen less often are left out. fastText's default here is 1; rare words"
        " are names of sites and persons, and most of the model's size",
    )
    seed: int = Field(0, ge=0, description="another seed gives another model")

    def passes(self, pages: int) -> int:
        """Epochs for so many training pages."""
        return self.epochs or min(_MOST_EPOCHS, max(_EPOCHS, -(-_LEAST_STEPS // max(pages, 1))))


def train(lines: Path, target: Path, settings: TrainingSettings, pages: int) -> dict[str, Any]:
    """Trains on a file of `pages` lines `__label__reference words...` and writes the model to
    `target`.

    One thread and a seed, so the same lines give the same bytes.

    Raises:
        ModelError: fastText gave up; its words.
    """
    import fasttext

    epochs = settings.passes(pages)
    try:
        model = fasttext.train_supervised(
            input=str(lines),
            dim=settings.dim,
            epoch=epochs,
            lr=settings.learning_rate,
            wordNgrams=settings.word_ngrams,
            bucket=settings.buckets if settings.word_ngrams > 1 else 0,
            minCount=settings.min_count,
            minn=0,
            maxn=0,
            loss="softmax",
            thread=1,
            seed=settings.seed,
            verbose=0,
        )
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"fastText: {error}") from error
    model.save_model(str(target))
    size = target.stat().st_size
    return {"words": len(model.words), "dim": settings.dim, "epochs": epochs, "bytes": size}


class Scorer:
    """P(label) of texts by a model; `label` is given without fastText's prefix.

    Raises:
        ModelError: the file is missing, no fastText classifier, or without that label.
    """

    def __init__(self, path: Path, label: str, cleaning: Cleaning, max_chars: int) -> None:
        import fasttext

        if not path.is_file():
            raise ModelError(f"{path} is missing")
        try:
            self._model = fasttext.load_model(str(path))
            labels = [str(name) for name in self._model.get_labels()]
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{path} is no fastText classifier: {error}") from error
        self._label = PREFIX + label
        if self._label not in labels:
            known = ", ".join(name.removeprefix(PREFIX) for name in labels[:10])
            raise ModelError(f"{path} knows no label {label}; its labels are {known}")
        self._all = len(labels)
        self._cleaning, self._max_chars = cleaning, max_chars

    def score(self, text: str) -> float | None:
        """0 to 1; None for a text without words."""
        return self.score_line(classifier_text(text, self._max_chars, self._cleaning))

    def score_line(self, line: str) -> float | None:
        """The same for a text that is prepared already."""
        if not line:
            return None
        found = self._model.predict(line, k=self._all)
        # Nothing comes back where a model knows no word of the text and no end of a line.
        for name, chance in zip(*found, strict=True):
            if name == self._label:
                # fastText's sums of rounded terms may end a little above 1.
                return min(float(chance), 1.0)
        return None


def score_lines(scorer: Scorer, lines: Iterator[str]) -> npt.NDArray[np.float64]:
    """Scores of prepared texts; one half where the model says nothing."""
    scores = (scorer.score_line(line) for line in lines)
    return np.fromiter((0.5 if s is None else s for s in scores), np.float64)
