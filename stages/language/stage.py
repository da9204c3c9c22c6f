"""`language`: gives each document its language, or rejects it."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from stages.engine.models import load_once
from stages.engine.rules import RuleStage
from stages.engine.step import InputError
from stages.language.model import ModelMissingError, model_digest, model_path
from stages.language.rule import REASONS, LanguageRule
from stages.language.settings import LanguageSettings
from stages.outcomes import Rule


class Language(RuleStage[LanguageSettings]):
    name = "language"
    summary = "identify the language (fastText lid.176) and drop what scores below a threshold"
    Settings = LanguageSettings
    reasons = REASONS
    columns: ClassVar[tuple[pa.Field, ...]] = (pa.field("language_scores", pa.string()),)

    def check(self) -> None:
        try:
            model_path(self.settings.model)
        except ModelMissingError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def models(self) -> dict[str, str]:
        return {"lid": model_digest(model_path(self.settings.model))}

    def rule_for(self, batch: pa.RecordBatch) -> Rule:
        """All documents of the batch judged at once, which fastText alone cannot do."""
        try:
            return self.rule().for_batch(batch.column("text").to_pylist())
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - one by one, the document that fails is found and told
            return self.rule()

    def warm(self) -> None:
        super().warm()
        self.rule().judge(["The river was high that spring."])

    def rule(self) -> LanguageRule:
        return load_once(("language", self.settings), lambda: LanguageRule(self.settings))
