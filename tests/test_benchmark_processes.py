"""The processes of a step are told apart, and what each used is seen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.measure import in_fork
from benchmarks.processes import ROLES, Tree, Used
from benchmarks.stages import WatchedRun, run_watched
from stages.documents import PartWriter
from stages.engine.step import Step
from stages.outcomes import Document

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are seen in /proc")
MB = 1_000_000


def family(sizes: list[int], busy_s: float = 0.0) -> int:
    """A process below the other, each with so much memory; the last also works for a while."""
    held = b"x" * sizes[0]
    if sizes[1:]:
        pid = os.fork()
        if pid == 0:
            family(sizes[1:], busy_s)
            os._exit(0)
        os.waitpid(pid, 0)
    else:
        end = time.process_time() + busy_s
        while time.process_time() < end:
            sum(range(1000))
        time.sleep(0.3)
    return len(held)


def test_processes_are_told_apart_by_their_place() -> None:
    """The largest is in the midst; what is freed before the end counts, too."""
    tree = Tree()
    sizes = [MB, MB, 150 * MB, MB, MB, MB]
    in_fork(lambda: family(sizes, 1.0), tree.look)
    used = tree.used()
    assert used.keys() == set(ROLES)
    assert used["runner"].peak_rss > used["mother"].peak_rss + 100 * MB
    # The last one works until it has used a second.
    assert used["worker"].cpu_s >= 0.9
    assert used["runner"].cpu_s < used["worker"].cpu_s
    assert 0 < used["launcher"].peak_rss < used["runner"].peak_rss


def test_other_processes_are_not_counted() -> None:
    pid = os.fork()
    if pid == 0:
        family([150 * MB])
        os._exit(0)
    tree = Tree()
    in_fork(lambda: family([MB]), tree.look)
    os.waitpid(pid, 0)
    used = tree.used()
    assert used["mother"] == used["worker"] == Used()
    assert used["launcher"].peak_rss > 0


def test_memory_of_a_role_is_of_one_process_and_cpu_of_all() -> None:
    tree = Tree()
    tree._depth = {7: 2, 8: 2}
    tree._seen = {7: Used(10, 1.0), 8: Used(30, 2.0)}
    assert tree.used()["runner"] == Used(30, 3.0)
    run = WatchedRun(2.5, 1, {**tree.used(), "worker": Used(1, 4.0)}, {})
    assert run.cpu_outside_units_s == 4.5


def test_a_step_has_a_process_of_each_role(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    with PartWriter(str(given), "part-00000-of-00001.parquet", "given") as out:
        out.outcome(Document("one", "a text", "commoncrawl", "nowhere#0"))
    run = run_watched(Step("select", "select", str(tmp_path / "out"), {"input": [str(given)]}))
    assert all(run.used[role].peak_rss > 20 * MB for role in ROLES)
    assert (run.text_bytes_in, run.done) == (6, {"process": 1})
    assert run.cpu_outside_units_s > 0
