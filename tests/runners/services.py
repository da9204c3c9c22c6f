"""Servers for tests of other engines: each listens on loopback only, and ends with its test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.data_paths import REPO
from tests.runners.environments import outside

_STARTS_WITHIN_S = 60

# Beam's servers listen on every interface, without asking who is there.
_HELD = """
import os, sys
from stages.engine.pool import die_with_parent, keep_to_loopback
die_with_parent(os.getppid())
keep_to_loopback()
"""
_JOB_SERVICE = f"""{_HELD}
from apache_beam.runners.portability import local_job_service_main
local_job_service_main.run(["-p", sys.argv[1]])
"""
_WORKER_POOL = f"""{_HELD}
from apache_beam.runners.worker import worker_pool_main
worker_pool_main.main(["", "--service_port", sys.argv[1]])
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(
    command: list[str], port: int, env: dict[str, str], cwd: Path, log: Path
) -> Iterator[None]:
    """A server for the time of the block; RuntimeError with its last words if it does not start."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env, cwd=cwd)
    try:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no server at {port}: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # So that the worker pool ends its workers.
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def job_service(folder: Path) -> Iterator[str]:
    """Beam's portable job service, run by this environment; yields its address."""
    port = free_port()
    env = {**outside(), "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", _JOB_SERVICE, str(port)]
    with serving(command, port, env, folder, folder / "job_service.log"):
        yield f"localhost:{port}"


@contextmanager
def worker_pool(python: Path, folder: Path) -> Iterator[str]:
    """Workers on demand in the environment of `python`; yields the pool's address."""
    port = free_port()
    # The pool starts its workers as `python`, so that must be this one.
    env = {**outside(), "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(python), "-c", _WORKER_POOL, str(port)]
    with serving(command, port, env, folder, folder / "worker_pool.log"):
        yield f"localhost:{port}"
