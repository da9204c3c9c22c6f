"""Documents to token shards (docs/token_shards.md), one pair of shards per work unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from stages.documents import PartWriter, part_facts, read_batches, rejected_row
from stages.engine import files
from stages.engine.models import load_once
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Port, Record, Stage
from stages.engine.units import WorkUnit
from stages.outcomes import Bad, Reject
from stages.tokenizer_model import MODEL_FILE
from tokenizer import manifest as token_manifest
from tokenizer import paper
from tokenizer.encode import Encoder
from tokenizer.manifest import Separator, Shard
from tokenizer.sample import SampleRule
from tokenizer.shards import ShardInfo, ShardWriter

_SPLITS: tuple[Literal["train", "valid"], ...] = ("train", "valid")


class TokensSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    proportions: dict[str, float] | None = Field(
        None, description="share of training tokens per source; null: as much of each as there is"
    )
    total_tokens: int = Field(
        paper.TOTAL_TOKENS, gt=0, description="length of the run that epochs are stated for"
    )
    valid_share: float = Field(
        0.005,
        ge=0,
        lt=1,
        description="documents held out, by hash of their id; the paper holds out none that it"
        " tells of, but a run wants a loss on unseen text",
    )
    seed: int = Field(0, description="another seed holds out other documents")
    dialects: tuple[Literal["datatrove", "olmo"], ...] = Field(
        (), description="sidecars for further readers; Megatron's .idx is always written"
    )
    verify_documents: int = Field(
        20,
        ge=1,
        description="documents of each unit on which the fast encoder is compared with"
        " SentencePiece; a difference makes the unit use SentencePiece",
    )


class Tokens(Stage[TokensSettings]):
    name = "tokens"
    summary = "encode documents and write token shards with their manifest"
    Settings = TokensSettings
    produces = "tokens"
    ports = {
        "input": Port("documents", "documents: step folders or Parquet files"),
        "tokenizer": Port("folder", "a tokenizer step's folder, or a SentencePiece model file"),
    }
    reasons = {"no_tokens": "the text is empty"}

    def check(self) -> None:
        if len(self.step.inputs["tokenizer"]) != 1:
            raise InputError(f"{self.step.name}: one tokenizer, please")

    def model_path(self) -> str:
        where = self.step.inputs["tokenizer"][0]
        return files.join(where, MODEL_FILE) if files.is_dir(where) else where

    def models(self) -> dict[str, str]:
        path = self.model_path()
        return {"tokenizer": files.sha256_of(path)} if files.exists(path) else {}

    def units(self) -> list[WorkUnit]:
        """Units that know their source and their number in it; parts without documents fall out."""
        units = super().units()
        sources = {u.pieces[0].path: part_facts(u.pieces[0].path).source for u in units}
        of = Counter(sources[u.pieces[0].path] for u in units)
        number: Counter[str | None] = Counter()
        out = []
        for unit in units:
            source = sources[unit.pieces[0].path]
            extra = {"source": source, "shard": number[source], "of": of[source]}
            number[source] += 1
            out.append(replace(unit, extra=extra))
        if self.settings.proportions is not None:
            unknown = sorted({s for s in of if s and s not in self.settings.proportions})
            if unknown:
                raise InputError(f"{self.step.name}: no proportion for source {unknown[0]}")
        return out

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        if unit.extra["source"] is None:
            return record
        path = self.model_path()
        # A copy, since an encoder that finds a difference falls back for good: what one unit finds
        # must not depend on which units ran in this process before it.
        encoder = copy(load_once(("tokenizer", path), lambda: Encoder(path)))
        held_out = SampleRule(self.settings.valid_share, self.settings.seed, "valid")
        writers = {split: self._writer(unit, split, encoder) for split in _SPLITS}
        try:
            with PartWriter(self.step.output, unit.part, self.step.name, only_leaving=True) as out:
                for piece in unit.pieces:
                    groups = range(piece.start, piece.end) if piece.end is not None else None
                    for batch in read_batches(piece.path, ["id", "text", "origin", "url"], groups):
                        if not out.counts.documents_in:
                            first = batch.column("text").slice(0, self.settings.verify_documents)
                            encoder.verify_exact(first.to_pylist())
                        self._encode(batch, encoder, held_out, writers, out, piece.path)
                        reporter.advanced(
                            "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                        )
            closed = {split: writer.close() for split, writer in writers.items()}
        except BaseException:
            for writer in writers.values():
                writer.discard()
            raise
        record.counts, record.files = out.counts, list(out.files)
        shards = []
        for split, info in closed.items():
            relative = f"{unit.extra['source']}/{files.basename(info.path)}"
            entry = info.entry(relative, source=unit.extra["source"], split=split)
            shards.append(entry.model_dump(mode="json"))
            record.files += self._rows(info, unit.extra["source"])
        record.counts.other.update(
            tokens_train=closed["train"].tokens, tokens_valid=closed["valid"].tokens
        )
        record.extra = {"shards": shards, "encoder": encoder.backend, "why": encoder.reason}
        return record

    def _encode(
        self,
        batch: pa.RecordBatch,
        encoder: Encoder,
        held_out: SampleRule,
        writers: dict[Literal["train", "valid"], ShardWriter],
        out: PartWriter,
        place: str,
    ) -> None:
        texts, ids = batch.column("text").to_pylist(), batch.column("id").to_pylist()
        for row, (document, text) in enumerate(zip(ids, texts, strict=True)):
            size = len(text.encode())
            out.counts.documents_in += 1
            out.counts.text_bytes_in += size
            if not text:
                out.leave(rejected_row(batch, row, Reject("no_tokens")))
                continue
            try:
                tokens = encoder.encode(text)
                writers["valid" if held_out.keep(document) else "train"].add(document, tokens, size)
            except ValueError as error:
                out.leave(Bad(place, document, f"encode: {error}"))
                continue
            out.counts.documents_out += 1
            out.counts.text_bytes_out += size

    def _writer(
        self, unit: WorkUnit, split: Literal["train", "valid"], encoder: Encoder
    ) -> ShardWriter:
        folder = files.join(self.step.output, unit.extra["source"])
        files.make_dirs(folder)
        return ShardWriter(
            files.join(folder, f"{split}-{unit.extra['shard']:05d}-of-{unit.extra['of']:05d}"),
            vocab_size=encoder.vocab_size,
            separator_id=encoder.eos_id,
            forbidden_ids=(encoder.bos_id, encoder.unk_id),
            dialects=self.settings.dialects,
        )

    def _rows(self, info: ShardInfo, source: str) -> list[dict[str, Any]]:
        return [
            {
                "path": f"{source}/{files.basename(path)}",
                "rows": info.documents,
                "bytes": files.size(path),
                "sha256": info.sha256 if path == info.path else files.sha256_of(path),
            }
            for path in info.files
        ]

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        encoder = Encoder(self.model_path(), "sentencepiece")
        shards = [Shard.model_validate(s) for r in records for s in r.extra.get("shards", [])]
        train = Counter[str]()
        for shard in shards:
            train[shard.source] += shard.tokens if shard.split == "train" else 0
        wanted = self.settings.proportions or dict(train)
        total = sum(wanted.values())
        if not total:
            raise InputError(f"{self.step.name}: there is no text to write tokens of")
        built = token_manifest.build(
            tokenizer_sha256=encoder.model.sha256,
            canary=encoder.canary,
            vocab_size=encoder.vocab_size,
            proportions={s: n / total for s, n in wanted.items()},
            shards=shards,
            stated_total_tokens=self.settings.total_tokens,
            separator=Separator(id=encoder.eos_id),
        )
        listed = [f for r in records for f in r.files]
        for name, data in (
            (token_manifest.FILE_NAME, built.to_json()),
            (MODEL_FILE, encoder.model.content),
        ):
            sha = files.write_bytes(files.join(self.step.output, name), data)
            listed.append({"path": name, "rows": 0, "bytes": len(data), "sha256": sha})
        fallbacks = sorted(
            {r.extra["why"] for r in records if r.extra.get("encoder") == "sentencepiece"}
        )
        backends = Counter(r.extra["encoder"] for r in records if r.extra)
        notes = [f"encoder {name} for {n} units" for name, n in sorted(backends.items())]
        notes += [f"SentencePiece instead of the fast encoder: {why}" for why in fallbacks]
        return listed, {"notes": notes}
