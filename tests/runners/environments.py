"""A second, clean environment, as a worker has it: the locked packages and our wheel, no checkout.

The packages are installed once and kept in the cache folder, under a name made of the lock; the
wheel is built from the checkout anew for each session of tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from stages.language_model.kenlm_tools import cache_folder
from tests.data_paths import REPO

LOCK = REPO / "docs" / "dataflow" / "worker.lock"
# Stands in for Cloud Storage in tests; of no use on a worker.
_EMULATOR = "gcp-storage-emulator==2026.7.19"
# A registry that does not answer must not hold up the tests for long.
_LIMIT_S = 1200
_PACKAGES = ("pipeline", "stages", "tokenizer", "trainer_min")


def outside() -> dict[str, str]:
    """This process's environment without what would lead a child to this checkout."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {k: v for k, v in os.environ.items() if k not in hidden}


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, env=outside(), cwd="/", timeout=_LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command[0]} ...: {(done.stderr or done.stdout)[-2000:]}")


def _pip(python: Path, *arguments: str | Path) -> None:
    common = ("--quiet", "--disable-pip-version-check", "--no-deps")
    _run(python, "-m", "pip", "install", *common, *arguments)


def packages() -> Path:
    """The Python of an environment with the locked packages; about a minute the first time."""
    digest = hashlib.sha256(LOCK.read_bytes() + f"{_EMULATOR} {sys.version}".encode()).hexdigest()
    folder = cache_folder().parent / "environments" / f"worker-{digest[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", folder)
            _pip(python, "-r", LOCK, _EMULATOR)
            (folder / "ready").touch()
    return python


def wheel(folder: Path) -> Path:
    """Builds our wheel from a copy of the checkout: nothing that an older build left gets in."""
    source = folder / "source"
    for name in _PACKAGES:
        shutil.copytree(
            REPO / name,
            source / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.so"),
        )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPO / name, source / name)
    _run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source,
    )  # fmt: skip
    (built,) = folder.glob("llama_corpus-*.whl")
    return built


def builder(folder: Path) -> Path:
    """The Python of an environment that has the locked setuptools, and nothing else but pip."""
    made = folder / "builder"
    _run(sys.executable, "-m", "venv", made)
    python = made / "bin" / "python"
    _pip(python, f"setuptools=={version('setuptools')}")
    return python


def worker(folder: Path) -> Path:
    """The Python of an environment with the packages and, on top of them, our wheel."""
    base = packages()
    made = folder / "worker"
    _run(base, "-m", "venv", "--without-pip", made)
    python = made / "bin" / "python"
    lib = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = made / "lib" / lib / "site-packages"
    site.joinpath("packages.pth").write_text(f"{base.parents[1] / 'lib' / lib / 'site-packages'}\n")
    _run(base, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel(folder))
    return python
