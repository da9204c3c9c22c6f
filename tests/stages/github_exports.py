"""Small BigQuery exports of GitHub for tests, in the forms in which they come."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from stages.engine.step import Step
from tests.stages.helpers import read_rows, shuffle

Form = Literal["json", "gzip", "parquet"]
CODE = "def add(first, second):\n    return first + second\n"


def blob(text: str | bytes) -> str:
    """git's SHA-1 of a content."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Export:
    """Tables as rows; `add` puts a file with its content into a repository."""

    licenses: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    contents: list[dict[str, Any]] = field(default_factory=list)

    def license(self, repository: str, name: str = "mit") -> None:
        self.licenses.append({"repo_name": repository, "license": name})

    def add(self, repository: str, path: str, text: str | None = CODE, **more: Any) -> str:
        """Integers are text, as BigQuery writes them into JSON."""
        if not any(row["repo_name"] == repository for row in self.licenses):
            self.license(repository)
        key = more.pop("id", None) or blob(text or path)
        row = {"repo_name": repository, "ref": "refs/heads/master", "path": path, "mode": "33188"}
        self.files.append({**row, "id": key, **more})
        if all(c["id"] != key for c in self.contents):
            content = {"content": text} if text is not None else {}
            size = str(len((text or "").encode("utf-8", "replace")))
            self.contents.append(
                {"id": key, "size": size, **content, "binary": text is None, "copies": "1"}
            )
        return key

    def write(self, folder: Path, form: Form = "gzip", parts: int = 2) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder, "licenses", self.licenses, form)
        for name, rows in (("files", self.files), ("contents", self.contents)):
            for part in range(parts):
                write_table(folder, f"{name}-{part:012}", rows[part::parts], form)
        return folder


def write_table(folder: Path, name: str, rows: Sequence[dict[str, Any]], form: Form) -> Path:
    if form == "parquet":
        columns = sorted({c for row in rows for c in row}) or ["id"]
        plain = [{c: row.get(c) for c in columns} for row in rows]
        path = folder / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(plain) if plain else pa.table({"id": []}), path)
        return path
    data = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows).encode()
    path = folder / (f"{name}.json.gz" if form == "gzip" else f"{name}.json")
    path.write_bytes(gzip.compress(data, mtime=0) if form == "gzip" else data)
    return path


def tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes files by their paths below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def step(folder: Path, out: Path, layout: dict[str, Any] | None = None, **settings: Any) -> Step:
    where = {"input": [str(folder)]}
    given: dict[str, Any] = {"settings": settings, "layout": layout or {}}
    return Step(name="github", stage="github", output=str(out), inputs=where, **given)


@dataclass
class Result:
    counts: dict[str, Any]
    documents: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    bad: list[dict[str, Any]]

    def reasons(self) -> dict[str, str]:
        """Reason by id, without the source's name."""
        return {row["id"].removeprefix("github/"): row["reason"] for row in self.rejected}

    def document(self, key: str) -> dict[str, Any]:
        (found,) = [row for row in self.documents if row["id"] == f"github/{key}"]
        return found


def run(work: Step) -> Result:
    counts = shuffle(work)
    tables = [read_rows(work.output, which) for which in ("", "rejected", "bad")]
    assert [len(t) for t in tables] == [counts[n] for n in ("documents_out", "rejected", "bad")]
    return Result(counts, *tables)
