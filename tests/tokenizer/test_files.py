from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from tokenizer.files import AtomicFile, join, read_bytes


def test_nothing_has_the_final_name_before_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with AtomicFile(target) as stream:
        stream.write(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), AtomicFile(target) as stream:
        stream.write(b"new")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_remote_file_systems(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/a/b"
    for content in (b"one", b"two"):
        with AtomicFile(url) as stream:
            stream.write(content)
        assert read_bytes(url) == content
    fs = fsspec.filesystem("memory")
    assert [Path(p).name for p in fs.ls(f"/{tmp_path.name}/a", detail=False)] == ["b"]


def test_join() -> None:
    assert join("gs://b/c/", "d/e.bin") == "gs://b/c/d/e.bin"
    assert join("/a", "b") == "/a/b"
