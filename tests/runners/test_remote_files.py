"""Files in another place than this machine, as the stages and the launcher use them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import fsspec
import pytest

from stages.engine import files, manifest


@pytest.fixture
def folder() -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    yield "memory://runners"
    if fs.exists("/runners"):
        fs.rm("/runners", recursive=True)


def test_a_remote_line_may_be_read_in_part(folder: str) -> None:
    """fsspec's own files take no limit, and a line of a gigabyte would come whole."""
    files.write_bytes(files.join(folder, "lines"), b"x" * 5000 + b"\nnext\n")
    with files.open_read(files.join(folder, "lines")) as lines:
        assert lines.readline(100) == b"x" * 100
        lines.seek(5001)
        assert list(lines) == [b"next\n"]


def test_remote_paths_are_asked_for_side_by_side_and_answered_in_order(folder: str) -> None:
    together = threading.Barrier(8, timeout=30)

    def name(path: str) -> str:
        together.wait()  # Passes only when eight are at it.
        return path[-1]

    assert files.each(name, [f"{folder}/{i}" for i in range(8)]) == list("01234567")


def test_local_paths_are_asked_for_one_by_one() -> None:
    main = threading.get_ident()
    assert files.each(lambda _: str(threading.get_ident()), ["/a", "/b"]) == [str(main)] * 2


def test_absent_and_changed_files_of_a_remote_step_are_found(folder: str) -> None:
    for name in ("a", "b"):
        files.write_bytes(files.join(folder, name), b"123")
    listed = [{"path": "a", "bytes": 3}, {"path": "b", "bytes": 4}, {"path": "c/d", "bytes": 3}]
    assert manifest.missing_files(listed, folder) == ["b", "c/d"]
