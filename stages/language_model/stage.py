"""Language models of this run: per language SentencePiece and a 5-gram KenLM on its documents."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.compute as pc
from pydantic import Field

from stages.documents import read_batches
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Record, ShuffleStage
from stages.engine.units import Piece, WorkUnit
from stages.language_model.kenlm_tools import ToolsMissingError, find_tools
from stages.language_model.settings import LanguageModelSettings
from stages.language_model.train import (
    TooLittleText,
    TrainingError,
    model_paths,
    train_language_model,
)


class LanguageModelStageSettings(LanguageModelSettings):
    languages: tuple[str, ...] | None = Field(
        None, description="languages that get a model; null: all that the documents have"
    )


class LanguageModel(ShuffleStage[LanguageModelStageSettings]):
    """Units say which languages they hold; each language is then trained by one reducer, which
    reads the documents where they lie. The files are named as CCNet publishes them."""

    name = "language_model"
    summary = "train a SentencePiece and a 5-gram KenLM model per language"
    Settings = LanguageModelStageSettings
    produces = "model"
    final: ClassVar[bool] = False

    def check(self) -> None:
        try:
            find_tools()
        except ToolsMissingError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def memory(self) -> int:
        """What lmplz sorts in, for one language at a time."""
        number, unit = self.settings.memory[:-1], self.settings.memory[-1]
        return int(number) << {"b": 0, "K": 10, "M": 20, "G": 30}[unit]

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        for piece in unit.pieces:
            found: Counter[str | None] = Counter()
            for batch in _batches(piece, ["language"]):
                found.update(batch.column("language").to_pylist())
            record.counts.documents_in += sum(found.values())
            for language in sorted(code for code in found if code):
                if self.settings.languages is None or language in self.settings.languages:
                    place = [unit.index, piece.path, piece.start, piece.end]
                    record.emitted.append((language, place))
        record.counts.documents_out = record.counts.documents_in
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        options = self.settings.model_dump(include=set(LanguageModelSettings.model_fields))
        settings = LanguageModelSettings(**options)
        record = Record(key)
        # Beside the output, where there is room for an ARPA file and leftovers are swept up.
        scratch = None if files.is_remote(self.step.output) else self.scratch()
        with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{key}-") as folder:
            try:
                info = train_language_model(
                    _texts(sorted(values), key), key, Path(folder), settings
                )
            except TrainingError as error:
                raise RuntimeError(f"{self.step.name}: {key}: {error}") from error
            if isinstance(info, TooLittleText):
                record.extra = {
                    key: {"model": False, "bytes": info.bytes, "documents": info.documents_seen},
                    "note": f"{key}: no model, {info.bytes:,} bytes of normalised text are less"
                    f" than min_bytes {info.min_bytes:,}",
                }
                return record
            for path in model_paths(Path(folder), key):
                target = files.join(self.step.output, path.name)
                with path.open("rb") as source, files.atomic_writer(target) as out:
                    while block := source.read(1 << 20):
                        out.write(block)
                record.files.append(out.digest.entry(path.name))
        record.extra = {
            key: {"model": True, **info.as_dict()},
            "note": f"{key}: {info.vocabulary:,} of {info.vocabulary_wanted:,} pieces,"
            f" {info.tokens:,} tokens of {info.documents:,} documents",
        }
        return record

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        trained = [r for r in records if "note" in r.extra]
        languages = {k: v for r in trained for k, v in r.extra.items() if k != "note"}
        notes = [r.extra["note"] for r in trained]
        return [f for r in records for f in r.files], {"languages": languages, "notes": notes}


def _batches(piece: Piece, columns: Sequence[str]) -> Iterator[Any]:
    groups = piece.row_groups
    return read_batches(piece.path, columns, groups)


def _texts(places: Sequence[Any], language: str) -> Iterator[str]:
    for _, path, start, end in places:
        for batch in _batches(Piece(path, start, end), ["text", "language"]):
            mine = batch.filter(pc.equal(batch.column("language"), language))
            yield from mine.column("text").to_pylist()
