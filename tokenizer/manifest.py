"""`tokens/manifest.json`: all that a reader of token shards must know, and how to check it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import AfterValidator

from tokenizer import paper
from tokenizer.files import AtomicFile, file_system, join, read_bytes

FILE_NAME = "manifest.json"
# Ids are written as uint16, so this is the most that a vocabulary can hold.
MAX_VOCAB_SIZE = 1 << 16

Split: TypeAlias = Literal["train", "valid"]
HeldOutBy: TypeAlias = Literal["cluster", "text", "id"]


def _inside_root(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or ":" in path or "\\" in path:
        raise ValueError(f"shard path {path!r} must be relative and stay below the manifest")
    return path


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ShardPath = Annotated[str, AfterValidator(_inside_root)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Canary(_Part):
    """A text and its ids: a tokenizer that encodes it otherwise is not the one of these shards."""

    text: str
    ids: tuple[int, ...]


class Separator(_Part):
    """What stands between documents.

    The paper does not say; exactly one `</s>` after each document and no `<s>` is the choice here.
    """

    policy: Literal["one separator after each document"] = "one separator after each document"
    piece: str = "</s>"
    id: Annotated[int, Field(ge=0)] = 2
    bos: Literal[False] = False


DEFAULT_SEPARATOR = Separator()


class PaperRow(_Part):
    """The source's row in Table 1 of the LLaMA paper, with the figures that it implies."""

    proportion: float
    epochs: float
    tokens: float
    bytes_per_token: float


class SourceTokens(_Part):
    """One source: what there is of it, and how often a run over `stated_total_tokens` sees it.

    `tokens` (separators included), `documents` and `text_bytes` (UTF-8) are those of the train
    split; `implied_epochs` is `proportion * stated_total_tokens / tokens`, None without tokens.
    `paper` is None for a source that is not in Table 1.
    """

    proportion: Annotated[float, Field(ge=0, le=1)]
    tokens: Annotated[int, Field(ge=0)]
    documents: Annotated[int, Field(ge=0)]
    text_bytes: Annotated[int, Field(ge=0)]
    valid_tokens: Annotated[int, Field(ge=0)] = 0
    valid_documents: Annotated[int, Field(ge=0)] = 0
    valid_text_bytes: Annotated[int, Field(ge=0)] = 0
    bytes_per_token: float | None
    implied_epochs: float | None
    paper: PaperRow | None = None


class Shard(_Part):
    """One payload file. `path` is relative to the manifest's folder and ends in `.bin`.

    `mask_sha256` is of the `.mask` file beside it, one byte a token: 1 where it is a label. None:
    no such file, all tokens are.
    """

    path: ShardPath
    split: Split
    source: str
    tokens: Annotated[int, Field(ge=0)]
    documents: Annotated[int, Field(ge=0)]
    text_bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256
    mask_sha256: Sha256 | None = None


class HeldOut(_Part):
    """How the valid split was chosen: the documents whose number (column `held_out` of the document
    sidecar) is below `share * 2**64`.

    The number is a hash, with `seed`, of what a document is held out `by`: the near-duplicate
    cluster that a column names, or else its normalised text; its text; or its id.
    """

    by: HeldOutBy
    share: Annotated[float, Field(ge=0, lt=1)]
    seed: int

    def split_of(self, number: int) -> Split:
        """The split of a document with this number."""
        return "valid" if number < self.bound else "train"

    @property
    def bound(self) -> int:
        """Numbers below it are held out. A whole number: floats are coarser than 64 bits."""
        return int(self.share * (1 << 64))


class TokensManifest(_Part):
    """The whole manifest.

    The order of `shards` is the order of the token streams: it is recorded here and never taken
    from a folder listing.
    """

    format: Literal["llama-corpus token shards"] = "llama-corpus token shards"
    format_version: Literal[1] = 1
    tokenizer_sha256: Sha256
    canary: Canary
    vocab_size: Annotated[int, Field(gt=0, le=MAX_VOCAB_SIZE)]
    dtype: Literal["uint16"] = "uint16"
    separator: Separator = DEFAULT_SEPARATOR
    stated_total_tokens: Annotated[int, Field(gt=0)]
    held_out: HeldOut | None = None
    sources: dict[str, SourceTokens]
    shards: tuple[Shard, ...]

    @model_validator(mode="after")
    def _consistent(self) -> TokensManifest:
        if self.separator.id >= self.vocab_size:
            raise ValueError(f"separator id {self.separator.id} is outside the vocabulary")
        outside = [i for i in self.canary.ids if not 0 <= i < self.vocab_size]
        if outside:
            raise ValueError(f"canary id {outside[0]} is outside the vocabulary")
        paths = [shard.path for shard in self.shards]
        if len(set(paths)) != len(paths):
            twice = next(p for p in paths if paths.count(p) > 1)
            raise ValueError(f"shard {twice!r} is listed twice")
        for shard in self.shards:
            if shard.source not in self.sources:
                raise ValueError(f"shard {shard.path!r} is of {shard.source!r}, not among sources")
        for name, source in self.sources.items():
            for split, stated in (("train", source.tokens), ("valid", source.valid_tokens)):
                found = sum(s.tokens for s in self.shards if s.source == name and s.split == split)
                if found != stated:
                    raise ValueError(f"{name}: {split} shards hold {found} tokens, not {stated}")
        return self

    def select(self, source: str, split: Split = "train") -> list[tuple[int, Shard]]:
        """The shards of a source's split with their index in `shards`, in stream order."""
        return [
            (i, s) for i, s in enumerate(self.shards) if s.source == source and s.split == split
        ]

    @classmethod
    def load(cls, path_or_dir: str | os.PathLike[str]) -> TokensManifest:
        """Reads a manifest file, or the one in a folder (or in its `tokens/`); fsspec URLs too.

        Raises ValueError with one line when there is none or it does not hold together.
        """
        url = find(path_or_dir)
        try:
            return cls.model_validate_json(read_bytes(url))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            raise ValueError(
                f"{url}: {place + ': ' if place else ''}{first['msg']}{more}"
            ) from error

    def to_json(self) -> bytes:
        """The bytes of the manifest file; the same manifest gives the same bytes."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    def save(self, path_or_dir: str | os.PathLike[str]) -> str:
        """Writes the manifest atomically; returns where."""
        url = os.fspath(path_or_dir)
        url = url if url.endswith(".json") else join(url, FILE_NAME)
        with AtomicFile(url) as stream:
            stream.write(self.to_json())
        return url


def find(path_or_dir: str | os.PathLike[str]) -> str:
    """The manifest's own path or URL; its folder is the root of the shard paths.

    Raises ValueError when there is none.
    """
    given = os.fspath(path_or_dir)
    if given.endswith(".json"):
        candidates = [given]
    else:
        candidates = [join(given, FILE_NAME), join(given, f"tokens/{FILE_NAME}")]
    for url in candidates:
        fs, path = file_system(url)
        if fs.isfile(path):
            return url
    raise ValueError(f"{given}: no token manifest here (looked for {', '.join(candidates)})")


def root_of(path_or_dir: str | os.PathLike[str]) -> str:
    """The folder that the manifest's shard paths start from."""
    return find(path_or_dir).rpartition("/")[0] or "."


load = TokensManifest.load


def build(
    *,
    tokenizer_sha256: str,
    canary: Canary,
    vocab_size: int,
    proportions: Mapping[str, float],
    shards: Iterable[Shard],
    stated_total_tokens: int = paper.TOTAL_TOKENS,
    separator: Separator = DEFAULT_SEPARATOR,
    held_out: HeldOut | None = None,
) -> TokensManifest:
    """A manifest from the facts: sums per source, implied epochs, and Table 1 beside them.

    Args:
        proportions: share of training tokens per source; must add up to 1.
        shards: in any order; the manifest holds them sorted by path.
        stated_total_tokens: length of the run for which `implied_epochs` is given.
        held_out: how the valid split was chosen, if by the documents' numbers.

    Raises:
        ValueError: proportions that do not add up to 1, or a shard of an unknown source.
    """
    total = sum(proportions.values())
    if abs(total - 1) > 1e-6:
        raise ValueError(f"proportions add up to {total:g}, not to 1")
    ordered = tuple(sorted(shards, key=lambda shard: shard.path))
    sources: dict[str, SourceTokens] = {}
    for name, proportion in proportions.items():
        train = [s for s in ordered if s.source == name and s.split == "train"]
        valid = [s for s in ordered if s.source == name and s.split == "valid"]
        tokens, text_bytes = sum(s.tokens for s in train), sum(s.text_bytes for s in train)
        sources[name] = SourceTokens(
            proportion=proportion,
            tokens=tokens,
            documents=sum(s.documents for s in train),
            text_bytes=text_bytes,
            valid_tokens=sum(s.tokens for s in valid),
            valid_documents=sum(s.documents for s in valid),
            valid_text_bytes=sum(s.text_bytes for s in valid),
            bytes_per_token=text_bytes / tokens if tokens else None,
            implied_epochs=proportion * stated_total_tokens / tokens if tokens else None,
            paper=_paper_row(name),
        )
    try:
        return TokensManifest(
            tokenizer_sha256=tokenizer_sha256,
            canary=canary,
            vocab_size=vocab_size,
            separator=separator,
            stated_total_tokens=stated_total_tokens,
            held_out=held_out,
            sources=sources,
            shards=ordered,
        )
    except ValidationError as error:
        raise ValueError(str(error.errors(include_url=False)[0]["msg"])) from error


def _paper_row(source: str) -> PaperRow | None:
    row = paper.TABLE_1.get(source)
    if row is None:
        return None
    return PaperRow(
        proportion=row.proportion,
        epochs=row.epochs,
        tokens=row.unique_tokens,
        bytes_per_token=row.bytes_per_token,
    )
