"""Packages kept apart: installed once, first on the import path, refused where there are none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.peers import environments
from tests.peers.environments import BrokenError, Peer, UnavailableError

TOY = Peer("toy-peer", "none", ("toy-peer==1.0",))


def write_wheel(folder: Path, version: str) -> None:
    """A package that holds a module of its own, and one that our environment has too."""
    info = f"toy_peer-{version}.dist-info"
    files = {
        "toy_peer.py": "import filelock, numpy, sys\n"
        "print(filelock.__file__, numpy.__file__, sys.argv[1:], sep='\\n')\n"
        "raise SystemExit(3 if 'fail' in sys.argv else 0)\n",
        "filelock.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: toy-peer\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"toy_peer-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip looks into, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("LLAMA_CORPUS_CACHE", str(tmp_path / "cache"))
    return folder


def test_its_packages_come_first_and_ours_behind(index: Path) -> None:
    write_wheel(index, "1.0")
    folder = environments.install(TOY)
    own, ours, told = environments.run(TOY, "toy_peer", "a", "b").splitlines()
    assert own == str(folder / "filelock.py")
    assert not ours.startswith(str(folder)) and told == "['a', 'b']"


def test_it_is_installed_once_and_whole(index: Path) -> None:
    write_wheel(index, "1.0")
    folder = environments.install(TOY)
    index.rename(index.with_name("gone"))
    assert environments.install(TOY) == folder
    left = sorted(p.name for p in folder.parent.iterdir())
    assert left == [folder.name, f"{folder.name}.lock"]
    assert environments.folder_of(Peer("toy-peer", "none", ("toy-peer==2.0",))) != folder


def test_where_there_is_no_index_it_is_unavailable(index: Path) -> None:
    with pytest.raises(UnavailableError, match="toy-peer cannot be installed: ERROR: Could not"):
        environments.install(TOY)
    assert not environments.folder_of(TOY).exists()


def test_a_version_that_is_nowhere_is_our_mistake(index: Path) -> None:
    write_wheel(index, "0.9")
    with pytest.raises(BrokenError, match=r"from versions: 0\.9"):
        environments.install(TOY)


def test_a_program_that_fails_is_not_passed_over(index: Path) -> None:
    write_wheel(index, "1.0")
    with pytest.raises(BrokenError, match="toy-peer: toy_peer failed"):
        environments.run(TOY, "toy_peer", "fail")
