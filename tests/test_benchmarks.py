"""The benchmarks measure the same work twice: here their counts are checked, never their times."""

from __future__ import annotations

import bz2
import hashlib
import json
import os
import random
import re
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warcio.warcwriter import WARCWriter

from benchmarks import __main__ as program
from benchmarks import (
    ccnet_path,
    data,
    flame,
    floors,
    growth,
    kernels,
    machine,
    plots,
    sheets,
    stages,
)
from benchmarks.cases import Case, cases
from benchmarks.ccnet_path import CcnetPath
from benchmarks.floors.normal_forms import line_key, model_line
from benchmarks.growth import Growth
from benchmarks.measure import Cost, MeasureError, Spread, in_fork, in_new_process, peak_rss
from benchmarks.processes import Used
from benchmarks.stages import FloorRun, Measured, PathRun, StageRun, WatchedRun
from stages.ccnet_text import line_hash, normalise_for_language_model
from stages.language_model.kenlm_tools import ToolsMissingError, find_tools

PAGES = 24
SENTENCE = (
    "the old house stood near a quiet river where children played after school and their mother"
    " called them home when it was time for dinner because rain had begun to fall on every roof"
)


def write_wet(path: Path, seed: int) -> None:
    choose = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for number in range(PAGES):
            lines = [" ".join(choose.choices(SENTENCE.split(), k=12)) for _ in range(8)]
            text = "\n".join([f"Page {number}", *lines, "all rights reserved"])
            writer.write_record(
                writer.create_warc_record(
                    f"http://site{seed}.example/{number}",
                    "conversion",
                    payload=BytesIO(text.encode()),
                    warc_content_type="text/plain",
                    warc_headers_dict={"WARC-Date": "2020-01-01T00:00:00Z"},
                )
            )


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> data.RawData:
    folder = tmp_path_factory.mktemp("raw")
    for seed in range(4):
        write_wet(folder / "wet" / f"{seed}.warc.wet.gz", seed)
    return data.find(folder, folder / "work")


@pytest.fixture(scope="module")
def measured(raw: data.RawData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    """The first steps, measured once with their floors."""
    stages.import_everything()
    work = tmp_path_factory.mktemp("work")
    found = cases(raw, str(work / "small"), large=False)[:4]
    least = cases(data.tiny(raw, work), str(work / "tiny"), large=False)[:4]
    runs = {m.name: m for m in stages.beside_floors(found, least, 1, lambda _: None)}
    assert [*runs] == ["commoncrawl", "url_dedup", "document_dedup", "line_dedup"]
    return runs


@pytest.fixture(scope="module")
def parts(raw: data.RawData, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Documents with a language, as far as floors look at them."""
    out = tmp_path_factory.mktemp("parts")
    floors.commoncrawl(list(raw.wet.large), str(out))()
    found = sorted(out.glob("*.parquet"))
    for path in found:
        table = pq.read_table(path)
        columns = {name: table[name] for name in ("id", "text")}
        columns |= {n: ["en"] * table.num_rows for n in ("language", "bucket")}
        columns["perplexity"] = [0.0] * table.num_rows
        pq.write_table(type(table).from_pydict(columns), path)
    return [str(path) for path in found]


def test_stage_and_floor_meet_the_same_documents(measured: dict[str, Measured]) -> None:
    assert measured["commoncrawl"].stage[0].documents_in == PAGES
    for step in measured.values():
        assert step.disagreement == ""
        assert step.stage[0].documents_out == PAGES
        assert step.text_bytes > PAGES * 300
        assert step.fixed.keys() == {"", *step.floors}
        assert step.stage[0].by_phase.keys() <= {"emit", "reduce", "process"}
        assert step.stage[0].unit_peak_rss <= step.stage[0].cost.peak_rss


def test_other_documents_are_told() -> None:
    def met(documents: int) -> Measured:
        cost = Cost(1.0, 1.0, 1)
        run = StageRun(cost, 10, 9, {"process": 0.5}, 1)
        floor = {"select": [FloorRun(cost, documents, 1000)]}
        return Measured("select", [run], floor, {"": 0.0, "select": 0.0})

    assert met(10).disagreement == ""
    assert met(11).disagreement == "select: 10 documents in the stage, 11 in select"
    notes = sheets.beside_floors([met(11)], Cost(0, 0, 1)).notes
    assert any("Not the same documents" in note for note in notes)


def test_both_token_floors_write_the_same_ids(parts: list[str], tmp_path: Path) -> None:
    trained = floors.tokenizer(parts, str(tmp_path / "model"))()
    model = str(tmp_path / "model" / "tokenizer.model")
    for make, name in (
        (floors.tokens_sentencepiece, "sentencepiece"),
        (floors.tokens_gigatoken, "gigatoken"),
    ):
        assert make(parts, model, str(tmp_path / name))() == trained
    written = [
        [p.read_bytes() for p in sorted((tmp_path / name).glob("*.bin"))]
        for name in ("sentencepiece", "gigatoken")
    ]
    assert len(written[0]) == len(parts)
    assert written[0] == written[1]


def test_model_floors_agree_on_the_language(parts: list[str], tmp_path: Path) -> None:
    try:
        find_tools()
    except ToolsMissingError as error:
        pytest.skip(str(error))
    out = tmp_path / "models"
    trained = floors.language_model(parts, "en", 1000, str(out))()
    (out / "sp.model").rename(out / "en.sp.model")
    (out / "arpa.bin").rename(out / "en.arpa.bin")
    scored = floors.perplexity(parts, str(out), "en", str(tmp_path / "scored"))()
    assert trained == scored
    assert trained.documents == 4 * PAGES
    for path in sorted((tmp_path / "scored").glob("*.parquet")):
        assert all(score > 1 for score in pq.read_table(path)["perplexity"].to_pylist())


def test_floors_normalise_as_the_stages_do() -> None:
    line = "Élan  “Vital”… 1234 — Ünïcode\tΑΒΓς １"
    assert model_line()(line) == normalise_for_language_model(line)
    digest = hashlib.sha1(line_key()(line).encode()).digest()[:8]
    assert int.from_bytes(digest, "little") == line_hash(line)


def test_every_floor_of_a_case_exists(raw: data.RawData) -> None:
    dumps = data.RawFiles(("a.bz2",), ("a.bz2",), False)
    found = cases(data.RawData("", raw.wet, dumps), "w", large=False)
    assert {f for case in found for f in case.floors} == floors.FLOORS.keys()


def test_wikipedia_floor_takes_articles_alone(tmp_path: Path) -> None:
    def page(title: str, ns: int, text: str, more: str = "") -> str:
        return (
            f"<page><title>{title}</title><ns>{ns}</ns>{more}"
            f"<revision><text>{text}</text></revision></page>"
        )

    xml = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">'
        + page("Kept", 0, "'''Bold''' [[link|word]]")
        + page("Talk:Not", 1, "talk")
        + page("Moved", 0, "#REDIRECT [[Kept]]", '<redirect title="Kept"/>')
        + "</mediawiki>"
    )
    dump = tmp_path / "enwiki.xml.bz2"
    dump.write_bytes(bz2.compress(xml.encode()))
    work = floors.wikipedia([str(dump)], str(tmp_path / "out"))()
    assert work == floors.Work(3, len("'''Bold''' [[link|word]]"))
    (written,) = (tmp_path / "out").glob("*.parquet")
    assert pq.read_table(written)["text"].to_pylist() == ["Bold word"]


def test_path_of_several_workers_does_the_same_work(raw: data.RawData, tmp_path: Path) -> None:
    stages.import_everything()
    (case, *_) = cases(raw, str(tmp_path / "out"), large=True)
    run = stages.run_path([case], 2)
    assert run.workers == 2
    assert run.text_bytes_in["commoncrawl"] > 4 * PAGES * 300
    assert len(list(Path(case.step.output).glob("part-*.parquet"))) >= 1


def test_start_up_runs_two_steps(tmp_path: Path) -> None:
    seconds = in_new_process("benchmarks.start_up", str(tmp_path / "work"), "1")
    assert seconds["first_s"] > seconds["step_s"] > 0
    assert (tmp_path / "work" / "second" / "_MANIFEST.json").exists()


# -- data -----------------------------------------------------------------------------------------


def test_a_quarter_of_many_files_and_copies_of_few(tmp_path: Path, raw: data.RawData) -> None:
    assert (len(raw.wet.small), len(raw.wet.large), raw.wet.copied) == (1, 4, False)
    assert set(raw.wet.small) < set(raw.wet.large)
    few = data.sized([Path(raw.wet.small[0])], tmp_path)
    assert (len(few.small), len(few.large), few.copied) == (1, 4, True)
    contents = {Path(path).read_bytes() for path in (*few.small, *few.large)}
    assert len(contents) == 1
    assert len({*few.small, *few.large}) == 5


def test_small_test_files_beside_the_data_are_left_out(tmp_path: Path) -> None:
    for name, size in (("wet/a", 900), ("wet/b", 900), ("fixtures/c", 1000)):
        path = tmp_path / f"{name}.wet.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
    found = data.find(tmp_path, tmp_path / "work")
    assert [Path(path).name for path in found.wet.small] == ["a.wet.gz", "b.wet.gz"]
    assert found.wikipedia is None


def test_tiny_data_is_a_text_as_pages_and_as_article(tmp_path: Path, raw: data.RawData) -> None:
    dumps = data.RawFiles(("a",), ("a",), False)
    tiny = data.tiny(data.RawData("", raw.wet, dumps), tmp_path)
    assert tiny.wikipedia is not None
    page = floors.commoncrawl(list(tiny.wet.small), str(tmp_path / "page"))()
    article = floors.wikipedia(list(tiny.wikipedia.small), str(tmp_path / "article"))()
    assert (page, article) == (floors.Work(4, 4000), floors.Work(1, 4000))
    assert data.tiny(raw, tmp_path).wikipedia is None


def test_a_folder_without_wet_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no WET file"):
        data.find(tmp_path, tmp_path / "work")


# -- measuring ------------------------------------------------------------------------------------


def test_fork_gives_value_and_its_own_memory() -> None:
    (length, inside), cost = in_fork(lambda: (len(bytearray(200 << 20)), peak_rss()))
    assert length == 200 << 20
    assert cost.peak_rss >= inside > 200 << 20
    assert in_fork(lambda: None)[1].peak_rss < inside  # not that of the fork before


def test_new_process_does_not_count_its_parents_memory(parts: list[str], tmp_path: Path) -> None:
    held = bytearray(b"x") * (600 << 20)
    arguments = json.dumps({"parts": parts, "out": str(tmp_path / "out")})
    answer = in_new_process("benchmarks.floors", "select", arguments)
    assert answer["documents"] == 4 * PAGES
    assert 0 < answer["cost"]["peak_rss"] < len(held)


def test_a_floor_that_fails_says_why() -> None:
    with pytest.raises(MeasureError, match="no_such_floor"):
        in_new_process("benchmarks.floors", "no_such_floor", "{}")


def test_failures_come_back_with_their_traceback() -> None:
    def fail() -> None:
        raise ValueError("this went wrong")

    with pytest.raises(MeasureError, match="this went wrong"):
        in_fork(fail)

    def vanish() -> None:
        os._exit(9)

    with pytest.raises(MeasureError, match="without an answer"):
        in_fork(vanish)


def test_spread_is_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


# -- tables ---------------------------------------------------------------------------------------


def figures() -> tuple[Measured, dict[int, list[PathRun]]]:
    def stage(cpu: float) -> StageRun:
        return StageRun(Cost(cpu, cpu, 300_000_000), 10, 9, {"process": cpu / 2}, 200_000_000)

    def floor(cpu: float) -> FloorRun:
        return FloorRun(Cost(cpu, cpu, 100_000_000), 10, 8_000_000)

    measured = Measured(
        "commoncrawl",
        [stage(2.0), stage(4.0), stage(8.0)],
        {"commoncrawl": [floor(1.0), floor(2.0), floor(2.0)]},
        {"": 1.0, "commoncrawl": 0.5},
    )

    def path(workers: int, seconds: float) -> PathRun:
        steps = sheets.DOCUMENT_STEPS
        return PathRun(workers, dict.fromkeys(steps, seconds), {"url_dedup": 1})

    return measured, {1: [path(1, 2.0)], 2: [path(2, 1.0)]}


def watched(worker: int, runner: int = 150_000_000) -> WatchedRun:
    peaks = {"worker": worker, "runner": runner, "launcher": 100_000_000}
    return WatchedRun(2.0, 1000, {role: Used(peak, 1.5) for role, peak in peaks.items()}, {})


def test_shares_are_those_of_as_many_documents_as_reach_a_step() -> None:
    """Ten documents come in, eight of them reach the next step, four the one after that."""

    def step(name: str, cpu_s: float, given: int, left: int) -> Measured:
        return Measured(name, [StageRun(Cost(cpu_s, 1.0, 1), given, left, {}, 1)])

    on_more, on_fewer = step("url_dedup", 4.0, 32, 16), step("document_dedup", 1.0, 2, 2)
    rows = sheets.where_time_goes([step("commoncrawl", 1.0, 10, 8), on_more, on_fewer]).rows
    assert [row[2] for row in rows] == ["25%", "25%", "50%"]


def test_tables_hold_rates_ratios_and_shares() -> None:
    measured, runs = figures()
    (row,) = sheets.beside_floors([measured], Cost(0, 0, 10)).rows
    assert row == (
        "commoncrawl",
        "8.0",
        "2.0 (1.0-4.0)",
        "4.0 (4.0-8.0)",
        "2.00 (2.00-4.00)",
        "1.00",
        "2.00",
        "300",
        "100",
    )
    (row,) = sheets.where_time_goes([measured]).rows
    assert row == ("commoncrawl", "4.00", "100%", "", "", "50%", "50%", "10", "9")
    assert sheets.ratios([measured]) == {"commoncrawl": 2.0}
    grown = {
        8: {"commoncrawl": watched(242_000_000, 300_000_000)},
        1: {"commoncrawl": watched(220_000_000), "tokenizer": watched(1_000_000)},
    }
    table = sheets.growth(Growth(grown, 5_000_000))
    assert table.columns == ("step: process", "1x\npeak MB", "8x\npeak MB", "growth")
    assert table.rows == (
        ("commoncrawl: worker", "220", "242", "1.10"),
        ("commoncrawl: runner", "150", "300", "2.00"),
        ("commoncrawl: launcher", "100", "100", "1.00"),
        ("tokenizer: worker", "1", "", ""),
        ("tokenizer: runner", "150", "", ""),
        ("tokenizer: launcher", "100", "", ""),
    )
    table = sheets.workers(runs, {1: {"first_s": 2.0, "step_s": 0.25}}, [1.5, 1.7, 1.8])
    assert "do 1.70 (1.50-1.80) times the work of one" in table.notes[1]
    assert table.columns == ("step", "1 worker\nwall s", "2 workers\nwall s", "times\nfaster")
    assert table.rows[-1] == ("all", "14.0", "7.0", "2.00")


def test_a_busy_machine_is_told() -> None:
    assert "others used the cores" in machine.load(3.2)
    assert machine.load(0.1) == "Load average before: 0.1"


def test_markdown_has_a_line_per_row_and_no_paths() -> None:
    _, runs = figures()
    sheet = sheets.growth(Growth({1: {"commoncrawl": watched(220_000_000)}}, 5_000_000))
    assert "| 1 worker wall s |" in sheets.workers(runs, {}, [1.5]).markdown()
    lines = sheet.markdown().splitlines()
    assert lines[2:5] == [
        "| step: process | 1x peak MB | growth |",
        "| --- | --: | --: |",
        "| commoncrawl: worker | 220 |  |",
    ]
    assert not re.search(r"/\w+/", sheet.markdown() + machine.machine())


def test_case_reads_the_parts_of_the_step_before(tmp_path: Path, raw: data.RawData) -> None:
    case: Case = cases(raw, str(tmp_path), large=False)[1]
    (tmp_path / "commoncrawl").mkdir()
    for name in ("part-00001-of-00002.parquet", "part-00000-of-00002.parquet", "other"):
        (tmp_path / "commoncrawl" / name).touch()
    given = case.floor_arguments("url_dedup", "out")
    assert [Path(path).name[:10] for path in given["parts"]] == ["part-00000", "part-00001"]
    assert given["out"] == "out"


# -- beside the plain loop ------------------------------------------------------------------------


def test_ccnet_path_decides_as_the_plain_loop(
    raw: data.RawData, parts: list[str], tmp_path: Path
) -> None:
    try:
        find_tools()
    except ToolsMissingError as error:
        pytest.skip(str(error))
    stages.import_everything()
    models = tmp_path / "models"
    floors.language_model(parts, "en", 1000, str(models))()
    (models / "sp.model").rename(models / "en.sp.model")
    (models / "arpa.bin").rename(models / "en.arpa.bin")
    tiny = data.tiny(raw, tmp_path / "raw").wet.small
    found = ccnet_path.measure(
        raw.wet.large, tiny, str(models), str(tmp_path / "work"), 1, lambda _: None
    )
    # No page has a line of its own but the first: the others are drawn from few words.
    assert found.documents == 4 * PAGES
    assert found.decided > 0
    assert set(found.differ.values()) == {0}
    assert [*found.steps[0]] == [*ccnet_path.STEPS]
    assert {"parse", "hash", "language", "KenLM"} <= found.kinds[0].keys()
    (_, once, here, lasting) = sheets.ccnet(found).rows
    assert once[0].startswith("plain loop that")
    assert (here[0], lasting[0]) == ("here", "here, without what is fixed")


def test_decisions_that_differ_are_counted_by_what_differs(tmp_path: Path) -> None:
    name = "0b61a6ab-43ff-4b5b-8ed2-3bb7e8b2d41%x"
    for folder, rows in (
        ("here", [("0", "a", "en", 10.0, "head"), ("1", "b", "en", 20.0, "tail")]),
        ("loop", [("0", "a", "de", None, None), ("2", "b", "en", 20.0, "tail")]),
    ):
        (tmp_path / folder).mkdir()
        columns = zip(*((name % int(n), *rest) for n, *rest in rows), strict=True)
        names = ("id", "text", "language", "perplexity", "bucket")
        table = pa.table(dict(zip(names, map(list, columns), strict=True)))
        pq.write_table(table, tmp_path / folder / "part-0.parquet")
    assert ccnet_path.differing(str(tmp_path / "here"), str(tmp_path / "loop")) == {
        "kept here alone": 1,
        "kept by the loop alone": 1,
        "text": 0,
        "language": 1,
        "bucket": 1,
        "perplexity": 1,
    }


def test_ratios_are_of_runs_side_by_side() -> None:
    found = CcnetPath(1, 1, [10.0, 30.0])
    found.kinds = [{"parse again": 1.0, "hash again": 3.0}] * 2
    found.steps = [{"a": 2.0, "b": 3.0}, {"a": 2.0, "b": 8.0}]
    assert (found.here, found.ratios) == ([5.0, 10.0], [2.0, 3.0])
    assert found.ratios_once == [1.2, 2.6]


def test_kernels_answer_as_the_plain_loops(raw: data.RawData, tmp_path: Path) -> None:
    (case, *_) = cases(raw, str(tmp_path), large=False)
    stages.import_everything()
    stages.run_stage(case.step)
    folder = case.step.output
    for kernel in kernels.measure(folder, folder, 1):
        assert kernel.answers >= PAGES
        assert set(kernel.differ.values()) == {0}
        assert kernel.ratio(next(iter(kernel.seconds))) == 1.0


# -- growth ---------------------------------------------------------------------------------------


def test_varied_files_share_no_line_and_no_url_with_the_first(
    raw: data.RawData, tmp_path: Path
) -> None:
    (path, *_) = raw.wet.small
    for number in (1, 2):
        growth.varied(Path(path), tmp_path / f"{number}.wet.gz", number)
    found = []
    for wet in (path, tmp_path / "1.wet.gz", tmp_path / "2.wet.gz"):
        out = tmp_path / Path(wet).name.split(".")[0]
        assert floors.commoncrawl([str(wet)], str(out))().documents == PAGES
        (written,) = out.glob("*.parquet")
        table = pq.read_table(written)
        lines = {x for text in table["text"].to_pylist() for x in text.split("\n")}
        found.append((set(table["url"].to_pylist()), set(table["id"].to_pylist()), lines))
    for some, others in ((0, 1), (0, 2), (1, 2)):
        for mine, theirs in zip(found[some], found[others], strict=True):
            assert mine and theirs and mine.isdisjoint(theirs)


def test_growth_runs_the_document_steps_with_more_files(
    raw: data.RawData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_measured", lambda case, size: case.name == "commoncrawl")
    stages.import_everything()
    alone = data.RawData("", data.RawFiles(raw.wet.small, raw.wet.small, True), None)
    with pytest.raises(KeyError, match="url_dedup"):
        growth.measure(alone, str(tmp_path / "a"), lambda _: None, (1,))
    monkeypatch.setattr(growth, "_measured", lambda case, size: case.name in STEPS)
    found = growth.measure(alone, str(tmp_path / "b"), lambda _: None, (1, 2))
    assert found.steps() == [*STEPS]
    assert found.runs[2]["url_dedup"].text_bytes_in > 1.9 * found.text_bytes
    for step in STEPS:
        assert all(found.cpu(step).values())
        for role in growth.ROLES:
            assert all(peak > 30 << 20 for peak in found.peaks(step, role).values())


STEPS = ("commoncrawl", "url_dedup")


# -- pictures -------------------------------------------------------------------------------------


def test_plots_are_svg_with_all_names() -> None:
    drawn = {
        "lines": plots.lines("T", "x", "y", {"<one>": {1: 2.0, 2: 3.0}, "two": {1: 2.0, 2: 3.1}}),
        "log": plots.lines("T", "x", "y", {"<one>": {1: 0.02, 16: 3.0}, "two": {1: 1.0}}, log=True),
        "bars": plots.bars("T", {"<one>": 0.5, "two": 2.0}, 1.25, "target"),
    }
    for picture in drawn.values():
        root = ElementTree.fromstring(picture)
        words = [e.text for e in root.iter() if e.tag.endswith("text")]
        assert {"T", "<one>", "two"} <= set(words)
    heights = [
        float(e.get("y", "0"))
        for e in ElementTree.fromstring(drawn["lines"]).iter()
        if e.text in ("<one>", "two")
    ]
    assert abs(heights[0] - heights[1]) >= 14


def test_flame_graph_has_a_box_for_what_took_long() -> None:
    with flame.Sampler() as sampler:
        end = time.process_time() + 0.15
        while time.process_time() < end:
            sum(range(2000))
    name = "test_benchmarks.py:test_flame_graph_has_a_box_for_what_took_long"
    mine = sum(n for stack, n in sampler.stacks.items() if stack[-1] == name)
    assert mine > 0.1e6
    picture = flame.svg(sampler.stacks, "a <title>")
    titles = [e.text or "" for e in ElementTree.fromstring(picture).iter()]
    assert any(text.startswith(name) and text.endswith("%") for text in titles)


def test_flame_graph_begins_with_the_stage() -> None:
    engine = ("<frozen runpy>:run", "stages/engine/run.py:run_step")
    inside = "stages/dedup/lines.py:LineDedup.emit"
    rule = "stages/engine/rules.py:RuleStage.process"
    found = flame.of_the_stage(
        Counter({(*engine, inside, "x:y"): 2, (*engine, rule, "x:z"): 1, engine: 3})
    )
    assert found == {(inside, "x:y"): 2, (rule, "x:z"): 1, ("outside units",): 3}


def test_steps_on_more_text_are_parted_from_the_others(raw: data.RawData, tmp_path: Path) -> None:
    found = cases(raw, str(tmp_path), large=False)
    usual, much = program._parted(found)
    assert [c.name for c in much] == [*program._ON_MUCH]
    assert [c.name for c in found if c not in much] == [c.name for c in usual]
