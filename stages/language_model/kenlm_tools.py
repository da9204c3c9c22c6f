"""KenLM's `lmplz` and `build_binary`: found, or built once and kept.

The Python package kenlm only reads models; the two programs that make them are in its source
distribution. They are built from the very version that is installed, with Boost linked in
statically where it can be, and kept in a cache folder, so that they are never built twice:

    python -m stages.language_model.kenlm_tools
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What a Debian-like system calls the things that the build needs.
BOOST_PACKAGES = (
    "libboost-program-options-dev",
    "libboost-system-dev",
    "libboost-thread-dev",
    "libboost-test-dev",
)
_PROGRAM_PACKAGES = {"cmake": "cmake", "make": "make", "c++": "g++"}
_NAMES = ("lmplz", "build_binary")
_HOW = "run `python -m stages.language_model.kenlm_tools`, or set LLAMA_CORPUS_KENLM_BIN"


class ToolsMissingError(RuntimeError):
    """The programs are absent or cannot be built; the message is one line that says what to do."""


@dataclass(frozen=True)
class Tools:
    """Paths of the two programs."""

    lmplz: Path
    build_binary: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Tools | None:
        """The programs of a folder, or None where one is missing or may not be run."""
        paths = [folder / name for name in _NAMES]
        if all(path.is_file() and os.access(path, os.X_OK) for path in paths):
            return cls(*paths)
        return None


def cache_folder() -> Path:
    """`kenlm-<version>-<platform>` under $LLAMA_CORPUS_CACHE, $XDG_CACHE_HOME/llama-corpus or
    ~/.cache/llama-corpus, the first that is set."""
    if own := os.environ.get("LLAMA_CORPUS_CACHE"):
        root = Path(own)
    elif shared := os.environ.get("XDG_CACHE_HOME"):
        root = Path(shared) / "llama-corpus"
    else:
        root = Path.home() / ".cache" / "llama-corpus"
    return root / f"kenlm-{_version()}-{sysconfig.get_platform()}"


def find_tools() -> Tools:
    """The programs from $LLAMA_CORPUS_KENLM_BIN where it is set, else the cache, else the PATH.

    Raises:
        ToolsMissingError: they are in none of these places.
    """
    if folder := os.environ.get("LLAMA_CORPUS_KENLM_BIN"):
        if tools := Tools.in_folder(Path(folder)):
            return tools
        raise ToolsMissingError(
            f"LLAMA_CORPUS_KENLM_BIN={folder} does not hold lmplz and build_binary"
        )
    if tools := Tools.in_folder(cache_folder()):
        return tools
    found = [shutil.which(name) for name in _NAMES]
    if found[0] and found[1]:
        return Tools(Path(found[0]), Path(found[1]))
    raise ToolsMissingError(f"KenLM's lmplz and build_binary are not built yet: {_HOW}")


def build_tools(install_packages: bool = True) -> Tools:
    """The programs, built first where the cache does not hold them yet. Safe to call from several
    processes at once: one builds, the others wait.

    Raises:
        ToolsMissingError: the source cannot be had, or something that the build needs is missing.
    """
    folder = cache_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(folder.name + ".lock")):
        if tools := Tools.in_folder(folder):
            return tools
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as scratch:
            source = _download(Path(scratch))
            programs = _compile(source, Path(scratch) / "build", install_packages)
            ready = Path(scratch) / "ready"
            ready.mkdir()
            for name in _NAMES:
                shutil.copy2(programs / name, ready / name)
            shutil.rmtree(folder, ignore_errors=True)
            ready.rename(folder)
    tools = Tools.in_folder(folder)
    if tools is None:
        raise ToolsMissingError(f"the build left no programs in {folder}")
    return tools


def _version() -> str:
    try:
        return importlib.metadata.version("kenlm")
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolsMissingError("the Python package kenlm is not installed") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file; the system frees it if the process dies."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _download(scratch: Path) -> Path:
    """The unpacked source distribution of the installed kenlm version."""
    wanted = f"kenlm=={_version()}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
    result = _run([*command, "kenlm", "--dest", str(scratch), wanted])
    archives = sorted(scratch.glob("kenlm-*.tar.gz"))
    if result.returncode or not archives:
        raise ToolsMissingError(
            f"pip could not download the source of {wanted}: {_last_line(result)}"
        )
    source = scratch / "source"
    unpack(archives[0], source)
    roots = [path.parent for path in source.glob("*/CMakeLists.txt")]
    if len(roots) != 1:
        raise ToolsMissingError(f"{archives[0].name} is not a kenlm source distribution")
    return roots[0]


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar file whose members must all stay inside the folder.

    Raises:
        ToolsMissingError: a member points outside, or is no plain file or folder.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ToolsMissingError(f"{archive.name} cannot be unpacked: {error}") from error


def _compile(source: Path, build: Path, install_packages: bool) -> Path:
    """Folder of the compiled programs."""
    missing = [package for name, package in _PROGRAM_PACKAGES.items() if not shutil.which(name)]
    if missing and install_packages:
        _install_packages(missing)
        missing = [package for name, package in _PROGRAM_PACKAGES.items() if not shutil.which(name)]
    if missing:
        needed = " ".join([*missing, *BOOST_PACKAGES])
        raise ToolsMissingError(f"building KenLM needs {needed}: install them and try again")
    if not _configure(source, build) and not (
        install_packages and _install_packages(BOOST_PACKAGES) and _configure(source, build)
    ):
        raise ToolsMissingError(
            f"building KenLM needs {' '.join(BOOST_PACKAGES)} "
            "(or your system's own Boost libraries and headers): install them and try again"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    command = ["cmake", "--build", str(build), "--parallel", str(cores or 1), "--target"]
    for name in _NAMES:  # one target at a time: several need a newer cmake
        result = _run([*command, name])
        if result.returncode:
            raise ToolsMissingError(f"KenLM's {name} does not compile: {_last_line(result)}")
    return build / "bin"


def _configure(source: Path, build: Path) -> bool:
    """Whether cmake finds all it needs: Boost's static libraries if there, so that the programs
    also run on machines without Boost; the shared ones otherwise."""
    for static in ("ON", "OFF"):
        shutil.rmtree(build, ignore_errors=True)
        command = ["cmake", "-S", str(source), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"]
        if _run([*command, f"-DBoost_USE_STATIC_LIBS={static}"]).returncode == 0:
            return True
    return False


def _install_packages(packages: Sequence[str]) -> bool:
    """Whether the system's package manager has installed them; asks nobody for a password."""
    if not shutil.which("apt-get"):
        return False
    as_root: list[str] = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not shutil.which("sudo"):
        return False
    apt_get = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    install = [*apt_get, "install", "--yes", "--no-install-recommends", *packages]
    if _run(install).returncode == 0:
        return True
    # A fresh machine or image has no package lists yet.
    return _run([*apt_get, "update"]).returncode == 0 and _run(install).returncode == 0


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _last_line(result: subprocess.CompletedProcess[str]) -> str:
    lines = (result.stderr + result.stdout).strip().splitlines()
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [f"exit code {result.returncode}"])[-1].strip()


def main() -> int:
    """Builds the programs where needed and prints their paths. 0 done, 2 something is missing."""
    try:
        tools = build_tools()
    except ToolsMissingError as error:
        print(error, file=sys.stderr)
        return 2
    print(tools.lmplz)
    print(tools.build_binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
