"""Paths, local or remote: what matches, what appears, what is the same place."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stages.engine import files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_glob_takes_patterns_folders_and_files_once_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.gz", "a.gz", "sub/c.gz", "sub/.hidden", "sub/_MANIFEST.json", ".units/x")
    whole = [str(tmp_path / n) for n in ("a.gz", "b.gz", "sub/c.gz")]
    assert files.glob(str(tmp_path)) == whole
    assert files.glob(f"{tmp_path}/") == whole
    assert files.glob([f"{tmp_path}/*.gz", f"{tmp_path}/a.gz", f"{tmp_path}/**/*.gz"]) == whole
    assert files.glob(f"{tmp_path}/[a].gz") == whole[:1]
    assert files.glob(f"file://{tmp_path}/a.gz") == whole[:1]


@pytest.mark.parametrize("pattern", ["none", "*.none"])
def test_glob_names_what_matches_nothing(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "a")
    with pytest.raises(FileNotFoundError, match=f"no file matches .*{pattern[-4:]}"):
        files.glob([f"{tmp_path}/a", f"{tmp_path}/{pattern}"])


def test_a_name_with_brackets_is_taken_as_it_is_where_it_exists(tmp_path: Path) -> None:
    touch(tmp_path, "dump[1]/a*.gz", "dump1/b.gz")
    assert files.glob(f"{tmp_path}/dump[1]") == [f"{tmp_path}/dump[1]/a*.gz"]
    assert files.glob(f"{tmp_path}/dump[1]/a*.gz") == [f"{tmp_path}/dump[1]/a*.gz"]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "file")
    with pytest.raises(ValueError, match="boom"), files.atomic_writer(path) as out:
        out.write(b"half")
        assert not os.path.exists(path)
        raise ValueError("boom")
    assert os.listdir(tmp_path / "new") == []
    with files.atomic_writer(path) as out:
        out.write(b"who")
        out.write(memoryview(b"le"))
    assert Path(path).read_bytes() == b"whole"
    assert (out.tell(), out.hexdigest()) == (5, hashlib.sha256(b"whole").hexdigest())
    with pytest.raises(ValueError, match="boom"), files.atomic_writer(path) as out:
        out.write(b"other")
        raise ValueError("boom")
    assert Path(path).read_bytes() == b"whole"


def test_what_killed_writers_left_can_be_removed(tmp_path: Path) -> None:
    touch(tmp_path, "part-0.parquet", f"{files.TEMPORARY}1", f"bad/{files.TEMPORARY}2", "bad/x")
    files.remove_temporaries(str(tmp_path))
    assert files.glob(str(tmp_path)) == [f"{tmp_path}/bad/x", f"{tmp_path}/part-0.parquet"]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_json_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    files.write_json(str(tmp_path / "a"), {"b": 1, "a": {"d": 2, "c": 3}})
    files.write_json(str(tmp_path / "b"), {"a": {"c": 3, "d": 2}, "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert files.digest_of({"a": 1, "b": 2}) == files.digest_of({"b": 2, "a": 1})
    assert files.digest_of({"a": 1}) != files.digest_of({"a": 2})


def test_a_place_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "real/x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    name = files.canonical(str(tmp_path / "real" / "x"))
    for other in ("real/x", "./link/../real/x", "link/x", f"file://{tmp_path}/link/x"):
        assert files.canonical(other) == name
    assert files.canonical("memory://a/b/") == files.canonical("memory://a/b")


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("gs://b/x", True),
        ("S3://b/x", True),
        ("memory://x", True),
        ("file:///x", False),
        ("/x", False),
        ("x", False),
        ("http-dumps/x", False),
    ],
)
def test_remote_paths_have_a_protocol(path: str, remote: bool) -> None:
    assert files.is_remote(path) is remote


@pytest.mark.parametrize(
    ("path", "without"),
    [("file:///x/y", "/x/y"), ("/x", "/x"), ("x", "x"), ("gs://b/x", "gs://b/x")],
)
def test_a_local_path_needs_no_protocol(path: str, without: str) -> None:
    assert files.bare(path) == without


def test_stamps_tell_changes(tmp_path: Path) -> None:
    touch(tmp_path, "a")
    path = str(tmp_path / "a")
    before = files.stamp(path)
    assert before == files.stamp(path)
    os.utime(path, (1, 1))
    assert files.stamp(path)[0] == before[0]
    assert files.stamp(path)[1] != before[1]


class Remembering(MemoryFileSystem):
    """Lists a folder once and remembers, as file systems of object stores do."""

    protocol = "remembering"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    listings: dict[str, Any] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("remembering://", "memory://")))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        if path not in self.listings:
            self.listings[path] = super().ls(path, detail=True)
        found = self.listings[path]
        return found if detail else [f["name"] for f in found]

    def invalidate_cache(self, path: str | None = None) -> None:
        self.listings.clear()


def test_names_are_those_of_now_on_file_systems_that_remember_listings() -> None:
    fsspec.register_implementation("remembering", Remembering, clobber=True)
    fs = fsspec.filesystem("remembering")
    fs.pipe("/made/a.json", b"1")
    assert files.names("remembering://made") == ["a.json"]
    fs.pipe("/made/b.json", b"1")
    assert fs.ls("/made", detail=False) == ["/made/a.json"]  # another process would not know
    assert files.names("remembering://made") == ["a.json", "b.json"]
