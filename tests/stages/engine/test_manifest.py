"""Manifests: what is trusted and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.documents import Counts
from stages.engine import manifest
from stages.engine.manifest import Manifest, ManifestError


def sample() -> Manifest:
    counts = Counts(documents_in=2, documents_out=1, rejected=1)
    counts.reasons["short"] = 1
    made = Manifest(
        step="s",
        stage="toy",
        version=1,
        settings={"a": [1]},
        inputs=[{"port": "input", "path": "p", "digest": "d"}],
        models={},
        counts=counts,
        files=[
            {"path": "part-00000-of-00001.parquet", "bytes": 3, "sha256": "x", "rows": 1},
            {"path": "rejected/part-00000-of-00001.parquet", "bytes": 1, "sha256": "y", "rows": 1},
        ],
        run={"wall_s": 1.5},
    )
    made.digest = made.outputs_digest()
    return made


def test_a_saved_manifest_loads_as_it_was(tmp_path: Path) -> None:
    sample().save(str(tmp_path))
    assert manifest.load(str(tmp_path)) == sample()
    assert sample().documents("f") == ["f/part-00000-of-00001.parquet"]


def test_there_is_none_in_a_folder_without_one(tmp_path: Path) -> None:
    assert manifest.load(str(tmp_path)) is None
    assert manifest.load(str(tmp_path / "absent")) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b'"x"', b"null", b"{}", b"\xff\xfe", b'{"format": 1}', b"[" * 9999],
)
def test_an_unreadable_manifest_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / manifest.NAME).write_bytes(content)
    with pytest.raises(ManifestError, match=r"_MANIFEST\.json: not a manifest") as caught:
        manifest.load(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": {"documents_in": 3}},
        {"counts": 7},
        {"files": []},
        {"settings": {}},
        {"digest": ""},
        {"format": 2},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_changed_manifest_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    sample().save(str(tmp_path))
    path = tmp_path / manifest.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ManifestError, match=r"_MANIFEST\.json"):
        manifest.load(str(tmp_path))


def test_the_digest_covers_what_was_made_and_not_when_or_where() -> None:
    other = sample()
    other.run = {"wall_s": 99}
    other.step = "another name"
    other.inputs = []
    assert other.outputs_digest() == sample().digest
    other.counts.rejected = 0
    assert other.outputs_digest() != sample().digest


def test_missing_and_cut_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "rejected").mkdir()
    (tmp_path / "part-00000-of-00001.parquet").write_bytes(b"abc")
    (tmp_path / "rejected" / "part-00000-of-00001.parquet").write_bytes(b"a")
    assert manifest.missing_files(sample().files, str(tmp_path)) == []
    (tmp_path / "part-00000-of-00001.parquet").write_bytes(b"ab")
    (tmp_path / "rejected" / "part-00000-of-00001.parquet").unlink()
    assert manifest.missing_files(sample().files, str(tmp_path)) == [
        "part-00000-of-00001.parquet",
        "rejected/part-00000-of-00001.parquet",
    ]
