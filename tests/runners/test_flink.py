"""Flink: the launcher starts Beam's job server for it, hands it the step, and ends it.

With FLINK_JOB_SERVER_JAR (docs/flink.md says where it is to be had) and Java, a stage runs on a
real local Flink. Without them a stand-in is started in Java's place: Beam's own job service, which
takes the same arguments. It proves the launch, not Flink.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.engine.options import FLINK_JAR
from tests.data_paths import REPO
from tests.runners import every_stage
from tests.runners.test_portable import documents, run

_STAND_IN = """#!{python}
import os, sys
open({told!r}, "w").write("\\n".join([str(os.getpid()), *sys.argv[1:]]))
sys.path.insert(0, {repo!r})
from stages.engine.pool import die_with_parent, keep_to_loopback
die_with_parent(os.getppid())
keep_to_loopback()
from apache_beam.runners.portability import local_job_service_main
local_job_service_main.run(["-p", sys.argv[sys.argv.index("--job-port") + 1]])
"""


def same_as_local(folder: Path, *options: str) -> None:
    where = documents(folder / "in")
    for name, chosen in (("local", ("--workers=1",)), ("flink", options)):
        output = str(folder / name)
        run("stages", "line_dedup", "--input", where, "--output", output, *chosen)
    local = every_stage.digests(folder / "local")
    assert local and every_stage.digests(folder / "flink") == local


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get(FLINK_JAR) or shutil.which("java") is None,
    reason=f"needs Java, and {FLINK_JAR}: the job server of Beam's Flink runner (docs/flink.md)",
)
def test_a_stage_on_flink_gives_the_bytes_of_the_local_engine(tmp_path: Path) -> None:
    same_as_local(tmp_path, "--runner=FlinkRunner", "--flink_master=[local]", "--parallelism=2")


def test_a_stage_goes_through_the_job_server_that_the_launcher_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, java, jar = tmp_path / "told", tmp_path / "java", tmp_path / "server.jar"
    java.write_text(_STAND_IN.format(python=sys.executable, told=str(told), repo=str(REPO)))
    java.chmod(0o755)
    jar.touch()
    monkeypatch.setenv(FLINK_JAR, str(jar))
    same_as_local(
        tmp_path, "--runner=FlinkRunner", f"--job_server_java_launcher={java}",
        "--flink_master=[local]",
    )  # fmt: skip
    pid, *arguments = told.read_text().splitlines()
    assert arguments[:4] == ["-jar", str(jar), "--flink-master", "[local]"]
    # The job server does not outlive the launcher.
    assert subprocess.run(["ps", "-p", pid], capture_output=True).returncode != 0
