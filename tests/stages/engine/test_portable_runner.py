"""A stage through Beam's real job service, as it would go to Flink or Dataflow."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.documents import PartWriter
from stages.outcomes import Document

pytestmark = pytest.mark.slow


@pytest.fixture
def job_service() -> Iterator[str]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable, "-m",
            "apache_beam.runners.portability.local_job_service_main", "-p", str(port),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        process.kill()
        process.wait()


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*.parquet"))
    }


def test_line_dedup_on_the_portable_runner_gives_the_bytes_of_the_local_one(
    tmp_path: Path, job_service: str
) -> None:
    for part in range(3):
        with PartWriter(str(tmp_path / "in"), f"part-{part:05d}-of-00003.parquet", "t") as out:
            for i in range(20):
                text = f"only document {'xyz'[part]}{chr(97 + i)} has this\na line that all have"
                out.outcome(Document(f"{part}/{i}", text, "commoncrawl", f"f#{i}"))
    for name, options in (
        ("local", []),
        (
            "portable",
            [
                "--runner=PortableRunner",
                f"--job_endpoint={job_service}",
                "--environment_type=LOOPBACK",
            ],
        ),
    ):
        done = subprocess.run(
            [
                sys.executable, "-m", "stages", "line_dedup", "--input", str(tmp_path / "in"),
                "--output", str(tmp_path / name), *options,
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    local = _digests(tmp_path / "local")
    assert len(local) == 3
    assert _digests(tmp_path / "portable") == local
