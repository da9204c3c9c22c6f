"""Supervised runs: the same bytes on any number of workers, and an end whatever a worker does."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages import registry
from stages.engine import files
from stages.engine.execute import Engine, Executor, StageError
from stages.engine.progress import Progress
from stages.engine.run import run_step
from stages.engine.step import Step
from tests.stages.helpers import (
    alive,
    check_folder,
    digests,
    read_rows,
    toy_step,
    write_parts,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("toys")]


# What comes of the work itself comes again at every attempt.
MEND = "finished units are kept; once the cause is mended, the same command goes on from there"


def failing(tmp: Path, how: str, out: str = "out", **more: str) -> Step:
    return toy_step(tmp, out=out, settings={"how": how, "on": "u2d0", **more})


# -- the same bytes -------------------------------------------------------------------------------


def test_one_worker_and_two_write_the_same_bytes(
    tmp_path: Path, one_worker: Executor, two_workers: Executor
) -> None:
    (tmp_path / "raw").mkdir()
    for i in range(5):
        lines = [f"f{i}l{j}\tline {j % 7}\\nonly {i} {j}" for j in range(20 * i)]
        text = "\n".join([*lines, "!bad", f"!reject r{i}", "!skip"])
        (tmp_path / "raw" / f"{i}.txt").write_text(text.replace("\\n", " ") + "\n")

    def all_steps(name: str, executor: Executor) -> dict[str, str]:
        def step(stage: str, before: str, **settings: object) -> Step:
            out = str(tmp_path / name / stage)
            layout = {"bundle_bytes": 300}
            return Step(stage, stage, out, {"input": [before]}, settings, layout, f"{out}.progress")

        source = step("toy_source", str(tmp_path / "raw"))
        judged = step("toy", source.output, reject="7")
        lines = step("line_dedup", judged.output, keep="first")
        whole = step("document_dedup", lines.output)
        for each in (source, judged, lines, whole):
            run_step(each, executor)
            check_folder(each.output)
        return digests(tmp_path / name)

    alone = all_steps("one", one_worker)
    assert len(alone) > 15
    assert all_steps("two", two_workers) == alone


def test_workers_run_in_processes_of_their_own(toy_folder: Path, two_workers: Executor) -> None:
    log = toy_folder / "log"
    run_step(toy_step(toy_folder, settings={"log": str(log), "pause_s": 0.05}), two_workers)
    pids = {int(line.split()[1]) for line in log.read_text().splitlines()}
    assert len(pids) == 2
    assert os.getpid() not in pids


# -- watching -------------------------------------------------------------------------------------


def test_servers_listen_on_loopback_only_and_the_manifest_comes_last(
    toy_folder: Path, two_workers: Executor
) -> None:
    step = toy_step(toy_folder, settings={"pause_s": 0.3})
    listening: set[str] = set()
    seen: list[Progress] = []
    manifests: set[bool] = set()

    def look(progress: Progress, units: int) -> None:
        assert units == 6
        seen.append(progress)
        finished = progress.done.get("process", 0) == 6
        if not finished:
            manifests.add(files.exists(f"{step.output}/_MANIFEST.json"))
        for process in psutil.Process().children(recursive=True):
            try:
                for connection in process.net_connections("inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        listening.add(connection.laddr.ip)
            except psutil.Error:
                continue

    run_step(step, two_workers, look)
    assert listening
    # A server that takes both kinds of addresses names the loopback by its mapped one.
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    assert manifests == {False}
    assert seen[-1].done == {"process": 6}
    assert seen[-1].live("process")[0] == 30
    assert not (toy_folder / ".out.progress").exists()


def test_one_worker_needs_no_server(toy_folder: Path, one_worker: Executor) -> None:
    listening: list[Any] = []

    def look(progress: Progress, units: int) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                found = process.net_connections("inet")
            except psutil.Error:
                continue
            listening.extend(c for c in found if c.status == psutil.CONN_LISTEN)

    # The fixture of two workers may be alive too, but it listens only while it runs a step.
    run_step(toy_step(toy_folder, settings={"pause_s": 0.1}), one_worker, look)
    assert listening == []


# -- deaths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["exit0", "kill"])
def test_a_worker_that_dies_once_is_replaced(
    toy_folder: Path, two_workers: Executor, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    step = failing(
        toy_folder, how, mark=str(toy_folder / "mark"), log=str(toy_folder / "log"), out="died"
    )
    with caplog.at_level(logging.WARNING):
        run_step(step, two_workers)
    assert "a worker died" in caplog.text
    # Not "with fewer": memory was not the cause.
    assert "part-00002-of-00006.parquet; trying again\n" in caplog.text
    check_folder(step.output)
    run_step(toy_step(toy_folder, out="undisturbed"))
    assert digests(step.output) == digests(toy_folder / "undisturbed")
    begun = Counter(x.split()[0] for x in (toy_folder / "log").read_text().splitlines())
    assert begun["00002-of-00006"] == 2


def test_a_single_worker_that_dies_once_is_replaced(toy_folder: Path, one_worker: Executor) -> None:
    step = failing(toy_folder, "exit7", mark=str(toy_folder / "mark"))
    run_step(step, one_worker)
    check_folder(step.output)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("exit0", "exit code 0"),
        ("segv", "signal SIGSEGV"),
        ("kill", "signal SIGKILL"),
    ],
)
def test_a_unit_that_always_kills_its_worker_is_named(
    toy_folder: Path, two_workers: Executor, how: str, cause: str
) -> None:
    step = failing(toy_folder, how)
    with pytest.raises(StageError) as caught:
        run_step(step, two_workers)
    message = str(caught.value)
    assert f"a worker died ({cause}) 2 times on " in message
    assert "/in/part-00002-of-00006.parquet;" in message
    assert MEND in message
    assert "\n" not in message
    assert not Path(step.output, "_MANIFEST.json").exists()


def test_a_unit_that_always_kills_a_single_worker_is_named(
    toy_folder: Path, one_worker: Executor
) -> None:
    with pytest.raises(StageError, match=r"died .* 2 times on .*part-00002-of-00006\.parquet"):
        run_step(failing(toy_folder, "exit0"), one_worker)


def test_a_shuffle_whose_worker_died_goes_on(tmp_path: Path, two_workers: Executor) -> None:
    texts = ["same\nline", "same\nother", "third\nline", "fourth"]
    rows = [[{"id": f"d{i}", "text": text}] for i, text in enumerate(texts)]
    write_parts(tmp_path / "in", rows)
    step = toy_step(tmp_path, "fatal_lines", settings={"keep": "first"})
    registry.STAGES["fatal_lines"] = f"{__name__}:FatalLines"
    try:
        with Executor(Engine(workers=2)) as executor:
            (tmp_path / "die").touch()
            run_step(step, executor)
        assert not (tmp_path / "die").exists()
        assert [r["text"] for r in read_rows(step.output)] == [
            "same\nline",
            "other",
            "third",
            "fourth",
        ]
        check_folder(step.output)
    finally:
        del registry.STAGES["fatal_lines"]


class FatalLines(registry.stage_class("line_dedup")):  # type: ignore[misc]
    """Kills its worker in a reduce while a file is there."""

    name = "fatal_lines"

    def reduce(self, key, values, reporter):  # type: ignore[no-untyped-def]
        mark = Path(self.step.output).parent / "die"
        if mark.exists():
            mark.unlink()
            os.kill(os.getpid(), 9)
        return super().reduce(key, values, reporter)


# -- exceptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("lines", "ValueError: the unit failed Traceback: a second line and a third one;"),
        ("memory", "MemoryError;"),
        ("system_exit", "SystemExit: 5;"),
        ("lose", "counts do not balance: 5 documents in, but 4 out + 0 rejected + 0 bad = 4;"),
    ],
)
def test_a_unit_that_fails_is_told_in_one_line(
    toy_folder: Path, two_workers: Executor, capfd: pytest.CaptureFixture[str], how: str, what: str
) -> None:
    step = failing(toy_folder, how)
    with pytest.raises(StageError) as caught:
        run_step(step, two_workers)
    message = str(caught.value)
    assert f"toy: {toy_folder}/in/part-00002-of-00006.parquet: {what} " in message
    assert MEND in message
    assert "\n" not in message
    assert capfd.readouterr().err == ""
    log = toy_folder / ".out.progress.log"
    assert f"(more in {log})" in message
    assert "Traceback" in log.read_text()


def test_a_unit_that_fails_in_a_single_worker_is_told_alike(
    toy_folder: Path, one_worker: Executor, two_workers: Executor
) -> None:
    messages = []
    for executor in (one_worker, two_workers):
        with pytest.raises(StageError) as caught:
            run_step(failing(toy_folder, "lines"), executor)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_an_executor_goes_on_after_failures(toy_folder: Path, two_workers: Executor) -> None:
    for how in ("raise", "kill"):
        with pytest.raises(StageError):
            run_step(failing(toy_folder, how, out=how), two_workers)
    run_step(toy_step(toy_folder, out="fine"), two_workers)
    check_folder(toy_folder / "fine")


def test_an_executor_whose_process_was_killed_says_so(toy_folder: Path) -> None:
    others = set(psutil.Process().children())
    with Executor(Engine(workers=2)) as executor:
        (mother,) = set(psutil.Process().children()) - others
        mother.kill()
        mother.wait()
        with pytest.raises(StageError, match="the process that runs stages was killed") as caught:
            run_step(toy_step(toy_folder), executor)
    assert str(caught.value).endswith("kept, the same command goes on from there")


def test_an_executor_leaves_no_process(toy_folder: Path) -> None:
    others = set(psutil.Process().children(recursive=True))
    mine: set[psutil.Process] = set()

    def look(progress: Progress, units: int) -> None:
        mine.update(set(psutil.Process().children(recursive=True)) - others)

    with Executor(Engine(workers=2)) as executor:
        run_step(toy_step(toy_folder, settings={"pause_s": 0.1}), executor, look)
    assert len(mine) >= 5  # the mother, the runner, the workers' mother, two workers
    psutil.wait_procs(mine, timeout=60)
    assert [p for p in mine if alive(p.pid)] == []


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("local", True),
        ("DirectRunner", True),
        ("FnApiRunner", True),
        ("directrunner", True),
        ("DataflowRunner", False),
        ("PortableRunner", False),
    ],
)
def test_names_of_the_local_engine(name: str, local: bool) -> None:
    assert Engine(runner=name).local is local
