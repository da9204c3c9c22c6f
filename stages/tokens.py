"""Documents to token shards (docs/token_shards.md), in a global order that only ids decide.

Units encode their documents and sort them by a keyed hash of their id, which also names the shard;
one reducer per shard merges what the units have for it. So neighbours in a shard come from all over
the source, a shard's documents do not depend on how the input was cut, and tokens travel through
files, never through the shuffle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from stages.document_names import names_of
from stages.documents import PartWriter, part_facts, read_batches
from stages.engine import files
from stages.engine.models import load_once
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Port, Record, ShuffleStage
from stages.engine.stretches import packed, read, size_of, stretch, unpacked
from stages.engine.units import WorkUnit
from stages.held_out import CLUSTER, HeldOutRule
from stages.outcomes import Bad, Reject
from stages.tokenizer_model import MODEL_FILE
from tokenizer import manifest as token_manifest
from tokenizer import paper
from tokenizer.encode import Encoder
from tokenizer.manifest import HeldOut, HeldOutBy, Separator, Shard, Split
from tokenizer.model import ModelFile
from tokenizer.sample import hash64
from tokenizer.shards import ShardInfo, ShardWriter

_ID_BYTES = "<u2"
# Bytes of text to a token, for planning the number of shards (Table 1 implies 2.8 to 4.0).
_BYTES_PER_TOKEN = 3.5
# SentencePiece takes fifty times a text's size in memory, so of long ones it sees the beginning.
_VERIFY_CHARS = 50_000
_INDEX = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("origin", pa.string()),
        pa.field("url", pa.string()),
        pa.field("held_out", pa.uint64(), nullable=False),
    ]
)
# Rows of the index that are Python objects at a time while a shard is written.
_ROWS = 4096
_COLUMNS = ("id", "text", "origin", "url", CLUSTER)


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
        description="documents held out, about; the paper holds out none that it tells of, but a"
        " run wants a loss on unseen text",
    )
    held_out_by: HeldOutBy = Field(
        "cluster",
        description="what is held out as a whole. cluster: the documents that the column `cluster`"
        " names alike; those without one by the hash of their normalised text, as with text. So no"
        " copy of a held-out document is trained on, whatever source it came by, which would make"
        " the loss on unseen text that of seen text. id: each document by itself",
    )
    seed: int = Field(0, description="another seed holds out other documents")
    shard_tokens: int = Field(
        1 << 28,
        ge=1,
        description="tokens in a shard, about; half a gigabyte. A shard is merged in memory",
    )
    dialects: tuple[Literal["datatrove", "olmo"], ...] = Field(
        (), description="sidecars for further readers; Megatron's .idx is always written"
    )
    verify_documents: int = Field(
        20,
        ge=1,
        description="documents of each unit, at most, on which the fast encoder is compared with"
        " SentencePiece; a difference makes the unit use SentencePiece",
    )
    verify_share: float = Field(
        0.005,
        ge=0,
        le=1,
        description="share of a unit's text that is compared so, at most, but one document at"
        " least. SentencePiece is several times slower, and units can be small",
    )


@dataclass
class _Bucket:
    """Encoded documents of one unit for one shard."""

    rows: list[tuple[int, str, int, int, str, str | None, int]] = field(default_factory=list)
    ids: list[npt.NDArray[Any]] = field(default_factory=list)

    def add(
        self,
        key: int,
        document: str,
        ids: npt.NDArray[Any],
        text_bytes: int,
        origin: str,
        url: str | None,
        held_out: int,
    ) -> None:
        self.rows.append((key, document, len(ids), text_bytes, origin, url, held_out))
        self.ids.append(ids)

    def in_order(self) -> list[int]:
        """Places of the documents by key, then id."""
        return sorted(range(len(self.rows)), key=lambda i: self.rows[i][:2])


class Tokens(ShuffleStage[TokensSettings]):
    name = "tokens"
    summary = "encode documents and write token shards in a global order, with their manifest"
    Settings = TokensSettings
    produces = "tokens"
    final: ClassVar[bool] = False
    ports = {
        "input": Port("documents", "documents: step folders or Parquet files"),
        "tokenizer": Port("folder", "a tokenizer step's folder, or a SentencePiece model file"),
    }
    reasons = {"no_tokens": "the text is empty"}

    def check(self) -> None:
        if len(self.step.inputs["tokenizer"]) != 1:
            raise InputError(f"{self.step.name}: one tokenizer, please")
        if files.exists(path := self.model_path()):
            try:
                ModelFile.load(path)
            except ValueError as error:
                raise InputError(f"{self.step.name}: {error}") from error

    def model_path(self) -> str:
        where = self.step.inputs["tokenizer"][0]
        return files.join(where, MODEL_FILE) if files.is_dir(where) else where

    def models(self) -> dict[str, str]:
        path = self.model_path()
        return {"tokenizer": files.sha256_of(path)} if files.exists(path) else {}

    def units(self) -> list[WorkUnit]:
        """Units that know their source and the number of its shards."""
        units = super().units()
        facts = {p: part_facts(p) for p in {u.pieces[0].path for u in units}}
        text: Counter[str] = Counter()
        for fact in facts.values():
            if fact.source is not None:
                text[fact.source] += fact.text_bytes
        if not text:
            raise InputError(f"{self.step.name}: there is no text to write tokens of")
        if self.settings.proportions is not None:
            unknown = sorted(set(text) - set(self.settings.proportions))
            if unknown:
                raise InputError(f"{self.step.name}: no proportion for source {unknown[0]}")
        extras: dict[str | None, dict[str, Any]] = {None: {"source": None}}
        for source, size in text.items():
            tokens = size / _BYTES_PER_TOKEN
            share = self.settings.valid_share
            extras[source] = {
                "source": source,
                "train": max(1, round(tokens * (1 - share) / self.settings.shard_tokens)),
                "valid": max(1, round(tokens * share / self.settings.shard_tokens)),
            }
        return [replace(u, extra=extras[facts[u.pieces[0].path].source]) for u in units]

    def keys_each(self, units: Sequence[WorkUnit]) -> int:
        return max(u.extra.get("train", 0) + u.extra.get("valid", 0) for u in units)

    def warm(self) -> None:
        path = self.model_path()
        load_once(("tokenizer", path), lambda: Encoder(path)).encode("a b")
        HeldOutRule("text", self.settings.seed).number("", "")

    # -- encoding ---------------------------------------------------------------------------------

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        if unit.extra["source"] is None:
            return record
        path = self.model_path()
        # A copy, since an encoder that finds a difference falls back for good: what one unit finds
        # must not depend on which units ran in this process before it.
        encoder = copy(load_once(("tokenizer", path), lambda: Encoder(path)))
        buckets: dict[tuple[Split, int], _Bucket] = {}
        with PartWriter(self.step.output, unit.part, self.step.name, only_leaving=True) as out:
            for piece in unit.pieces:
                groups = piece.row_groups
                for batch in read_batches(piece.path, _COLUMNS, groups):
                    if not out.counts.documents_in:
                        encoder.verify_exact(self._to_verify(batch, unit.size))
                    self._encode(batch, encoder, unit, buckets, out, piece.path)
                    reporter.advanced(
                        "emit", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                    )
        record.counts, record.files = out.counts, list(out.files)
        record.emitted = self._write_buckets(unit, buckets)
        record.extra = {"encoder": encoder.backend, "why": encoder.reason}
        return record

    def _to_verify(self, batch: pa.RecordBatch, unit_bytes: int) -> list[str]:
        """The beginnings of the first documents of a unit."""
        left = self.settings.verify_share * unit_bytes
        chosen: list[str] = []
        for text in batch.column("text").slice(0, self.settings.verify_documents).to_pylist():
            chosen.append(text[:_VERIFY_CHARS])
            left -= len(chosen[-1])
            if left <= 0:
                break
        return chosen

    def _encode(
        self,
        batch: pa.RecordBatch,
        encoder: Encoder,
        unit: WorkUnit,
        buckets: dict[tuple[Split, int], _Bucket],
        out: PartWriter,
        place: str,
    ) -> None:
        s = self.settings
        held_out, how = self._held_out(), HeldOutRule(s.held_out_by, s.seed)
        control = np.zeros(encoder.vocab_size, dtype=np.bool_)
        control[[encoder.bos_id, encoder.eos_id, encoder.unk_id]] = True
        columns = [
            batch.column(name).to_pylist()
            if name in batch.schema.names
            else [None] * batch.num_rows
            for name in _COLUMNS
        ]
        sizes = pc.binary_length(batch.column("text")).to_pylist()
        empty: dict[int, Reject] = {}
        for row, (document, text, origin, url, cluster) in enumerate(zip(*columns, strict=True)):
            size = sizes[row]
            out.counts.documents_in += 1
            out.counts.text_bytes_in += size
            if not text:
                empty[row] = Reject("no_tokens")
                continue
            try:
                tokens = encoder.encode(text)
            except ValueError as error:
                out.leave(Bad(place, document, f"encode: {error}"))
                continue
            if control[tokens].any():
                out.leave(Bad(place, document, "encode: a control id came out of plain text"))
                continue
            number = how.number(document, text, cluster)
            split = held_out.split_of(number)
            if cluster is not None:
                out.counts.other["clustered"] += 1
            key = order_key(self.settings.seed, document)
            shard = shard_of(key, unit.extra[split])
            buckets.setdefault((split, shard), _Bucket()).add(
                key, document, tokens, size, origin, url, number
            )
            out.counts.documents_out += 1
            out.counts.text_bytes_out += size
        out.reject(batch, empty)

    def _held_out(self) -> HeldOut:
        s = self.settings
        return HeldOut(by=s.held_out_by, share=s.valid_share, seed=s.seed)

    def _write_buckets(
        self, unit: WorkUnit, buckets: dict[tuple[Split, int], _Bucket]
    ) -> list[Any]:
        """One file a unit, for each bucket its tokens and its index; a pair (shard, both stretches)
        per bucket."""
        emitted: list[Any] = []
        path = self.scratch(f"tokens-{unit.name}.bin")
        with files.plain_writer(path) as out:
            at = 0
            for (split, shard), bucket in sorted(buckets.items()):
                order = bucket.in_order()
                columns = zip(*(bucket.rows[i] for i in order), strict=True)
                index = pa.Table.from_arrays(
                    [pa.array(c, f.type) for c, f in zip(columns, _INDEX, strict=True)],
                    schema=_INDEX,
                )
                ids = np.concatenate([bucket.ids[i] for i in order]).astype(_ID_BYTES)
                told: list[Any] = [unit.index]
                for data in (ids.data.cast("B"), packed(index, "zstd")):
                    out.write(data)
                    told.append(stretch(path, at, len(data)))
                    at += len(data)
                key = f"{unit.extra['source']}.{split}.{shard:05d}-of-{unit.extra[split]:05d}"
                emitted.append((key, told))
        return emitted

    # -- merging ----------------------------------------------------------------------------------

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        source, split, number = key.rsplit(".", 2)
        # By number of the unit: as texts, in which values come sorted, 10 is before 9.
        ordered = sorted(values, key=lambda value: value[0])
        refs = [ref for _, *refs in ordered for ref in refs]
        stream = np.empty(sum(size_of(ref) for ref in refs[::2]) // 2, dtype=_ID_BYTES)
        indices = []
        at = 0
        for i, data in enumerate(read(refs)):
            if i % 2:
                indices.append(unpacked(data))
            else:
                ids = np.frombuffer(data, dtype=_ID_BYTES)
                stream[at : at + len(ids)] = ids
                at += len(ids)
        table = pa.concat_tables(indices)
        del indices
        lengths = table.column("tokens").to_numpy()
        starts = np.concatenate([[0], np.cumsum(lengths)])
        if starts[-1] != len(stream):
            raise RuntimeError(f"{key}: {len(stream)} tokens, the index tells of {starts[-1]}")
        encoder = load_once(("tokenizer", self.model_path()), lambda: Encoder(self.model_path()))
        folder = files.join(self.step.output, source)
        files.make_dirs(folder)
        writer = ShardWriter(
            files.join(folder, f"{split}-{number}"),
            vocab_size=encoder.vocab_size,
            separator_id=encoder.eos_id,
            forbidden_ids=(encoder.bos_id, encoder.unk_id),
            dialects=self.settings.dialects,
        )
        try:
            order = _order(table)
            for first in range(0, len(order), _ROWS):
                here = order[first : first + _ROWS]
                rows = table.take(here).to_pydict()
                writer.add_many(
                    rows["id"],
                    [stream[starts[i] : starts[i + 1]] for i in here.tolist()],
                    rows["text_bytes"],
                    origins=rows["origin"],
                    urls=rows["url"],
                    names=list(map(names_of, rows["origin"], rows["url"])),
                    held_out=rows["held_out"],
                )
            info = writer.close()
        except BaseException:
            writer.discard()
            raise
        chosen: Split = "valid" if split == "valid" else "train"
        entry = info.entry(f"{source}/{files.basename(info.path)}", source=source, split=chosen)
        record = Record(key, files=self._rows(info, source))
        record.extra = {"shard": entry.model_dump(mode="json")}
        # A document's shard follows from its id, so equal ids always meet here.
        doubled = len(table) - pc.count_distinct(table.column("id")).as_py()
        record.counts.other.update({f"tokens_{split}": info.tokens, "doubled_ids": doubled})
        return record

    def _rows(self, info: ShardInfo, source: str) -> list[dict[str, Any]]:
        names = [f"{source}/{files.basename(path)}" for path in info.files]
        return [files.entry(self.step.output, name, info.documents) for name in names]

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        encoder = Encoder(self.model_path(), "sentencepiece")
        shards = [Shard.model_validate(r.extra["shard"]) for r in records if "shard" in r.extra]
        encoded = sum(r.counts.documents_out for r in records)
        written = sum(s.documents for s in shards)
        if encoded != written:
            raise RuntimeError(f"{encoded} documents were encoded, {written} are in the shards")
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
            held_out=self._held_out(),
        )
        listed = [f for r in records for f in r.files]
        for name, data in (
            (token_manifest.FILE_NAME, built.to_json()),
            (MODEL_FILE, encoder.model.content),
        ):
            files.write_bytes(files.join(self.step.output, name), data)
            listed.append(files.entry(self.step.output, name))
        units = [r.extra for r in records if "encoder" in r.extra]
        backends = Counter(u["encoder"] for u in units)
        notes = [f"encoder {name} for {n} units" for name, n in sorted(backends.items())]
        notes.append(
            self._told_of_split(encoded, sum(r.counts.other["clustered"] for r in records))
        )
        doubled = sum(r.counts.other["doubled_ids"] for r in records)
        if doubled:
            notes.append(f"{doubled} documents have the id of another one")
        notes += [
            f"SentencePiece instead of the fast encoder: {why}"
            for why in sorted({u["why"] for u in units if u["encoder"] == "sentencepiece"})
        ]
        return listed, {"notes": notes}

    def _told_of_split(self, documents: int, clustered: int) -> str:
        by = self.settings.held_out_by
        if by != "cluster":
            return f"held out by {by}"
        return (
            f"held out by cluster: {clustered:,} documents by the column {CLUSTER!r},"
            f" {documents - clustered:,} by their normalised text"
        )


def shard_of(key: int, shards: int) -> int:
    """Which of a split's shards holds a document, by the 64-bit hash of its id (`order_key`)."""
    return key * shards >> 64


def order_key(seed: int, document: str) -> int:
    """The 64-bit hash of a document's id that decides its shard and its place there."""
    return hash64(seed, document, "order")


def _order(index: pa.Table) -> npt.NDArray[np.int64]:
    """Places by key; among equal keys, which only equal ids are likely to have, by id."""
    keys = index.column("key").to_numpy()
    order = np.argsort(keys, kind="stable")
    if len(np.unique(keys)) < len(keys):
        ids = index.column("id").to_pylist()
        order = np.array(sorted(order.tolist(), key=lambda i: (keys[i], ids[i])), dtype=np.int64)
    return order
