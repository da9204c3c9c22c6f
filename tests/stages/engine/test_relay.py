"""Relays: whichever way values go, each target gets the same values and the same bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup.lines import LineDedup
from stages.engine import files, records, relay, resume
from stages.engine import run as running
from stages.engine.execute import Engine, Executor, StageError
from stages.engine.relay import Relay, gather, hand_over, place_of, planned, values_of
from stages.engine.run import run_step
from stages.engine.step import SHUFFLE, Step
from stages.engine.stretches import AT, moved, nameless, read, read_one, stretch
from tests.stages.helpers import read_rows, write_parts


def with_bytes(value: Any) -> Any:
    return moved(value, lambda *where: {"bytes": bytes(read_one(stretch(*where))).hex()})


def send(way: Relay, folder: str, sources: dict[Any, list[tuple[Any, Any]]]) -> dict[Any, Any]:
    """target -> values, through sheets and gathers as transforms has them."""
    gathers: dict[str, list[Any]] = {}
    for source, pairs in sources.items():
        for key, value in hand_over(way, source, pairs, f"{folder}/sheet-{source}"):
            gathers.setdefault(key, []).append(orjson.loads(orjson.dumps(value)))
    targets: dict[Any, list[Any]] = {}
    for key, references in gathers.items():
        # A runner hands values over in any order.
        for target, where in gather(references[::-1], f"{folder}/s-{key}", f"{folder}/d-{key}"):
            targets.setdefault(target, []).append(where)
    return {target: values_of(where[::-1]) for target, where in targets.items()}


def make(folder: str, source: int, keys: list[str], size: int) -> list[tuple[str, Any]]:
    """A source's pairs, each with two stretches of a file and one of another."""
    blobs = [bytes([source, i % 251]) * (1 + (size + i) % 5) for i in range(2 * len(keys))]
    other, own = f"{folder}/other-{source}", f"{folder}/own-{source}"
    files.write_bytes(other, b"ab" * 10)
    files.write_bytes(own, b"".join(blobs))
    pairs, at = [], 0
    for i, key in enumerate(keys):
        refs = []
        for blob in blobs[2 * i : 2 * i + 2]:
            refs.append(stretch(own, at, len(blob)))
            at += len(blob)
        pairs.append((key, [source, i, refs, {"more": stretch(other, i % 5, 3)}, None, "x"]))
    return pairs


@given(
    st.lists(st.lists(st.integers(0, 29), unique=True, max_size=12), min_size=1, max_size=9),
    st.integers(1, 5), st.integers(1, 6), st.integers(0, 40), st.integers(1, 64), st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_each_target_gets_the_values_and_bytes_it_gets_without_a_relay(
    tmp_path_factory: pytest.TempPathFactory,
    wanted: list[list[int]],
    unit_groups: int,
    key_groups: int,
    size: int,
    window: int,
    remote: bool,
) -> None:
    way = Relay(len(wanted), unit_groups, key_groups)
    folder = f"memory://{uuid.uuid4().hex}" if remote else str(tmp_path_factory.mktemp("relay"))
    sources = {
        unit: make(folder, unit, [f"k.{n:05d}-of-00030" for n in sorted(numbers)], size)
        for unit, numbers in enumerate(wanted)
    }
    expected: dict[str, list[Any]] = {}
    for pairs in sources.values():
        for key, value in pairs:
            expected.setdefault(key, []).append(with_bytes(value))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay, "_WINDOWS_BYTES", window)
        patch.setattr(relay, "_SMALLEST_WINDOW", window)
        found = send(way, folder, sources)
    assert {k: [with_bytes(v) for v in values] for k, values in found.items()} == expected


def test_the_way_back_is_the_same(tmp_path: Path) -> None:
    way = Relay(units=7, unit_groups=3, key_groups=2)
    back = {
        f"{p:05d}-of-00004": [
            (unit, [p, [r[AT] for r in value[2]]]) for unit in range(7) for _, value in pairs[:1]
        ]
        for p in range(4)
        if (pairs := make(str(tmp_path), p, ["a"], 3))
    }
    found = send(way, str(tmp_path), back)
    assert sorted(found) == list(range(7))
    assert all([value[0] for value in values] == [0, 1, 2, 3] for values in found.values())


def test_neighbours_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(range(100)))
    asked: list[tuple[int, int]] = []
    plain = files.read_range

    def watched(where: str, start: int, count: int) -> bytes:
        asked.append((start, count))
        return plain(where, start, count)

    monkeypatch.setattr(files, "read_range", watched)
    refs = [stretch(str(path), *x) for x in ((0, 10), (10, 5), (20, 0), (20, 10), (15, 5))]
    assert [bytes(b) for b in read(refs)] == [
        bytes(range(10)), bytes(range(10, 15)), b"", bytes(range(20, 30)), bytes(range(15, 20)),
    ]  # fmt: skip
    assert asked == [(0, 15), (20, 10), (15, 5)]


def test_files_far_away_are_asked_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"memory://{uuid.uuid4().hex}"
    keys = [f"k.{n:05d}-of-00030" for n in range(30)]
    sources = {unit: make(folder, unit, keys, 7) for unit in range(6)}
    at_once: list[int] = []
    plain = files.read_ranges

    def watched(ranges: Any) -> Any:
        listed = list(ranges)
        at_once.append(len(listed))
        return plain(listed)

    monkeypatch.setattr(relay, "_WINDOWS_BYTES", 12 * 40)
    monkeypatch.setattr(relay, "_SMALLEST_WINDOW", 40)
    monkeypatch.setattr(files, "read_ranges", watched)
    found = send(Relay(6, 1, 1), folder, sources)
    assert len(found) == 30
    # The sheets; then 12 files of 20 and some 180 bytes, forty at a time; then what was gathered.
    assert at_once[:2] == [6, 12]
    assert len(at_once) < 12 * 180 / 40


def test_a_file_that_is_too_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"123")
    with pytest.raises(OSError, match="f: 1 bytes where 4 were expected"):
        read_one(stretch(str(tmp_path / "f"), 2, 4))


def test_what_a_value_says_does_not_depend_on_where_bytes_lie() -> None:
    one = [3, {"x": [stretch("a", 0, 9)]}, "b"]
    assert nameless(one) == nameless([3, {"x": [stretch("c", 7, 9)]}, "b"])
    assert nameless(one) != nameless([4, {"x": [stretch("a", 0, 9)]}, "b"])


@pytest.mark.parametrize(
    ("units", "keys"),
    [(1000, 400), (16_000, 7_800), (320_000, 67_000), (100_000, 4), (3, 30_000), (10**6, 1)],
)
def test_a_relay_leaves_few_references_and_gathers_of_bounded_size(units: int, keys: int) -> None:
    way = planned(units, keys)
    assert way is not None
    forth = units * way.key_groups + way.unit_groups * keys
    back = keys * way.unit_groups + way.key_groups * units
    assert max(forth, back) <= units + keys + 2.2 * (units * keys) ** 0.75 * (
        max(1, (units * keys) ** 0.25 / 256)
    )
    assert -(-units // way.unit_groups) * -(-keys // way.key_groups) <= 513**2


def test_small_shuffles_go_straight() -> None:
    assert planned(100, 200) is None
    assert planned(100, 201) is not None
    assert planned(0, 10) is None


def test_numbered_keys_stand_in_their_order_and_others_anywhere_inside() -> None:
    numbered = [f"a.{n:05d}-of-00070" for n in range(70)]
    assert [place_of(key) for key in numbered] == [n / 70 for n in range(70)]
    others = [place_of(key) for key in ("all", "x", "7-of-7", "de", "00012")]
    assert all(0 <= place < 1 for place in others) and len(set(others)) == 5


def small_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "DIRECT", 0)
    monkeypatch.setattr(relay, "_LARGEST_SIDE", 2)


def documents() -> Iterator[list[dict[str, Any]]]:
    for part in range(5):
        yield [
            {"id": f"{part}/{i}", "text": f"only {'abcde'[part]}{'xyzuvw'[i]}\nshared {i}\nall"}
            for i in range(6)
        ]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_step_by_relay_writes_the_same(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(tmp_path / "in", list(documents()))

    def run(name: str) -> Any:
        step = Step("l", "line_dedup", f"{tmp_path}/{name}", {"input": [f"{tmp_path}/in"]})
        if not workers:
            return run_step(step).manifest
        with Executor(Engine(workers=workers)) as executor:
            return run_step(step, executor).manifest

    straight = run("straight")
    small_sides(monkeypatch)
    relayed = run("relayed")
    assert relayed.digest == straight.digest
    assert {"gather", "scatter"} <= set(relayed.run["cpu_s_by_phase"])
    assert "gather" not in straight.run["cpu_s_by_phase"]
    assert len(read_rows(tmp_path / "relayed")) == 30


def test_a_run_that_failed_gathers_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(tmp_path / "in", list(documents()))
    step = Step("l", "line_dedup", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]})
    small_sides(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(LineDedup, "process_with", _fail)
        with pytest.raises(StageError, match="no process today"):
            run_step(step)
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / ".shuffle").iterdir()}
    kinds = {p.name.split("-")[0] for p in written}
    assert {"emit", "gather", "reduce", "scatter", "sheet", "data", "run"} <= kinds
    with monkeypatch.context() as patch:
        patch.setattr(running, "_tidy", lambda step: None)
        done = run_step(step).manifest
    assert {p: p.stat().st_mtime_ns for p in written} == written
    assert done.counts.documents_out == 30
    assert done.run["references"] > 0


def _fail(*_: Any) -> Any:
    raise RuntimeError("no process today")


def test_a_gather_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parts(tmp_path / "in", list(documents()))
    step = Step("l", "line_dedup", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]})
    small_sides(monkeypatch)
    monkeypatch.setattr(relay, "gather", _fail)
    with pytest.raises(StageError, match=r"^l: gather \d{5}\.\d{5}: .* no process today"):
        run_step(step)


def test_a_step_that_ends_with_its_reduce_waits_for_all_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys of its reduce are known from the gathers only."""
    write_parts(tmp_path / "in", list(documents()))
    small_sides(monkeypatch)
    step = Step("s", "line_dedup", f"{tmp_path}/out", {"input": [f"{tmp_path}/in"]})
    monkeypatch.setattr(LineDedup, "final", False)
    with monkeypatch.context() as patch:
        patch.setattr(running, "_tidy", lambda step: None)
        run_step(step)
    stage = LineDedup(step)
    assert records.finished(stage, stage.units())
    next((tmp_path / "out" / ".shuffle").glob("reduce-*.json")).unlink()
    assert not records.finished(stage, stage.units())
    next((tmp_path / "out" / ".shuffle").glob("gather-*.json")).unlink()
    assert not records.finished(stage, stage.units())


def _stopped_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "out"
) -> Step:
    write_parts(tmp_path / "in", list(documents()))
    step = Step("l", "line_dedup", f"{tmp_path}/{name}", {"input": [f"{tmp_path}/in"]})
    with monkeypatch.context() as patch:
        patch.setattr(LineDedup, "process_with", _fail)
        with pytest.raises(StageError, match="no process today"):
            run_step(step)
    return step


KINDS = ["run-", "keep-", "sheet-gather-", "data-gather-", "sheet-scatter-", "data-scatter-"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["gone", "cut", "zeros"])
def test_what_pieces_of_work_left_is_made_anew_where_it_is_damaged(
    kind: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "gather" in kind or "scatter" in kind:
        small_sides(monkeypatch)
    step = _stopped_before_its_end(tmp_path, monkeypatch)
    good = step.output.replace("out", "good")
    expected = run_step(replace(step, output=good)).manifest
    some = sorted((tmp_path / "out" / ".shuffle").glob(f"{kind}*"))
    victim = next(path for path in some if path.stat().st_size and path.suffix != ".json")
    before = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    elif damage == "cut":
        victim.write_bytes(before[:-1])
    else:
        # As after a crash of the machine, which has started anew since.
        victim.write_bytes(bytes(len(before)))
        monkeypatch.setattr(resume, "_boot", lambda: "another")
    assert run_step(step).manifest.digest == expected.digest


@pytest.mark.parametrize("name", ["out", "out/"])
def test_records_name_all_that_pieces_of_work_left(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_sides(monkeypatch)
    step = _stopped_before_its_end(tmp_path, monkeypatch, name)
    told = [
        row["path"]
        for record in records.each(step, SHUFFLE, sorted(records.names(step, SHUFFLE)))
        for row in record.scratch
    ]
    there = {f".shuffle/{path.name}" for path in (tmp_path / "out" / ".shuffle").iterdir()}
    assert sorted(told) == sorted(path for path in there if not path.endswith(".json"))


def test_a_step_begun_by_another_relay_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = _stopped_before_its_end(tmp_path, monkeypatch)
    expected = run_step(replace(step, output=f"{tmp_path}/good")).manifest
    small_sides(monkeypatch)
    assert run_step(step).manifest.digest == expected.digest
