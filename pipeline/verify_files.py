"""Every file of every step against its manifest: there, as long, as written, and no other files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline import seal
from pipeline.seal import Problem
from stages.document_names import names_of
from stages.engine import files, manifest
from stages.engine.digests import Digest
from stages.engine.manifest import Manifest
from stages.engine.step import Step
from stages.tokenizer_model import MODEL_FILE
from tokenizer.audit import IdKinds, ShardAudit, audit_or_report
from tokenizer.encode import Encoder
from tokenizer.manifest import FILE_NAME, Shard, TokensManifest
from tokenizer.shards import ShardReader


@dataclass(frozen=True)
class Checked:
    """What one piece of work found."""

    problems: tuple[Problem, ...]
    audit: ShardAudit | None = None


@dataclass(frozen=True)
class FileTask:
    """Hashes one file of a step's folder again."""

    folder: str
    entry: dict[str, Any]

    @property
    def size(self) -> int:
        return int(self.entry["bytes"])

    def __call__(self) -> Checked:
        return Checked(tuple(seal.file_problem(self.folder, self.entry)))


@dataclass(frozen=True)
class RawTask:
    """Hashes a raw file again whose digest was taken when it was read."""

    row: dict[str, Any]

    @property
    def size(self) -> int:
        return int(self.row["size"])

    def __call__(self) -> Checked:
        path = self.row["path"]
        if files.sha256_of(path) == self.row["sha256"]:
            return Checked(())
        what = "it is not the file that was read (inputs have one hash, so the place is not known)"
        return Checked((Problem(path, what),))


@dataclass(frozen=True)
class Tokens:
    """A folder of token shards for work in other processes. `digest` tells its manifest and model
    from others that lay there before: both are read once a process."""

    folder: str
    digest: str

    @classmethod
    def of(cls, folder: str) -> Tokens:
        paths = [files.join(folder, name) for name in (FILE_NAME, MODEL_FILE)]
        digest = files.digest_of([files.sha256_of(p) if files.exists(p) else None for p in paths])
        return cls(folder, digest)

    @property
    def manifest(self) -> TokensManifest:
        return _manifest(self)

    @property
    def encoder(self) -> Encoder:
        """Raises ValueError if the model cannot be read."""
        return _encoder(self)

    @property
    def kinds(self) -> IdKinds:
        """Raises ValueError if the model cannot be read."""
        return IdKinds.of(self.encoder.model)


@lru_cache(maxsize=2)
def _manifest(tokens: Tokens) -> TokensManifest:
    return TokensManifest.load(tokens.folder)


@lru_cache(maxsize=2)
def _encoder(tokens: Tokens) -> Encoder:
    return Encoder(files.join(tokens.folder, MODEL_FILE), "sentencepiece")


@dataclass(frozen=True)
class ShardTask:
    """Looks through one token shard, and hashes its payload on the way."""

    tokens: Tokens
    entry: dict[str, Any]
    shard: Shard
    every: int = 1

    @property
    def size(self) -> int:
        return int(self.entry["bytes"])

    def __call__(self) -> Checked:
        folder = self.tokens.folder
        path = files.join(folder, self.entry["path"])
        if not files.exists(path):
            return Checked((Problem(path, "the file is missing"),))
        digest = Digest()
        found = audit_or_report(
            ShardReader(path),
            self.shard,
            self.tokens.manifest,
            kinds=self.tokens.kinds,
            names_of=names_of,
            every=self.every,
            observe=digest.update,
        )
        if digest.count == files.size(path):
            problems = list(seal.compared(path, digest.entry(self.entry["path"]), self.entry))
        else:  # The look ended before it had read all.
            problems = list(seal.file_problem(folder, self.entry))
        same = {"the sha256 is not the manifest's"} if problems else set()
        prefix = path.removesuffix(".bin")
        problems += [
            Problem(prefix + f.ending, f.what, f.offset, exact=f.offset is not None)
            for f in found.findings
            if f.what not in same
        ]
        return Checked(tuple(problems), found)


def unlisted(step: Step, known: Manifest) -> Iterator[Problem]:
    """Files in a step's folder that its manifest does not know."""
    listed = {entry["path"] for entry in known.files} | {manifest.NAME}
    fs, inner = files.filesystem(step.output)
    fs.invalidate_cache(inner)
    base = inner.rstrip("/")
    for path in sorted(fs.find(base)):
        name = path[len(base) :].lstrip("/")
        if name not in listed:
            yield Problem(files.join(step.output, name), "the step did not write this file")


def raw_rows(done: Sequence[Manifest]) -> tuple[list[dict[str, Any]], int]:
    """Raw inputs with a digest that are still there, each once, and how many are gone."""
    rows = {r["path"]: r for m in done for r in m.inputs if "sha256" in r}
    there = [row for path, row in sorted(rows.items()) if files.exists(path)]
    return there, len(rows) - len(there)
