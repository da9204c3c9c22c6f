"""Token shards without some documents: those that hold one are written anew, others not touched.

What stays keeps its order, and the files are those that a run without the documents would have
written: the same writer makes them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pipeline.purge_journal import Staging
from stages.document_names import names_of
from stages.engine import files
from stages.engine.step import InputError
from stages.purge_list import Hashed, PurgeList
from stages.tokenizer_model import MODEL_FILE
from tokenizer import manifest as token_manifest
from tokenizer.dialects import Dialect
from tokenizer.encode import Encoder
from tokenizer.manifest import Shard, TokensManifest
from tokenizer.shards import DOCUMENTS_SCHEMA, DocumentSpan, ShardReader, ShardWriter

_ROWS = 4096


@dataclass
class ShardChanges:
    """What becomes of the shards.

    Attributes:
        manifest: of all shards, changed or not.
        files: new entries for the step's manifest, by path.
        tokens: per document its token sequence without separator, hashed.
        text_bytes: of the documents that go.
        shards: paths of the shards that are written anew, with the documents that go of each.
    """

    manifest: TokensManifest
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, Hashed] = field(default_factory=dict)
    documents: int = 0
    text_bytes: int = 0
    shards: dict[str, list[str]] = field(default_factory=dict)


def find(folder: str, manifest: TokensManifest, ids: Collection[str]) -> dict[str, list[str]]:
    """Which documents go of which shard, by its path. Raises ValueError for a damaged sidecar."""
    found = {}
    for shard in manifest.shards:
        mine = [s.id for s in _spans(folder, shard, ids)]
        if mine:
            found[shard.path] = mine
    return found


def _spans(folder: str, shard: Shard, ids: Collection[str]) -> list[DocumentSpan]:
    reader = ShardReader(files.join(folder, shard.path))
    return [span for span in reader.find(ids) if span.id in ids]


def rewrite(
    work: str, folder: str, ids: Collection[str], purge: PurgeList, staging: Staging
) -> ShardChanges:
    """Stages the shards in `folder` that hold one of `ids`, and their manifest.

    Raises InputError for shards that cannot be rewritten, ValueError for damaged ones.
    """
    manifest = TokensManifest.load(folder)
    changes = ShardChanges(manifest)
    encoder = Encoder(files.join(folder, MODEL_FILE), "sentencepiece")
    new: list[Shard] = []
    for shard in manifest.shards:
        spans = _spans(folder, shard, ids)
        if not spans:
            new.append(shard)
            continue
        if shard.mask_sha256 is not None:
            raise InputError(f"{shard.path} has a mask of labels; write such shards anew instead")
        changes.shards[shard.path] = [span.id for span in spans]
        new.append(_one(work, folder, shard, ids, purge, staging, encoder, changes))
    if not changes.shards:
        return changes
    changes.manifest = token_manifest.build(
        tokenizer_sha256=manifest.tokenizer_sha256,
        canary=manifest.canary,
        vocab_size=manifest.vocab_size,
        # As they were, also where they came from the tokens there were: else the blocks of the
        # data order, and with them the place of every sequence of every source, would change.
        proportions={name: s.proportion for name, s in manifest.sources.items()},
        shards=new,
        stated_total_tokens=manifest.stated_total_tokens,
        separator=manifest.separator,
        held_out=manifest.held_out,
    )
    name = token_manifest.FILE_NAME
    target = staging.place(f"{files.basename(folder)}/{name}")
    files.write_bytes(target, changes.manifest.to_json())
    changes.files[name] = files.digest_file(target).entry(name)
    return changes


def _one(
    work: str,
    folder: str,
    shard: Shard,
    ids: Collection[str],
    purge: PurgeList,
    staging: Staging,
    encoder: Encoder,
    changes: ShardChanges,
) -> Shard:
    reader = ShardReader(files.join(folder, shard.path))
    relative = f"{files.basename(folder)}/{shard.path}"
    staged = staging.place(relative)
    writer = ShardWriter(
        staged.removesuffix(".bin"),
        vocab_size=encoder.vocab_size,
        separator_id=encoder.eos_id,
        forbidden_ids=(encoder.bos_id, encoder.unk_id),
        dialects=_dialects(files.join(folder, shard.path)),
    )
    try:
        table = reader.documents
        if table.column_names != DOCUMENTS_SCHEMA.names:
            raise InputError(f"{shard.path} was written by an older version; run `corpus run` once")
        for batch in table.to_batches(max_chunksize=_ROWS):
            for row in batch.to_pylist():
                tokens = reader.tokens(row["first_token"], row["length"] - 1)
                if row["id"] in ids:
                    changes.tokens[row["id"]] = purge.of_tokens(tokens)
                    changes.documents += 1
                    changes.text_bytes += row["text_bytes"]
                    continue
                writer.add(
                    row["id"],
                    tokens,
                    row["text_bytes"],
                    origin=row["origin"],
                    url=row["url"],
                    names=names_of(row["origin"], row["url"]),
                    held_out=row["held_out"],
                )
        info = writer.close()
    except BaseException:
        writer.discard()
        raise
    prefix, target = shard.path.removesuffix(".bin"), relative.removesuffix(".bin")
    for path in info.files:
        ending = path.removeprefix(staged.removesuffix(".bin"))
        if ending != ".bin":
            staging.beside(staged, f"{target}{ending}")
        entry = files.digest_file(path).entry(f"{prefix}{ending}", info.documents)
        changes.files[prefix + ending] = entry
    return info.entry(shard.path, source=shard.source, split=shard.split)


def _dialects(path: str) -> list[Dialect]:
    prefix = path.removesuffix(".bin")
    known: list[tuple[Dialect, str]] = [("datatrove", ".ds.index"), ("olmo", ".csv.gz")]
    return [dialect for dialect, ending in known if files.exists(prefix + ending)]
