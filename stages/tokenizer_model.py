"""The tokenizer of this corpus: a deterministic sample of its documents, then SentencePiece BPE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from stages.documents import TableFile, part_facts, read_batches
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Record, ShuffleStage
from stages.engine.units import WorkUnit
from tokenizer.encode import Encoder
from tokenizer.sample import SampleRule, plan_rates
from tokenizer.train import TokenizerSettings, train_tokenizer

MODEL_FILE = "tokenizer.model"
_VERIFY_CHARS = 50_000
_SAMPLE = pa.schema([pa.field("text", pa.large_string(), nullable=False)])


class TokenizerModelSettings(TokenizerSettings):
    proportions: dict[str, float] | None = Field(
        None, description="share of each source in the sample; null: as much of each as there is"
    )
    budget_bytes: int = Field(
        2_000_000_000,
        gt=0,
        description="UTF-8 bytes of text in the sample. The paper does not say; LLaMA's model file"
        " names 200 million lines. SentencePiece holds the sample in memory",
    )
    seed: int = Field(0, description="another seed draws another sample")
    verify_documents: int = Field(
        20,
        ge=1,
        description="documents of each unit's sample, at most, on which the fast encoder is"
        " compared with SentencePiece",
    )
    verify_share: float = Field(
        0.02,
        ge=0,
        le=1,
        description="share of the sample that is compared so, at most, but one document of each"
        " unit; at 2 GB some 40 MB. `tokens` compares again, on what it encodes",
    )


class TokenizerModel(ShuffleStage[TokenizerModelSettings]):
    name = "tokenizer"
    summary = "train the tokenizer (SentencePiece BPE, LLaMA's settings) on a sample by proportion"
    Settings = TokenizerModelSettings
    produces = "model"
    final: ClassVar[bool] = False

    def units(self) -> list[WorkUnit]:
        """Units with the sampling rate of their source."""
        facts = {p: part_facts(p) for _, paths in self.documents("input") for p in paths}
        sizes: dict[str, int] = {}
        for fact in facts.values():
            if fact.source is not None:
                sizes[fact.source] = sizes.get(fact.source, 0) + fact.text_bytes
        if not sizes:
            raise InputError(f"{self.step.name}: there is no text to train a tokenizer on")
        wanted = self.settings.proportions or {s: float(n) for s, n in sizes.items()}
        missing = sorted(set(sizes) - set(wanted))
        if missing:
            raise InputError(f"{self.step.name}: no proportion for source {missing[0]}")
        plan = plan_rates({s: sizes.get(s, 0) for s in wanted}, wanted, self.settings.budget_bytes)
        units = []
        for unit in super().units():
            source = facts[unit.pieces[0].path].source
            rate = plan[source].rate if source is not None else 0.0
            units.append(replace(unit, extra={"rate": rate, "source": source}))
        return units

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        rule = SampleRule(unit.extra["rate"], self.settings.seed)
        record = Record(unit.name)
        counts = record.counts
        path = self.scratch(f"sample-{unit.name}.parquet")
        with TableFile(path, _SAMPLE) as out:
            for piece in unit.pieces:
                groups = piece.row_groups
                for batch in read_batches(piece.path, ["id", "text"], groups):
                    keep = pa.array([rule.keep(i) for i in batch.column("id").to_pylist()])
                    counts.documents_in += batch.num_rows
                    chosen = batch.filter(keep).select(["text"])
                    out.write(chosen.cast(_SAMPLE))
        counts.documents_out = counts.documents_in
        counts.other.update({f"sampled_documents_{unit.extra['source']}": out.rows})
        record.emitted = [("train", [unit.index, path])]
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        paths = [path for _, path in sorted(values)]
        target = files.join(self.step.output, MODEL_FILE)
        options = self.settings.model_dump(include=set(TokenizerSettings.model_fields))
        try:
            info = train_tokenizer(_texts(paths), target, TokenizerSettings(**options))
        except ValueError as error:
            raise RuntimeError(f"{self.step.name}: {error}") from error
        encoder = Encoder(target)
        verified = encoder.verify_exact(self._to_verify(paths, info.trained_bytes))
        record = Record(key)
        record.files = [files.entry(self.step.output, MODEL_FILE, info.vocab_size)]
        record.extra = {
            "tokenizer": info.model_dump(mode="json", exclude={"path"}),
            "encoder": {"backend": encoder.backend, "reason": encoder.reason},
            "verified_on": {"documents": verified.texts, "tokens": verified.tokens},
            "notes": [
                f"{info.vocab_size} pieces from {info.trained_bytes:,} bytes of text",
                *info.notes,
                f"encoder {encoder.backend}: {encoder.reason}",
            ],
        }
        return record

    def _to_verify(self, paths: Sequence[str], sampled_bytes: int) -> Iterator[str]:
        """Beginnings of documents of every unit, and so of every source."""
        each = self.settings.verify_share * sampled_bytes / len(paths)
        for path in paths:
            left = each
            for text in islice(_texts([path]), self.settings.verify_documents):
                yield text[:_VERIFY_CHARS]
                left -= len(text[:_VERIFY_CHARS])
                if left <= 0:
                    break

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        (trained,) = [r for r in records if r.files]
        return trained.files, trained.extra


def _texts(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        for batch in read_batches(path, ["text"]):
            yield from batch.column("text").to_pylist()
