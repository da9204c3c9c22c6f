"""The packages of other projects that read or write token shards, each kept apart from our own.

They cannot lie beside this project's lock: OLMo-core wants filelock 3 and, through cached_path,
rich 13 and huggingface_hub 1, where the lock has 4, 15 and 2. Each gets a folder with what it needs
besides the lock, or in another version, which comes first on the import path of a process of its
own; behind it lies the running environment, so that torch (800 MB), numpy and pyarrow are not
installed again. `requirements.py` checks in such a process that all that the package asks for is
there, in a version that it accepts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from stages.language_model.kenlm_tools import cache_folder

REPO = Path(__file__).resolve().parents[2]
_INSTALL_S = 600
# What pip says where it reaches no index, or an index that has no file for this platform. A version
# that an index does not have is told otherwise ("from versions: 0.9, 1.0"), and is our mistake.
_NOT_TO_BE_HAD = re.compile(r"from versions: none|NewConnectionError|ConnectionError|timed out")


class UnavailableError(RuntimeError):
    """The package cannot be had here; the message says why."""


class BrokenError(RuntimeError):
    """The package could be had, but its environment or a program in it failed."""


@dataclass(frozen=True)
class Peer:
    """A package, its licence, and exact versions of all that the lock does not give it."""

    name: str
    licence: str
    packages: tuple[str, ...]


# Each the newest on the day when its reader was written; the further packages of a peer are what
# pip chose for it beside the lock.
MEGATRON = Peer("megatron-core", "Apache-2.0", ("megatron-core==0.16.1",))
DATATROVE = Peer(
    "datatrove",
    "Apache-2.0",
    (
        "datatrove==0.10.1",
        "dill==0.4.1",
        "humanize==4.17.0",
        "loguru==0.7.3",
        "multiprocess==0.70.19",
    ),
)
OLMO_CORE = Peer(
    "ai2-olmo-core",
    "Apache-2.0",
    (
        "ai2-olmo-core==3.0.0",
        "bettermap==1.3.1",
        "boto3==1.44.5",
        "botocore==1.44.5",
        "cached_path==1.8.10",
        "dataclass-extensions==0.5.0",
        "dill==0.4.1",
        "filelock==3.32.7",
        "google-api-core==2.44.0",
        "google-auth==2.62.2",
        "google-cloud-core==2.8.0",
        "google-cloud-storage==3.17.1",
        "google-crc32c==1.9.0",
        "google-resumable-media==2.11.0",
        "googleapis-common-protos==1.76.0",
        "httpcore==1.0.9",
        "httpx==0.28.1",
        "huggingface_hub==1.33.0",
        "importlib_resources==7.1.0",
        "jmespath==1.1.0",
        "opentelemetry-api==1.45.2",
        "pandas==3.1.1",
        "pyasn1==0.6.5",
        "pyasn1_modules==0.4.2",
        "rich==13.9.4",
        "s3transfer==0.19.3",
    ),
)
PEERS = (MEGATRON, DATATROVE, OLMO_CORE)


def folder_of(peer: Peer) -> Path:
    """Where a peer's packages are, or will be: named by a digest of all that decides them."""
    facts = [sys.version, sysconfig.get_platform(), *peer.packages]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    return cache_folder().parent / "peers" / f"{peer.name}-{digest}"


def install(peer: Peer) -> Path:
    """The folder of a peer's packages, installed first where it is not there yet.

    Safe to call from several processes at once; a folder that is there is whole.

    Raises:
        UnavailableError: no index is reached, or it has nothing for this platform.
        BrokenError: pip failed for another reason.
    """
    folder = folder_of(peer)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(folder.name + ".lock")):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="installing-") as scratch:
                ready = Path(scratch, "ready")
                _pip(peer, ready)
                ready.rename(folder)
    return folder


def run(
    peer: Peer,
    module: str,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 300,
) -> str:
    """Runs `python -m module arguments...` with a peer's packages; what it printed.

    The repository is on the import path too, behind them. `environment` holds further variables.

    Raises:
        UnavailableError: the packages cannot be had.
        BrokenError: the program ended with an error; the message has its last lines.
    """
    path = os.pathsep.join([str(install(peer)), str(REPO)])
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", **(environment or {})},
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise BrokenError(f"{peer.name}: {module} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def _pip(peer: Peer, target: Path) -> None:
    if find_spec("pip") is None:
        raise UnavailableError(f"{peer.name} cannot be installed: this environment has no pip")
    # --no-deps: the list is complete, and pip would install the lock's packages once more.
    # --only-binary: nothing is built here, so no foreign build code runs.
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--no-compile", "--retries", "1"),
        *("--timeout", "30", "--target", str(target)),
    ]
    try:
        done = subprocess.run(
            [*command, *peer.packages],
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{peer.name} was not installed in {_INSTALL_S} s") from None
    if not done.returncode:
        return
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    told = (lines or done.stderr.splitlines() or ["pip gives no reason"])[0]
    kind = UnavailableError if _NOT_TO_BE_HAD.search(done.stderr) else BrokenError
    raise kind(f"{peer.name} cannot be installed: {told}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
