"""Copies of remote folders: one for all processes, gone when the last of them ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest

from stages.engine import copies, files
from tests.data_paths import REPO

# Takes a copy of a folder of two files, slowly; says where and what is in it; waits to be told.
_USER = """
import os, sys, time
from stages.engine import copies

def fetch(folder):
    with open(sys.argv[2], "a") as told:
        told.write(f"{os.getpid()}\\n")
    for name in ("a", "b"):
        time.sleep(0.2)
        open(os.path.join(folder, name), "w").write(name)

where = copies.shared(sys.argv[1], fetch)
print(where, *sorted(os.listdir(where)), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process and its children put copies; empty."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(copies, "_held", {})
    return copies.root()


def user(key: str, told: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _USER, key, str(told)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO,
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def test_processes_share_one_copy_and_the_last_removes_it(root: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    users = [user("k", told) for _ in range(3)]
    assert [said(u) for u in users] == [[str(root / "k"), "a", "b"]] * 3
    assert len(told.read_text().splitlines()) == 1  # One of them fetched, the others waited.
    for process in users:
        assert (root / "k" / "b").exists()
        end(process)
    assert list(root.iterdir()) == []


def test_what_a_killed_process_left_is_removed_when_room_is_needed(
    root: Path, tmp_path: Path
) -> None:
    killed, at_work = user("killed", tmp_path / "told"), user("used", tmp_path / "told")
    said(killed), said(at_work)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (root / "killed").is_dir()
    end(user("next", tmp_path / "told"))
    assert not (root / "killed").exists() and (root / "used").is_dir()
    end(at_work)
    assert list(root.iterdir()) == []


def test_a_copy_that_was_cut_off_is_made_anew(root: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    killed = user("k", told)
    deadline = time.monotonic() + 30
    while not (root / "k.part" / "a").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (root / "k").exists()
    again = user("k", told)
    assert said(again)[1:] == ["a", "b"]
    end(again)


def test_a_copy_that_fails_leaves_nothing_and_can_be_tried_again(root: Path) -> None:
    def fail(folder: str) -> None:
        Path(folder, "half").touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        copies.shared("k", fail)
    assert not (root / "k").exists() and not (root / "k.part").exists()
    assert os.listdir(copies.shared("k", lambda folder: Path(folder, "x").touch())) == ["x"]
    copies._release()
    assert list(root.iterdir()) == []


def test_a_child_does_not_remove_what_its_parent_uses(root: Path) -> None:
    where = copies.shared("k", lambda folder: Path(folder, "x").touch())
    if (pid := os.fork()) == 0:
        copies._release()
        os._exit(0)
    os.waitpid(pid, 0)
    assert Path(where, "x").exists()
    copies._release()


def test_a_folder_of_somebody_else_is_not_trusted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = os.getuid() + 1
    root.parent.rename(root.parent.with_name(f"llama-corpus-{other}"))
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(PermissionError, match="belongs to another user"):
        copies.shared("k", lambda folder: None)


def test_a_remote_folder_is_copied_again_when_it_has_changed(root: Path) -> None:
    fs = fsspec.filesystem("memory")
    try:
        files.write_bytes("memory://copied/model", b"one")
        first = files.local_folder("memory://copied")
        assert Path(first, "model").read_bytes() == b"one"
        assert files.local_folder("memory://copied") == first and Path(first).parent == root
        files.write_bytes("memory://copied/model", b"other")
        assert Path(files.local_folder("memory://copied"), "model").read_bytes() == b"other"
        assert files.local_folder("/here") == "/here"
        assert files.local_folder("file:///here") == "/here"
    finally:
        fs.rm("/copied", recursive=True)
        copies._release()
