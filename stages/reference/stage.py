"""`reference`: scores pages by how likely Wikipedia would cite them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError

from stages.engine import files
from stages.engine.models import load_once
from stages.engine.rules import RuleStage
from stages.engine.step import STATE, InputError, Port, Record, Settings
from stages.reference.model import CARD_FILE, MODEL_FILE, Card, ModelError, Scorer
from stages.reference.text import Cleaning


class ReferenceSettings(Settings):
    """The threshold is not here: scores are stored, `select` cuts with `min_reference_score`. The
    paper discards "pages not classified as references", 0.5 for two classes; RedPajama kept 0.25
    and more."""

    model_file: str | None = Field(
        None,
        description="local path of a ready fastText classifier instead of a `reference_model`"
        " folder, RedPajama's for example (label wiki, cleaning line)",
    )
    label: str = Field("reference", description="label of references in `model_file`")
    cleaning: Cleaning = Field(
        "words", description="how pages are prepared for `model_file`; see reference_model"
    )
    max_chars: int = Field(
        5000, ge=1, description="characters of a page that are read for `model_file`"
    )


class ReferenceRule:
    """Gives a document its P(reference). None without a model, or without words in the text.
    Rejects nothing."""

    reads: tuple[str, ...] = ("text",)
    writes: tuple[str, ...] = ("reference_score",)

    def __init__(self, scorer: Scorer | None) -> None:
        self._scorer = scorer

    def __call__(self, *values: Any) -> tuple[float | None]:
        (text,) = values
        return (self._scorer.score(text) if self._scorer is not None else None,)


class Reference(RuleStage[ReferenceSettings]):
    name = "reference"
    summary = "score pages by how likely Wikipedia would cite them (fastText)"
    Settings = ReferenceSettings
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("documents", "documents: step folders or Parquet files"),
        "model": Port("folder", "a reference_model step's folder", required=False),
    }

    def check(self) -> None:
        given = self.step.inputs.get("model", [])
        if len(given) + (self.settings.model_file is not None) != 1:
            raise InputError(f"{self.step.name}: give one --model, or model_file")
        if self.settings.model_file is not None:
            if not Path(self.settings.model_file).is_file():
                raise InputError(f"{self.step.name}: no file {self.settings.model_file}")
            self.rule()  # It may be no model, or lack the label; each process loads it but once.
        # A step that will make the model may not have run yet; any other folder must hold a card.
        elif (
            files.is_dir(given[0])
            and not files.exists(files.join(given[0], CARD_FILE))
            and not files.exists(files.join(given[0], STATE))
        ):
            raise InputError(f"{self.step.name}: no {CARD_FILE} in {given[0]}")

    def card(self) -> tuple[Card, Path]:
        """What is known of the model, and its file on this machine. Raises InputError."""
        s = self.settings
        if s.model_file is not None:
            card = Card(model=True, label=s.label, cleaning=s.cleaning, max_chars=s.max_chars)
            return card, Path(s.model_file)
        folder = files.local_folder(self.step.inputs["model"][0])
        try:
            card = Card.model_validate_json(files.read_bytes(files.join(folder, CARD_FILE)))
        except (OSError, ValidationError) as error:
            raise InputError(
                f"{self.step.name}: {files.join(folder, CARD_FILE)} cannot be used:"
                f" {str(error).splitlines()[0]}"
            ) from error
        return card, Path(folder, MODEL_FILE)

    def models(self) -> dict[str, str]:
        card, path = self.card()
        return {"reference": files.sha256_of(str(path))} if card.model else {}

    def memory(self) -> int:
        """The model, which each process holds for itself: fastText cannot map it into memory."""
        given = self.step.inputs.get("model", [])
        path = files.join(given[0], MODEL_FILE) if given else str(self.settings.model_file)
        return files.size(path) if files.exists(path) else 0

    def rule(self) -> ReferenceRule:
        def load() -> ReferenceRule:
            card, path = self.card()
            if not card.model:
                return ReferenceRule(None)
            return ReferenceRule(Scorer(path, card.label, card.cleaning, card.max_chars))

        try:
            return load_once(("reference", files.digest_of(self.step.to_json())), load)
        except ModelError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        listed, extra = super().finish(records)
        card, _ = self.card()
        if not card.model:
            extra = {**extra, "notes": [f"every reference_score is null: {card.why_none}"]}
        return listed, extra
