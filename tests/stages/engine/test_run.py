"""One step: skipped, gone on with, redone or refused, and never mistaken for finished."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from stages import registry
from stages.engine import files, manifest
from stages.engine import run as running
from stages.engine.execute import StageError
from stages.engine.manifest import ManifestError
from stages.engine.run import is_current, run_step
from stages.engine.step import InputError, Step
from tests.stages.helpers import (
    check_folder,
    digests,
    read_rows,
    toy_input,
    toy_step,
    write_part,
    write_parts,
)

pytestmark = pytest.mark.usefixtures("toys")


def begun(tmp: Path) -> Counter[str]:
    """How often each unit was begun, from the toy's log."""
    log = tmp / "log"
    return Counter(line.split()[0] for line in log.read_text().splitlines() if log.exists())


def logged(tmp: Path, **more: Any) -> Step:
    settings = {"log": str(tmp / "log"), **more.pop("settings", {})}
    return toy_step(tmp, settings=settings, **more)


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


# -- done, skipped --------------------------------------------------------------------------------


def test_a_finished_step_explains_itself_and_leaves_nothing_else(toy_folder: Path) -> None:
    step = toy_step(toy_folder, settings={"reject": "text 1 2"})
    result = run_step(step)
    assert not result.skipped
    check_folder(toy_folder / "out")
    assert names(toy_folder / "out") == {
        "_MANIFEST.json",
        "rejected",
        *(f"part-{i:05d}-of-00006.parquet" for i in range(6)),
    }
    assert names(toy_folder) == {"in", "out"}
    done = result.manifest
    assert (done.stage, done.counts.documents_in, done.counts.reasons) == (
        "toy",
        30,
        {"contains": 1},
    )
    assert done.settings["reject"] == "text 1 2"
    assert manifest.load(step.output) == done


def test_a_finished_step_is_skipped(toy_folder: Path) -> None:
    step = logged(toy_folder)
    assert is_current(step) is None
    first = run_step(step)
    again = run_step(step)
    assert again.skipped
    assert again.manifest == first.manifest
    assert is_current(step) == first.manifest
    assert set(begun(toy_folder).values()) == {1}


def test_the_name_of_a_step_does_not_decide_its_output(toy_folder: Path) -> None:
    run_step(toy_step(toy_folder))
    assert run_step(replace(toy_step(toy_folder), name="other")).skipped


@pytest.mark.parametrize(
    "change",
    [{"settings": {"reject": "text 1"}}, {"layout": {"split_bytes": 1}}],
    ids=["settings", "layout"],
)
def test_a_step_with_other_settings_is_redone(toy_folder: Path, change: dict[str, Any]) -> None:
    run_step(toy_step(toy_folder))
    step = toy_step(toy_folder, **change)
    assert is_current(step) is None
    assert not run_step(step).skipped
    check_folder(toy_folder / "out")


def test_another_version_of_a_stage_or_library_redoes_it(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_step(toy_step(toy_folder))
    monkeypatch.setattr(registry.stage_class("toy"), "version", 2)
    assert not run_step(toy_step(toy_folder)).skipped
    versions = {**manifest.code_version(), "pyarrow": "0"}
    monkeypatch.setattr(manifest, "code_version", lambda: versions)
    assert not run_step(toy_step(toy_folder)).skipped


def raw(tmp: Path, text: str = "a\tone\nb\ttwo\n") -> Step:
    (tmp / "raw").mkdir(exist_ok=True)
    (tmp / "raw" / "dump.txt").write_text(text)
    return toy_step(tmp, "toy_source", inputs={"input": [str(tmp / "raw")]})


def test_raw_input_of_the_same_size_but_other_content_is_read_again(tmp_path: Path) -> None:
    step = raw(tmp_path)
    run_step(step)
    old = os.stat(tmp_path / "raw" / "dump.txt").st_mtime
    raw(tmp_path, "a\tone\nb\ttoo\n")
    os.utime(tmp_path / "raw" / "dump.txt", (old + 1, old + 1))
    assert not run_step(step).skipped
    assert [r["text"] for r in read_rows(step.output)] == ["one", "too"]


def test_touched_but_equal_raw_input_is_not_read_again(tmp_path: Path) -> None:
    step = raw(tmp_path)
    run_step(step)
    os.utime(tmp_path / "raw" / "dump.txt", (1, 1))
    assert run_step(step).skipped


def test_a_new_raw_file_is_read(tmp_path: Path) -> None:
    step = raw(tmp_path)
    run_step(step)
    (tmp_path / "raw" / "more.txt").write_text("c\tthree\n")
    assert not run_step(step).skipped
    assert [r["id"] for r in read_rows(step.output)] == ["a", "b", "c"]


def test_a_redone_input_step_with_equal_output_does_not_redo_what_follows(tmp_path: Path) -> None:
    first = raw(tmp_path)
    second = toy_step(tmp_path, out="next", inputs={"input": [first.output]})
    run_step(first)
    run_step(second)
    shutil.rmtree(first.output)
    run_step(first)
    assert run_step(second).skipped
    raw(tmp_path, "a\tone\nb\tanother\n")
    run_step(first)
    assert not run_step(second).skipped
    assert [r["text"] for r in read_rows(second.output)] == ["one", "another"]


@pytest.mark.parametrize("damage", ["deleted", "truncated", "deleted reject"])
def test_a_step_whose_output_was_damaged_is_redone(toy_folder: Path, damage: str) -> None:
    step = toy_step(toy_folder, settings={"reject": "text 2"})
    run_step(step)
    before = digests(step.output)
    victim = Path(step.output, "part-00003-of-00006.parquet")
    if damage == "deleted":
        victim.unlink()
    elif damage == "truncated":
        victim.write_bytes(victim.read_bytes()[:-1])
    else:
        next(Path(step.output, "rejected").iterdir()).unlink()
    assert is_current(step) is None
    assert not run_step(step).skipped
    assert digests(step.output) == before


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"{}", b"not json"])
def test_a_corrupted_manifest_is_named_and_nothing_is_deleted(
    toy_folder: Path, content: bytes
) -> None:
    step = toy_step(toy_folder)
    run_step(step)
    (toy_folder / "out" / "_MANIFEST.json").write_bytes(content)
    before = digests(step.output)
    with pytest.raises(ManifestError, match=r"out/_MANIFEST\.json: not a manifest"):
        run_step(step)
    assert digests(step.output) == before


def test_a_folder_with_foreign_files_is_refused_and_kept(toy_folder: Path) -> None:
    (toy_folder / "out").mkdir()
    (toy_folder / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds files of something else"):
        run_step(toy_step(toy_folder))
    assert names(toy_folder / "out") == {"thesis.tex"}


def test_the_output_of_another_stage_is_refused_and_kept(toy_folder: Path) -> None:
    run_step(toy_step(toy_folder))
    before = digests(toy_folder / "out")
    other = toy_step(toy_folder, "select", settings={"buckets": None})
    with pytest.raises(InputError, match="holds files of something else"):
        run_step(other)
    assert digests(toy_folder / "out") == before
    assert (toy_folder / "out" / "_MANIFEST.json").exists()


@pytest.mark.parametrize("where", ["in", "in/", "./in/../in", "link"])
def test_an_output_that_is_the_input_is_refused_and_kept(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    # A step clears its folder before it begins: it would delete what it is to read.
    run_step(toy_step(toy_folder, out="step"))
    shutil.rmtree(toy_folder / "in")
    (toy_folder / "step").rename(toy_folder / "in")
    (toy_folder / "link").symlink_to(toy_folder / "in")
    monkeypatch.chdir(toy_folder)
    before = digests("in")
    with pytest.raises(InputError, match="lies in its output"):
        run_step(toy_step(toy_folder, output=where, settings={"reject": "x"}))
    assert digests("in") == before


def test_an_output_that_holds_an_input_is_refused_and_kept(tmp_path: Path) -> None:
    write_part(tmp_path / "out" / "in" / "part-0.parquet", [{"id": "a", "text": "x"}])
    step = toy_step(tmp_path, inputs={"input": [f"{tmp_path}/out/in/*.parquet"]})
    with pytest.raises(InputError, match="lies in its output"):
        run_step(step)
    assert len(digests(tmp_path)) == 1


def test_an_output_within_an_input_folder_is_refused(tmp_path: Path) -> None:
    # The next run would find its own output among its raw files.
    step = raw(tmp_path)
    with pytest.raises(InputError, match="lies in its input"):
        run_step(replace(step, output=str(tmp_path / "raw" / "out")))
    assert names(tmp_path / "raw") == {"dump.txt"}


def test_a_sibling_whose_name_begins_alike_is_no_part_of_the_input(toy_folder: Path) -> None:
    assert not run_step(toy_step(toy_folder, out="in-measured")).skipped


def test_a_half_done_step_is_no_input(toy_folder: Path) -> None:
    half = toy_step(toy_folder, settings={"how": "raise", "on": "u3d0"})
    with pytest.raises(StageError):
        run_step(half)
    assert list(Path(half.output).glob("part-*"))
    with pytest.raises(InputError, match="half done; finish that step first"):
        run_step(toy_step(toy_folder, out="next", inputs={"input": [half.output]}))
    assert not (toy_folder / "next").exists()


def test_an_input_step_that_lacks_a_file_is_refused(toy_folder: Path) -> None:
    first = toy_step(toy_folder)
    run_step(first)
    Path(first.output, "part-00001-of-00006.parquet").unlink()
    with pytest.raises(InputError, match=r"out lacks part-00001-of-00006\.parquet"):
        run_step(toy_step(toy_folder, out="next", inputs={"input": [first.output]}))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"inputs": {"input": ["/nowhere/*.parquet"]}}, "no file matches /nowhere"),
        ({"inputs": {}}, "give --input"),
        ({"inputs": {"input": ["x"], "models": ["y"]}}, "has no input 'models'"),
        ({"settings": {"rejekt": 1}}, "rejekt: Extra inputs are not permitted"),
        ({"settings": {"pause_s": "long"}}, "pause_s: .*valid number.*'long'"),
        ({"layout": {"split_bytes": 0}}, "split_bytes: .*greater than or equal to 1"),
        ({"stage": "toyy"}, "no stage is called 'toyy'; there are .*toy"),
    ],
)
def test_what_cannot_work_is_said_in_one_line_before_anything_is_made(
    toy_folder: Path, step: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run_step(replace(toy_step(toy_folder), **step))
    assert "\n" not in str(caught.value)
    assert not (toy_folder / "out").exists()


@pytest.mark.parametrize("content", [b"no parquet", b""])
def test_an_input_that_is_no_part_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "part-x.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"part-x\.parquet"):
        run_step(toy_step(tmp_path))


# -- gone on with ---------------------------------------------------------------------------------


def interrupted(tmp: Path) -> Step:
    """A step that failed on one unit; run again, it will not."""
    step = logged(tmp, settings={"how": "raise", "on": "u3d0", "mark": str(tmp / "mark")})
    with pytest.raises(
        StageError, match=r"part-00003-of-00006\.parquet: ValueError: the unit failed"
    ):
        run_step(step)
    return step


def test_a_failed_step_has_no_manifest_and_goes_on_where_it_stopped(toy_folder: Path) -> None:
    step = interrupted(toy_folder)
    assert not (toy_folder / "out" / "_MANIFEST.json").exists()
    assert is_current(step) is None
    first = begun(toy_folder)
    run_step(step)
    assert begun(toy_folder) == Counter({f"{i:05d}-of-00006": 1 for i in range(6)}) + Counter(
        ["00003-of-00006"]
    )
    assert first["00003-of-00006"] == 1
    check_folder(toy_folder / "out")
    run_step(toy_step(toy_folder, out="undisturbed"))
    assert digests(toy_folder / "out") == digests(toy_folder / "undisturbed")


def test_a_half_done_step_with_other_settings_begins_anew(toy_folder: Path) -> None:
    interrupted(toy_folder)
    run_step(toy_step(toy_folder, settings={"reject": "text 1"}))
    check_folder(toy_folder / "out")
    assert len(read_rows(toy_folder / "out")) == 25


def test_a_half_done_step_whose_input_changed_begins_anew(toy_folder: Path) -> None:
    step = interrupted(toy_folder)
    toy_input(toy_folder, documents=4)
    run_step(step)
    check_folder(toy_folder / "out")
    assert len(read_rows(toy_folder / "out")) == 24


@pytest.mark.parametrize("damage", ["part deleted", "part cut", "record empty", "state empty"])
def test_what_was_damaged_in_a_half_done_step_is_done_again(toy_folder: Path, damage: str) -> None:
    step = interrupted(toy_folder)
    out = toy_folder / "out"
    record = sorted((out / ".units").iterdir())[0]
    part = out / f"part-{record.stem}.parquet"
    if damage == "part deleted":
        part.unlink()
    elif damage == "part cut":
        part.write_bytes(part.read_bytes()[:100])
    elif damage == "record empty":
        record.write_bytes(b"")  # a power cut may leave this behind
    else:
        (out / ".state.json").write_bytes(b"")
    run_step(step)
    check_folder(out)
    run_step(toy_step(toy_folder, out="undisturbed"))
    assert digests(out) == digests(toy_folder / "undisturbed")


def test_leftovers_of_a_killed_writer_are_removed(toy_folder: Path) -> None:
    step = interrupted(toy_folder)
    (toy_folder / "out" / ".tmp-0123").write_bytes(b"half a part")
    run_step(step)
    check_folder(toy_folder / "out")


def test_leftovers_of_a_run_killed_at_its_very_end_are_removed(toy_folder: Path) -> None:
    step = toy_step(toy_folder)
    run_step(step)
    (toy_folder / "out" / ".state.json").write_text("{}")
    (toy_folder / "out" / ".units").mkdir()
    assert run_step(step).skipped
    check_folder(toy_folder / "out")


@pytest.mark.parametrize("survivors", [0, 1, 3])
def test_a_run_killed_while_it_cleared_its_folder_goes_on(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    run_step(toy_step(toy_folder, settings={"reject": "text 1"}))
    calls = []

    def remove(path: str, missing_ok: bool = True) -> None:
        calls.append(path)
        if len(calls) > survivors:
            raise KeyboardInterrupt
        real(path, missing_ok)

    real = files.remove
    step = toy_step(toy_folder)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "remove", remove)
        run_step(step)
    assert survivors == 0 or not (toy_folder / "out" / "_MANIFEST.json").exists()
    run_step(step)
    check_folder(toy_folder / "out")
    assert len(read_rows(toy_folder / "out")) == 30


def test_a_run_killed_before_its_first_file_goes_on(toy_folder: Path) -> None:
    (toy_folder / "out").mkdir()
    (toy_folder / "out" / ".tmp-abc").write_bytes(b"")
    run_step(toy_step(toy_folder))
    check_folder(toy_folder / "out")


def test_a_half_done_folder_that_was_moved_begins_anew(toy_folder: Path) -> None:
    # Records of a shuffle hold paths.
    interrupted(toy_folder)
    finished = [p.stem for p in (toy_folder / "out" / ".units").iterdir()]
    (toy_folder / "out").rename(toy_folder / "moved")
    moved = logged(
        toy_folder,
        out="moved",
        settings={"how": "raise", "on": "u3d0", "mark": str(toy_folder / "mark")},
    )
    run_step(moved)
    assert finished
    assert all(begun(toy_folder)[name] == 2 for name in finished)
    check_folder(toy_folder / "moved")


# -- counts ---------------------------------------------------------------------------------------


def test_a_stage_that_loses_a_document_fails(toy_folder: Path) -> None:
    step = toy_step(toy_folder, settings={"how": "lose", "on": "u2d0"})
    with pytest.raises(StageError, match="counts do not balance: 5 documents in, but 4 out"):
        run_step(step)
    assert not (toy_folder / "out" / "_MANIFEST.json").exists()


def test_a_source_that_drops_a_record_fails(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="2 records found, but 1 accounted for"):
        run_step(raw(tmp_path, "a\tone\n!drop\n"))


def test_documents_of_the_step_before_that_are_not_read_fail_the_step(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_step(toy_step(toy_folder))
    stage = registry.stage_class("toy")
    whole = stage.units
    monkeypatch.setattr(stage, "units", lambda self: whole(self)[:-1])
    with pytest.raises(
        StageError, match="30 documents were written by the steps before, 25 were read"
    ):
        run_step(toy_step(toy_folder, out="next", inputs={"input": [str(toy_folder / "out")]}))
    assert not (toy_folder / "next" / "_MANIFEST.json").exists()


def test_a_part_that_vanishes_while_the_step_runs_fails_it(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(*args: Any) -> None:
        (toy_folder / "out" / "part-00000-of-00006.parquet").unlink(missing_ok=True)

    with monkeypatch.context() as patch:
        patch.setattr(running, "_check_counts", vanish)
        with pytest.raises(StageError, match=r"part-00000-of-00006\.parquet was removed"):
            run_step(toy_step(toy_folder))
    run_step(toy_step(toy_folder))
    check_folder(toy_folder / "out")


def test_a_step_whose_records_are_mostly_bad_fails_and_goes_on_with_a_higher_limit(
    tmp_path: Path,
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("a\tone\n!bad\n!bad\n")
    source = toy_step(tmp_path, "toy_source", inputs={"input": [str(tmp_path / "raw")]})
    with pytest.raises(StageError, match=r"2 of 3 records are bad, more than max_bad 0\.5"):
        run_step(replace(source, max_bad=0.5))
    assert not (tmp_path / "out" / "_MANIFEST.json").exists()
    assert not run_step(replace(source, max_bad=0.7)).skipped
    assert run_step(replace(source, max_bad=0.7)).skipped
    with pytest.raises(StageError, match="records are bad"):
        run_step(replace(source, max_bad=0.5))


# -- other ----------------------------------------------------------------------------------------


def test_several_inputs_are_read_in_the_order_given(tmp_path: Path) -> None:
    a = write_parts(tmp_path / "a", [[{"id": "a", "text": "x"}]])
    b = write_parts(tmp_path / "b", [[{"id": "b", "text": "y"}]])
    run_step(toy_step(tmp_path, inputs={"input": [b, a]}))
    assert [r["id"] for r in read_rows(tmp_path / "out")] == ["b", "a"]


def test_large_parts_are_cut_and_give_the_same_documents(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "text": "x" * i} for i in range(40)]
    write_part(tmp_path / "in" / "part-0.parquet", rows, rows_per_group=7)
    run_step(toy_step(tmp_path, out="whole"))
    run_step(toy_step(tmp_path, out="cut", layout={"split_bytes": 200}))
    assert len(list((tmp_path / "cut").glob("part-*"))) > 1
    assert read_rows(tmp_path / "cut") == read_rows(tmp_path / "whole")
    check_folder(tmp_path / "cut")


def test_remote_file_systems_hold_input_output_and_state(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    root = f"memory://{tmp_path.name}"
    fs.pipe(f"/{tmp_path.name}/raw/a.txt", b"a\tone\nb\tsame\n!bad\n")
    fs.pipe(f"/{tmp_path.name}/raw/b.txt", b"c\tthree\nd\tsame\n")
    steps = [
        Step("s", "toy_source", f"{root}/s", {"input": [f"{root}/raw"]}),
        Step("r", "toy", f"{root}/r", {"input": [f"{root}/s"]}, {"reject": "three"}),
        Step("l", "line_dedup", f"{root}/l", {"input": [f"{root}/r"]}),
        Step("d", "document_dedup", f"{root}/d", {"input": [f"{root}/l"]}),
    ]
    try:
        for step in steps:
            assert not run_step(step).skipped
            assert run_step(step).skipped
        done = manifest.load(f"{root}/d")
        assert done is not None
        assert done.counts.documents_out == 1
        found = {p.removeprefix(f"/{tmp_path.name}/") for p in fs.find(f"/{tmp_path.name}")}
        assert found == {
            "raw/a.txt",
            "raw/b.txt",
            "s/_MANIFEST.json",
            "s/part-00000-of-00001.parquet",
            "s/bad/part-00000-of-00001.parquet",
            "r/_MANIFEST.json",
            "r/part-00000-of-00001.parquet",
            "r/rejected/part-00000-of-00001.parquet",
            "l/_MANIFEST.json",
            "l/part-00000-of-00001.parquet",
            "l/rejected/part-00000-of-00001.parquet",
            "d/_MANIFEST.json",
            "d/part-00000-of-00001.parquet",
        }
        with pytest.raises(InputError, match="lies in its output"):
            run_step(Step("x", "toy", f"{root}/r", {"input": [f"{root}/r/"]}))
    finally:
        fs.rm(f"/{tmp_path.name}", recursive=True)
