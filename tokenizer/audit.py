"""Checks token shards against their manifest: what went wrong in other projects' corpora.

One separator after each document and none inside (a doubled one went unnoticed for 1.5T tokens in
one public training run), ids below the vocabulary (uint16 wraps silently), payload as hashed, all
sidecars in step with it (`tokenizer.audit_sidecars`), every document in the split that its number
names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tokenizer import audit_sidecars
from tokenizer.audit_sidecars import Finding, NamesOf
from tokenizer.files import join
from tokenizer.manifest import MAX_VOCAB_SIZE, Shard, TokensManifest
from tokenizer.model import BYTE, CONTROL, UNKNOWN, ModelFile
from tokenizer.shards import DTYPE, ShardReader

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class ShardAudit:
    """What a look through one shard found; `problems` is empty if all is as it should be.

    Attributes:
        unknown, byte_pieces: tokens that are the unknown piece, and bytes of characters that the
            vocabulary lacks; 0 if the kinds of ids were not given.
        text_bytes: UTF-8 bytes of the documents' text, by the document sidecar; None without.
        ids: 64-bit hash of each document's id, shape (documents,), in payload order.
        findings: what is wrong, with the file's ending and a byte offset where one is known.
    """

    shard: Shard
    tokens: int = 0
    separators: int = 0
    highest_id: int = -1
    sha256: str = ""
    unknown: int = 0
    byte_pieces: int = 0
    text_bytes: int | None = None
    ids: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    findings: tuple[Finding, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(finding.what for finding in self.findings)


@dataclass(frozen=True)
class IdKinds:
    """Ids by kind: the unknown piece, control pieces, and bytes that stand for parts of characters
    which the vocabulary lacks. Bytes below 128 are not among these: LLaMA's tokenizer has no other
    piece for a newline than its byte."""

    unknown: tuple[int, ...] = ()
    control: tuple[int, ...] = ()
    byte_pieces: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: ModelFile) -> IdKinds:
        def ids(kind: int) -> list[int]:
            return [i for i, found in enumerate(model.types) if found == kind]

        lacking = [i for i in ids(BYTE) if int(model.pieces[i][1:-1], 16) >= 0x80]
        return cls(tuple(ids(UNKNOWN)), tuple(ids(CONTROL)), tuple(lacking))


NO_KINDS = IdKinds()


def audit(
    manifest: TokensManifest,
    root: str | os.PathLike[str],
    cache_dir: str | os.PathLike[str] | None = None,
) -> Iterator[ShardAudit]:
    """Reads every shard through, in the manifest's order. Bounded memory, no exceptions for data
    that is wrong: it is reported.
    """
    for shard in manifest.shards:
        reader = ShardReader(join(root, shard.path), cache_dir=cache_dir)
        yield audit_or_report(reader, shard, manifest)


def audit_or_report(
    reader: ShardReader,
    shard: Shard,
    manifest: TokensManifest,
    *,
    kinds: IdKinds = NO_KINDS,
    names_of: NamesOf | None = None,
    every: int = 1,
    observe: Callable[[memoryview], None] | None = None,
) -> ShardAudit:
    """`audit_shard`; what cannot be read is a finding, too."""
    try:
        return audit_shard(
            reader,
            shard,
            manifest,
            kinds=kinds,
            names_of=names_of,
            every=every,
            observe=observe,
        )
    except (ValueError, OSError) as error:
        return ShardAudit(shard, findings=(Finding(".bin", str(error).splitlines()[0]),))
    except Exception as error:  # noqa: BLE001 - damage can make any reader fail in any way
        what = f"cannot be looked through: {type(error).__name__}: {error}".splitlines()[0]
        return ShardAudit(shard, findings=(Finding(".bin", what),))


def audit_shard(
    reader: ShardReader,
    shard: Shard,
    manifest: TokensManifest,
    *,
    kinds: IdKinds = NO_KINDS,
    names_of: NamesOf | None = None,
    every: int = 1,
    observe: Callable[[memoryview], None] | None = None,
) -> ShardAudit:
    """Reads one shard through; ValueError if it or a sidecar is missing or malformed.

    Args:
        kinds: of the tokenizer's ids, to count unknown and byte pieces; control pieces inside of
            documents are looked for, too, then.
        names_of: what documents can be looked up by besides their id, from origin and URL.
        every: names are looked at of every so many documents (URLs take a while to normalise).
        observe: is given the payload's bytes, block by block, so that they are read only once.
    """
    digest = hashlib.sha256()
    counts = np.zeros(MAX_VOCAB_SIZE, dtype=np.int64)
    findings: list[Finding] = []
    payload = reader.memmap
    allowed = _allowed(manifest, kinds)
    for start in range(0, payload.size, _BLOCK):
        block = payload[start : start + _BLOCK]
        content = memoryview(block.tobytes())
        digest.update(content)
        if observe is not None:
            observe(content)
        here = np.bincount(block, minlength=MAX_VOCAB_SIZE)
        if not len(findings) and here[~allowed].any():
            at = int(np.flatnonzero(~allowed[block])[0])
            findings.append(_strange(int(block[at]), start + at, manifest))
        counts += here
    present = np.flatnonzero(counts)
    separators = int(counts[manifest.separator.id])
    if payload.size != shard.tokens:
        what = f"{payload.size} tokens, the manifest says {shard.tokens}"
        findings.insert(0, Finding(".bin", what))
    if digest.hexdigest() != shard.sha256:
        findings.insert(0, Finding(".bin", "the sha256 is not the manifest's"))
    if separators != shard.documents:
        findings.append(Finding(".bin", f"{separators} separators, {shard.documents} documents"))
    look = audit_sidecars.look(reader, shard, manifest, names_of, every)
    return ShardAudit(
        shard,
        tokens=payload.size,
        separators=separators,
        highest_id=int(present[-1]) if present.size else -1,
        sha256=digest.hexdigest(),
        unknown=int(counts[list(kinds.unknown)].sum()),
        byte_pieces=int(counts[list(kinds.byte_pieces)].sum()),
        text_bytes=look.text_bytes,
        ids=look.ids,
        findings=(*findings, *look.findings),
    )


def _allowed(manifest: TokensManifest, kinds: IdKinds) -> npt.NDArray[np.bool_]:
    """Which ids may occur: all of the vocabulary but control and unknown pieces, which stand for
    nothing in a text, and the separator."""
    allowed = np.arange(MAX_VOCAB_SIZE) < manifest.vocab_size
    allowed[[*kinds.control, *kinds.unknown]] = False
    allowed[manifest.separator.id] = True
    return allowed


def _strange(number: int, token: int, manifest: TokensManifest) -> Finding:
    if number >= manifest.vocab_size:
        what = f"id {number} is outside the vocabulary of {manifest.vocab_size}"
    else:
        what = f"id {number}, a control or the unknown piece, is inside a document"
    return Finding(".bin", f"{what} (token {token})", token * DTYPE.itemsize)
