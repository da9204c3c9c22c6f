"""`corpus why`: the verdict of every step on one document, on small runs made here."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline import cli, plan, recipe, why, why_show
from pipeline.find_document import Equal, Place, Query, SameKey, UrlHint, scan
from pipeline.run import RECIPE_FILE
from pipeline.why_findings import Answer, Finding, Trail
from pipeline.why_lines import difference, locate
from stages import registry
from stages import urls as web
from stages.documents import PartWriter
from stages.engine import files
from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import Step, plain
from stages.engine.units import Piece, number
from stages.outcomes import Bad, Document, Rejected
from tests.stages import helpers
from tokenizer.train import TokenizerSettings, train_tokenizer


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the toy stages of the engine's tests known."""
    helpers.register(lambda name, where: monkeypatch.setitem(registry.STAGES, name, where))


# -- raw pages ------------------------------------------------------------------------------------

MENU = "Home | Products | About us | Contact the whole team"
FOOTER = "All rights reserved by the owners of this page since 1999"
RED = "\x1b[31mRed alert\x1b[0m \x9b2J \u202egnp.exe this line is hostile and shared"
HOSTILE = ("\x1b", "\x9b", "\u202e", "\x07")


def prose(topic: str, n: int = 4) -> list[str]:
    """English lines that no other topic has."""
    return [
        f"The {topic} was described by the old captain in letter {letter} of his {topic} diary,"
        f" which the museum of the town still keeps for the visitors."
        for letter in "abcdefgh"[:n]
    ]


PAGES: dict[str, tuple[str, str, list[str]]] = {
    # name: (URL, date, lines)
    "plain": ("http://a.example/plain", "2019-01-01", prose("lighthouse")),
    "partly": (
        "http://a.example/partly",
        "2019-01-02",
        [MENU, *prose("harbour"), "", prose("harbour")[0], RED, FOOTER],
    ),
    "other": ("http://b.example/other", "2019-01-03", [MENU.upper(), *prose("bridge"), RED]),
    "third": ("http://c.example/third", "2019-01-04", [*prose("garden"), MENU, FOOTER + "!"]),
    "footer": ("http://c.example/footer", "2019-01-04", [*prose("market"), FOOTER]),
    "emptied": ("http://d.example/emptied", "2019-01-05", [MENU, FOOTER]),
    "old": ("http://e.example/page", "2018-01-01", prose("winter")),
    "new": ("HTTP://E.example:80/x/../page#top", "2020-01-01", prose("summer")),
    "copy": ("http://f.example/copy", "2019-02-01", prose("engine")),
    "copied": ("http://f.example/copied", "2019-02-02", prose("engine")),
    "short": ("http://g.example/short", "2019-02-03", ["Too short."]),
    "french": (
        "http://h.example/fr",
        "2019-02-04",
        [
            "Le vieux capitaine parlait souvent de la mer et de ses voyages lointains avec joie.",
            "Les enfants du village aimaient beaucoup entendre ces histoires au coin du feu.",
        ],
    ),
    "www": ("https://www.i.example/page/?", "2019-02-05", prose("forest")),
    "hostile": (
        "http://j.example/hostile",
        "2019-02-06",
        ["\x1b]0;owned\x07 title of the page \u202e", *prose("storm"), RED],
    ),
}


def record(name: str) -> bytes:
    url, date, lines = PAGES[name]
    body = "\n".join(lines).encode()
    head = [
        "WARC/1.0",
        "WARC-Type: conversion",
        f"WARC-Target-URI: {url}",
        f"WARC-Date: {date}T00:00:00Z",
        f"WARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}>",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return gzip.compress("\r\n".join(head).encode() + body + b"\r\n\r\n", mtime=0)


def write_wet(folder: Path) -> dict[str, str]:
    """Two WET files, the second with a damaged record; the offset of each page, by name."""
    folder.mkdir(parents=True)
    names = list(PAGES)
    origins: dict[str, str] = {}
    for i, chosen in enumerate((names[:5], names[5:])):
        path = folder / f"part-{i:05d}.warc.wet.gz"
        content = b""
        for name in chosen:
            origins[name] = f"{path}#{len(content)}"
            content += record(name)
        if i:
            origins["bad"] = f"{path}#{len(content)}"
            broken = bytearray(record("plain"))
            broken[40] ^= 0xFF
            content += bytes(broken)
        path.write_bytes(content)
    return origins


def write_c4(folder: Path) -> None:
    folder.mkdir(parents=True)
    pages = [
        ("http://a.example/plain", [*prose("island"), "Click here to read more about us."]),
        ("http://k.example/1", [*prose("valley"), "Click here to read more about us."]),
        ("http://k.example/2", ["Click here to read more about us. Now."]),
    ]
    rows = [
        {"url": url, "text": "\n".join(lines), "timestamp": "2019-04-25T12:57:54Z"}
        for url, lines in pages
    ]
    (folder / "c4-train.00000-of-00001.json").write_text("\n".join(map(json.dumps, rows)) + "\n")


# -- runs -----------------------------------------------------------------------------------------


def crawl_recipe(raw: Path, model: Path, **line_dedup: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "tokenizer": {"path": str(model)},
        "tokens": {"valid_share": 0.2},
        "total_tokens": 100_000,
        "sources": {
            "commoncrawl": {
                "proportion": 3,
                "input": [str(raw / "wet")],
                "stages": [
                    {"commoncrawl": {"min_chars": 40}},
                    "url_dedup",
                    "document_dedup",
                    {"line_dedup": line_dedup},
                    "language",
                    {"select": {"languages": ["en"], "buckets": None, "min_chars": 100}},
                ],
            },
            "c4": {
                "proportion": 1,
                "input": [str(raw / "c4")],
                "stages": [
                    "c4",
                    {"c4_line_dedup": {"min_sentences": 1, "sentences": "marks"}},
                    {"overlap": {"against": "commoncrawl"}},
                ],
            },
        },
    }


def start(values: dict[str, Any], work: Path) -> list[Step]:
    work.mkdir()
    (work / RECIPE_FILE).write_text(yaml.safe_dump(values))
    loaded, _ = recipe.load(str(work / RECIPE_FILE), str(work))
    return plan.steps(loaded, str(work))


class Made:
    """A finished run, and another one of `keep: first` that ends with line dedup."""

    def __init__(self, root: Path) -> None:
        self.origins = write_wet(root / "raw" / "wet")
        write_c4(root / "raw" / "c4")
        model = root / "tokenizer.model"
        lines = [line for _, _, page in PAGES.values() for line in page] + ["0123456789"]
        train_tokenizer([*lines, *prose("island")], model, TokenizerSettings(vocab_size=340))
        self.work, self.first = root / "work", root / "first"
        for step in start(crawl_recipe(root / "raw", model), self.work):
            run_step(step)
        self.raw, self.model = root / "raw", model
        self.again(self.first, keep="first")

    def again(self, work: Path, **line_dedup: Any) -> None:
        """Another run, up to line dedup, with the same steps before it."""
        steps = start(crawl_recipe(self.raw, self.model, **line_dedup), work)[:4]
        for step in steps[:3]:
            shutil.copytree(self.work / step.name, step.output)
        run_step(steps[3])

    def id(self, name: str) -> str:
        (found,) = why.why(str(self.work), self.origins[name]).documents
        return found.id


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("why"))


def only(answer: Answer) -> Trail:
    (trail,) = answer.documents
    return trail


def at(trail: Trail, stage: str) -> Finding:
    return next(f for f in trail.steps if f.stage == stage)


def shown(answer: Answer, all_lines: bool = False) -> str:
    out = StringIO()
    why_show.show(answer, Console(file=out, width=200, force_terminal=False), all_lines)
    return out.getvalue()


# -- the way of a document ------------------------------------------------------------------------


def test_a_kept_page_tells_of_every_step_and_its_place_in_the_shards(made: Made) -> None:
    trail = only(why.why(str(made.work), made.origins["plain"]))
    assert [f.verdict for f in trail.steps] == ["entered", *["kept"] * 6]
    assert [f.bytes_after for f in trail.steps] == [len("\n".join(prose("lighthouse")))] * 7
    assert at(trail, "language").gained["language"] == "en"
    assert any(n.startswith("next to it:") for n in at(trail, "language").notes)
    assert [(c.setting, c.passes) for c in at(trail, "select").checks] == [
        ("languages", True),
        ("min_chars", True),
    ]
    assert trail.in_corpus
    (place,) = trail.tokens
    sidecar = made.work / "tokens" / place.shard.replace(".bin", ".docs.parquet")
    mine = next(r for r in pq.read_table(sidecar).to_pylist() if r["id"] == trail.id)
    assert (place.first_token, place.length) == (mine["first_token"], mine["length"])
    assert place.split in place.shard


def test_epochs_are_those_of_the_manifest_and_none_for_what_is_held_out(made: Made) -> None:
    manifest = files.read_json(str(made.work / "tokens" / "manifest.json"))
    epochs: dict[str, set[float | None]] = {"train": set(), "valid": set()}
    held_out = ""
    for name in ("plain", "partly", "third", "footer", "new", "copy", "www", "hostile"):
        for place in only(why.why(str(made.work), made.origins[name])).tokens:
            epochs[place.split].add(place.epochs)
            held_out = name if place.split == "valid" else held_out
    assert epochs["train"] == {manifest["sources"]["commoncrawl"]["implied_epochs"]}
    assert epochs["valid"] == {0.0}
    assert "held out, so never trained on" in shown(why.why(str(made.work), made.origins[held_out]))


def test_each_reader_reject_has_its_reason_explained(made: Made) -> None:
    trail = only(why.why(str(made.work), "http://g.example/short"))
    assert [f.verdict for f in trail.steps] == ["rejected", *["not reached"] * 6]
    first = trail.steps[0]
    assert (first.reason, first.detail) == ("too_short", "10 characters")
    assert first.explanation == "fewer characters than `min_chars`"
    assert first.settings == {"min_chars": 40}  # the setting that its explanation names
    assert trail.summary == "rejected by commoncrawl: too_short"
    assert not trail.in_corpus


def test_a_url_with_several_crawls_lists_them_all_and_names_the_one_that_stayed(
    made: Made,
) -> None:
    trails = why.why(str(made.work), "http://e.example/page").documents
    verdicts = {t.url: (t.found_by, at(t, "url_dedup").verdict) for t in trails}
    assert verdicts == {
        "http://e.example/page": ("url", "rejected"),
        "HTTP://E.example:80/x/../page#top": ("normalised url", "kept"),
    }
    old, new = sorted(trails, key=lambda t: t.created or "")
    assert [other.id for other in at(old, "url_dedup").stayed] == [new.id]
    assert at(new, "url_dedup").notes == [f"stayed for another crawl of its URL: {old.id}"]
    assert "2 documents match:" in shown(why.why(str(made.work), "http://e.example/page"))


def test_a_copy_names_the_document_that_has_its_text(made: Made) -> None:
    trail = only(why.why(str(made.work), made.id("copied")))
    finding = at(trail, "document_dedup")
    assert (finding.verdict, finding.reason) == ("rejected", "duplicate_document")
    assert [(o.id, o.url) for o in finding.stayed] == [(made.id("copy"), "http://f.example/copy")]


def test_select_shows_the_threshold_that_failed(made: Made) -> None:
    finding = at(only(why.why(str(made.work), made.id("french"))), "select")
    assert (finding.verdict, finding.reason, finding.detail) == ("rejected", "language", "fr")
    assert [(c.setting, c.value, c.passes) for c in finding.checks] == [
        ("languages", "fr", False),
        ("min_chars", len("\n".join(PAGES["french"][2])), True),
    ]


# -- lines ----------------------------------------------------------------------------------------


def test_a_partly_deduplicated_page_says_for_each_line_who_else_has_it(made: Made) -> None:
    trail = only(why.why(str(made.work), made.id("partly")))
    lines = at(trail, "line_dedup").lines
    assert lines is not None
    assert (lines.before, lines.after, lines.added) == (9, 4, [])
    found = {r.line: (r.text, r.why, r.documents, [h.id for h in r.holders]) for r in lines.removed}
    ids = {name: made.id(name) for name in ("other", "third", "emptied", "footer", "hostile")}
    assert found == {
        # MENU is in capitals in `other`: normalised lines are compared.
        1: (MENU, "every copy goes", 3, [ids["other"], ids["third"], ids["emptied"]]),
        6: ("", "blank", None, []),
        7: (prose("harbour")[0], "repeated: the page has it before", 0, []),
        8: (RED, "every copy goes", 2, [ids["other"], ids["hostile"]]),
        9: (FOOTER, "every copy goes", 2, [ids["footer"], ids["emptied"]]),
    }
    assert all(r.kept_in is None for r in lines.removed)
    assert at(trail, "line_dedup").settings["keep"] == "none"


def test_holders_are_counted_in_full_and_named_up_to_a_number(made: Made) -> None:
    one = at(only(why.why(str(made.work), made.id("partly"), holders=1)), "line_dedup").lines
    assert one is not None
    assert (one.removed[0].documents, len(one.removed[0].holders)) == (3, 1)
    none = at(only(why.why(str(made.work), made.id("partly"), holders=0)), "line_dedup").lines
    assert none is not None
    assert (none.removed[0].documents, none.removed[0].holders) == (3, [])


def test_a_page_of_nothing_but_shared_lines_shows_them_though_it_left(made: Made) -> None:
    finding = at(only(why.why(str(made.work), made.id("emptied"))), "line_dedup")
    assert (finding.verdict, finding.reason) == ("rejected", "duplicate_lines")
    assert finding.lines is not None
    assert (finding.lines.before, finding.lines.after) == (2, 0)
    assert [r.documents for r in finding.lines.removed] == [3, 2]


def test_with_keep_first_the_first_document_has_the_line_and_loses_none(made: Made) -> None:
    first = at(only(why.why(str(made.first), made.id("partly"))), "line_dedup").lines
    assert first is not None
    assert [(r.line, r.why) for r in first.removed] == [
        (6, "blank"),
        (7, "repeated: the page has it before"),
    ]
    later = at(only(why.why(str(made.first), made.id("other"))), "line_dedup").lines
    assert later is not None
    found = [(r.line, r.why, r.kept_in and r.kept_in.id) for r in later.removed]
    partly = made.id("partly")
    assert found == [
        (1, "kept in the first document", partly),
        (6, "kept in the first document", partly),
    ]


def test_line_hashes_are_computed_where_the_column_is_absent(made: Made, tmp_path: Path) -> None:
    # With the paper's normal form the stored hashes, which are CCNet's, are of no use.
    made.again(tmp_path / "work", variant="paper")
    lines = at(only(why.why(str(tmp_path / "work"), made.id("partly"))), "line_dedup").lines
    assert lines is not None
    # Without punctuation the footer of `third` is the same line, too.
    assert [(r.line, r.documents) for r in lines.removed if r.documents] == [(1, 3), (8, 2), (9, 3)]


def test_c4_names_the_page_that_keeps_the_line(made: Made) -> None:
    trail = only(why.why(str(made.work), "http://k.example/1"))
    finding = at(trail, "c4_line_dedup")
    assert finding.lines is not None
    (line,) = finding.lines.removed
    assert line.text == "Click here to read more about us."
    assert line.kept_in is not None and line.kept_in.url == "http://a.example/plain"
    assert finding.gained == {"meta.c4_lines": {"duplicate": 1}}


def test_overlap_names_the_document_of_the_other_source(made: Made) -> None:
    trails = {t.source: t for t in why.why(str(made.work), "http://a.example/plain").documents}
    assert set(trails) == {"commoncrawl", "c4"}
    finding = at(trails["c4"], "overlap")
    assert [o.id for o in finding.stayed] == [trails["commoncrawl"].id]
    assert finding.gained == {"meta.overlap": ["url"]}


def test_a_row_is_found_in_units_of_several_groups_beside_empty_parts(tmp_path: Path) -> None:
    rows = [{"id": f"{i}", "text": "t"} for i in range(7)]
    full = helpers.write_part(tmp_path / "b.parquet", rows, rows_per_group=2)
    empty = helpers.write_part(tmp_path / "a.parquet", [])
    units = number([[Piece(empty, 0, 0)], [Piece(full, 0, 1)], [Piece(full, 1, 4)]])
    assert locate(units, Place(full, 0, 1)) == (1, 1)
    assert locate(units, Place(full, 3, 0)) == (2, 4)
    assert locate(units, Place("c.parquet", 0, 0)) == (-1, -1)
    whole = number([[Piece(empty), Piece(full)]])
    assert locate(whole, Place(full, 3, 0)) == (0, 6)


@pytest.mark.parametrize(
    ("before", "after", "removed", "added"),
    [
        ("a\nb\nc", "a\nc", [2], []),
        ("x\na\nx", "x\na", [3], []),  # the first copy stays
        ("a\nb", "", [1, 2], []),
        ("  a  \nb", "a\nb", [], []),  # white space does not count
        ("one two three\nb", "one three\nb", [1], [(1, "one three")]),
        ("a\nb", "b\na", [], []),  # other order, same lines
    ],
)
def test_difference(
    before: str, after: str, removed: list[int], added: list[tuple[int, str]]
) -> None:
    found = difference(before, after)
    assert ([r.line for r in found.removed], found.added) == (removed, added)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), min_size=1, max_size=30))
def test_difference_and_what_is_left_make_up_the_text(lines: list[tuple[str, bool]]) -> None:
    before = "\n".join(line for line, _ in lines)
    left = [line for line, stays in lines if stays]
    found = difference(before, "\n".join(left))
    gone = [r.text for r in found.removed]
    assert found.added == []
    assert sorted(gone + left) == sorted(line for line, _ in lines)


# -- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "how"),
    [
        ("https://www.i.example/page/?", "url"),
        ("HTTPS://www.I.example:443/page/?", "normalised url"),
        ("http://i.example/page", "url without scheme and www"),
        ("i.example/page", "url without scheme and www"),
    ],
)
def test_a_url_is_found_however_it_is_written(made: Made, query: str, how: str) -> None:
    trail = only(why.why(str(made.work), query))
    assert (trail.id, trail.found_by) == (made.id("www"), how)


def test_an_origin_may_lack_its_folders(made: Made) -> None:
    name = made.origins["new"].rpartition("/")[2]
    trail = only(why.why(str(made.work), name))
    assert (trail.id, trail.found_by) == (made.id("new"), "origin")


def test_a_bad_record_is_found_by_file_and_offset(made: Made) -> None:
    for query in (made.origins["bad"], made.origins["bad"].rpartition("/")[2]):
        answer = why.why(str(made.work), query)
        assert answer.documents == []
        (bad,) = answer.bad
        assert f"{bad.file}#{bad.offset}" == made.origins["bad"]
        assert bad.error.startswith("gzip: ")
        assert bad.explanation == "a gzip member does not decompress to its checksum"
    assert "bad record of commoncrawl" in shown(answer)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "B", "%7e", "%2F", "é", "..", ".", "x-y", "?", "=", "/"])),
    st.sampled_from(["http://A.example", "HTTP://www.a.Example:80", "https://a.EXAMPLE"]),
)
def test_the_fast_test_of_urls_never_misses_one(parts: list[str], host: str) -> None:
    url = f"{host}/{'/'.join(parts)}"
    key, normal = web.match_key(url), web.normalise(url)
    assert key is not None and normal is not None
    for written in (url, normal, f"http://{key}"):
        for asked in (url, normal):
            hint = UrlHint.of(web.match_key(asked) or "")
            mask = hint.mask(pa.chunked_array([[written]], pa.string()))
            assert mask.to_pylist() == [True], (written, asked)


def test_row_groups_that_cannot_hold_the_value_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": f"{i:03d}", "text": "t", "url": None} for i in range(40)]
    path = helpers.write_part(tmp_path / "part-00000-of-00001.parquet", rows, rows_per_group=10)
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def counted(self: Any, i: int, *args: Any, **more: Any) -> Any:
        read.append(i)
        return whole(self, i, *args, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    (hit,) = scan([path], Equal("id", "025", ("origin",)))
    assert hit.place == Place(path, 2, 5)
    assert hit.values == {"id": "025", "origin": "toy://025"}
    assert read == [2]
    read.clear()
    assert scan([path], Query("zzz")) == [] and read == []


def test_an_unknown_document_is_told_with_where_it_was_looked_for(made: Made) -> None:
    answer = why.why(str(made.first), "no such id")
    assert not answer.found
    line = why_show.not_found(answer)
    assert "no such id: no id, URL or origin" in line and "\n" not in line
    assert "commoncrawl (13 documents, 1 rejected, 1 bad)" in line
    assert "commoncrawl.line_dedup (10 documents, 1 rejected, 0 bad)" in line
    assert "not run yet: c4, " in line and "commoncrawl.select" in line.partition("; not run")[2]


@pytest.mark.parametrize("query", ["", "\udcff", "%", "http://[x", "#", "/", "0", ".*", "\0"])
def test_odd_queries_find_nothing_and_do_no_harm(made: Made, query: str) -> None:
    assert not why.why(str(made.first), query).found


def test_damaged_files_are_named(tmp_path: Path, made: Made) -> None:
    made.again(tmp_path / "work")
    part = next((tmp_path / "work" / "commoncrawl").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(OSError, match=r"part-00000-of-00001.parquet is no readable Parquet file"):
        why.why(str(tmp_path / "work"), "x")


# -- steps that are not as the recipe has them ----------------------------------------------------


def test_steps_that_are_not_run_are_shown_as_such(made: Made) -> None:
    trail = only(why.why(str(made.first), made.id("plain")))
    assert [f.verdict for f in trail.steps] == ["entered", *["kept"] * 3, *["not run"] * 3]
    assert trail.summary == "kept so far; commoncrawl.language is not run yet"
    assert "not run" in shown(why.why(str(made.first), made.id("plain")))


def test_a_changed_setting_and_what_was_made_before_it_are_marked(
    made: Made, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    for name in ("commoncrawl", "commoncrawl.url_dedup", "commoncrawl.document_dedup"):
        shutil.copytree(made.work / name, work / name)
    shutil.copy(made.work / RECIPE_FILE, work)

    values = yaml.safe_load((work / RECIPE_FILE).read_text())
    values["sources"]["commoncrawl"]["stages"][1] = {"url_dedup": {"keep": "first"}}
    (work / RECIPE_FILE).write_text(yaml.safe_dump(values))
    trail = only(why.why(str(work), "http://a.example/plain"))
    assert [f.state for f in trail.steps[:4]] == ["done", "changed", "done", "to do"]
    loaded, _ = recipe.load(str(work / RECIPE_FILE), str(work))
    run_step(plan.steps(loaded, str(work))[1])
    trails = why.why(str(work), "http://e.example/page").documents
    old = next(t for t in trails if t.created and t.created < "2019")
    assert [f.state for f in old.steps[:4]] == ["done", "done", "stale", "to do"]
    # It stays now, but the step after has never seen it.
    assert [f.verdict for f in old.steps[:3]] == ["entered", "kept", "missing"]
    assert "made from other output of the steps before" in old.summary
    assert "stale" in shown(why.why(str(work), "http://e.example/page"))


# -- stages that nobody knows, and scores ---------------------------------------------------------


def by_hand(
    step: Step,
    outcomes: Sequence[Document | Rejected | Bad],
    before: Manifest | None = None,
    columns: Sequence[pa.Field] = (),
) -> Manifest:
    """A finished step with these outcomes."""
    part = "part-00000-of-00001.parquet"
    with PartWriter(step.output, part, step.name, columns) as out:
        for outcome in outcomes:
            out.outcome(outcome)
    stage = registry.stage_class(step.stage)
    inputs = [{"port": "input", "path": "x", "digest": before.digest}] if before else []
    done = Manifest(
        step=step.name,
        stage=step.stage,
        version=stage.version,
        settings=plain(stage.Settings.model_validate(step.settings)),
        inputs=inputs,
        models={},
        counts=out.counts,
        files=out.files,
    )
    done.digest = done.outputs_digest()
    done.save(step.output)
    return done


def scored(key: str, text: str = "one\ntwo", **scores: Any) -> Document:
    return Document(key, text, "commoncrawl", f"raw.wet#{key}", language="en", extra=scores)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Documents h and t with scores, up to a `select` that is not run."""
    values = {
        "name": "scores",
        "language_model": {"path": str(tmp_path)},
        "tokenizer": {"path": "none.model"},
        "sources": {
            "commoncrawl": {
                "proportion": 1,
                "input": ["raw.wet"],
                "stages": [
                    "commoncrawl",
                    "perplexity",
                    {"reference": {"model_file": "some.bin"}},
                    {"select": {"min_reference_score": 0.25}},
                ],
            }
        },
    }
    raw, perplexity, reference, select, _ = start(values, tmp_path / "work")
    keys = ("h", "t", "u")
    done = by_hand(raw, [scored(k) for k in keys])
    marks = {
        "h": {"perplexity": 300.1, "bucket": "head"},
        "t": {"perplexity": 900.5, "bucket": "tail"},
        "u": {},
    }
    done = by_hand(perplexity, [scored(k, **marks[k]) for k in keys], done)
    files.write_json(
        str(Path(perplexity.output) / "cutoffs.json"),
        {"en": {"documents": 7, "cutoffs": [400.0, 600.5]}, "fr": {"cutoffs": None}},
    )
    told = {"h": {"reference_score": 0.3}, "t": {"reference_score": 0.1}, "u": {}}
    done = by_hand(reference, [scored(k, **marks[k], **told[k]) for k in keys], done)
    by_hand(
        select,
        [
            scored("h", **marks["h"], **told["h"]),
            Rejected("t", "raw.wet#t", "bucket_tail", "perplexity 900.5"),
            Rejected("u", "raw.wet#u", "no_bucket", "en"),
        ],
        done,
    )
    return tmp_path / "work"


def test_scores_come_with_cutoffs_and_thresholds(scores: Path) -> None:
    trail = only(why.why(str(scores), "t"))
    perplexity = at(trail, "perplexity")
    assert perplexity.gained == {"perplexity": 900.5, "bucket": "tail", "cutoffs": [400.0, 600.5]}
    assert perplexity.notes == [
        "en: head below 400, middle below 600.5, then tail (recalibrated, 7 documents scored)"
    ]
    reference = at(trail, "reference")
    assert reference.gained == {"reference_score": 0.1}  # not 0.10000000149011612
    assert reference.notes == ["commoncrawl.select asks for 0.25 or more"]
    select = at(trail, "select")
    assert [(c.setting, c.value, c.passes) for c in select.checks] == [
        ("buckets", "tail", False),
        ("min_reference_score", pytest.approx(0.1), False),
    ]
    assert select.explanation == "in a perplexity bucket not asked for"
    passed = at(only(why.why(str(scores), "h")), "select")
    assert [c.passes for c in passed.checks] == [True, True]


def test_a_document_without_model_is_told_so(scores: Path) -> None:
    trail = only(why.why(str(scores), "u"))
    assert at(trail, "perplexity").notes == [
        "no language model for en, so no perplexity and no bucket"
    ]
    assert at(trail, "reference").notes[0].startswith("no reference score")


def test_a_stage_that_nobody_knows_is_told_of_from_its_files(
    tmp_path: Path, toys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "name": "toys",
        "tokenizer": {"path": "none.model"},
        "sources": {
            "commoncrawl": {
                "proportion": 1,
                "input": ["raw.wet"],
                "stages": ["commoncrawl", {"toy": {"reject": "spam"}}],
            }
        },
    }
    raw, toy, _ = start(values, tmp_path / "work")
    keys = ("cut", "renamed", "gone", "failed", "lost")
    done = by_hand(raw, [scored(k) for k in keys])
    more = {"extra": {"length": 3}, "meta": {"span": [1, 2]}}
    outcomes = [
        Document("cut", "one", "commoncrawl", "raw.wet#cut", **more),
        Document("c4/renamed", "one\ntwo", "c4", "raw.wet#renamed", extra={"length": 7}),
        Rejected("gone", "raw.wet#gone", "contains", "kept: cut; score 0.97"),
        Bad("part-00000-of-00001.parquet", "failed", "ValueError: cannot judge"),
    ]
    by_hand(toy, outcomes, done, [pa.field("length", pa.int32())])
    work = str(tmp_path / "work")

    cut = at(only(why.why(work, "cut")), "toy")
    assert cut.verdict == "changed" and (cut.bytes_before, cut.bytes_after) == (7, 3)
    assert cut.lines is not None and [r.text for r in cut.lines.removed] == ["two"]
    assert cut.gained == {"length": 3, "meta.span": [1, 2]}
    assert cut.settings == {"reject": "spam"}  # not the default
    assert "two" in shown(why.why(work, "cut"))

    gone = at(only(why.why(work, "gone")), "toy")
    assert (gone.verdict, gone.explanation) == ("rejected", "contains what it must not")
    assert [o.id for o in gone.stayed] == ["cut"]

    failed = at(only(why.why(work, "failed")), "toy")
    assert (failed.verdict, failed.detail) == ("bad", "ValueError: cannot judge")

    lost = only(why.why(work, "lost"))
    assert at(lost, "toy").verdict == "missing"
    assert lost.summary == "in no file of commoncrawl.toy"

    # An id that only a later step knows leads to the whole way.
    for query in ("c4/renamed", "renamed"):
        trail = only(why.why(work, query))
        assert trail.id == "c4/renamed"
        assert [f.verdict for f in trail.steps] == ["entered", "kept", "not run"]
        assert trail.steps[1].gained["id"] == "c4/renamed"


# -- what is printed ------------------------------------------------------------------------------


@pytest.mark.parametrize("all_lines", [False, True])
def test_nothing_of_a_page_reaches_the_terminal_as_a_command(made: Made, all_lines: bool) -> None:
    for name in ("hostile", "partly", "other"):
        out = shown(why.why(str(made.work), made.id(name)), all_lines)
        assert not [c for c in out if c in HOSTILE], name
    assert "\\x1b[31mRed alert\\x1b[0m \\x9b2J \\u202egnp.exe" in out
    assert "\\x1b]0;owned" in shown(why.why(str(made.work), made.id("hostile")))


def test_the_query_itself_is_printed_safely(made: Made) -> None:
    line = why_show.not_found(why.why(str(made.first), "\x1b[2J\n\u202e"))
    assert line.isprintable() and "\\x1b[2J\\n" in line


def test_json_escapes_and_keeps_what_the_page_has(made: Made) -> None:
    answer = why.why(str(made.work), made.id("partly"))
    data = why_show.to_json(answer)
    assert not [c for c in data.decode() if c in HOSTILE]
    assert all(c.isprintable() or c == "\n" for c in data.decode())
    value = json.loads(data)
    assert value == json.loads(json.dumps(answer.to_json()))
    dedup = next(s for s in value["documents"][0]["steps"] if s["stage"] == "line_dedup")
    assert RED in [line["text"] for line in dedup["lines"]["removed"]]


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_safe_text_is_printable_and_says_how_much_is_left_out(text: str) -> None:
    assert why_show.safe(text).isprintable()
    assert why_show.safe(text + "x" * 50, 10).endswith(f"(+{len(text) + 40:,} characters)")


def test_letters_of_all_scripts_are_shown_as_they_are() -> None:
    for text in ("Übergröße", "日本語", "слово", "naïve café", "e\u0301"):
        assert why_show.safe(text) == text
    assert why_show.safe("10\u00a0000\u202f€\tx") == "10 000 € x"


def test_long_lines_and_many_lines_are_cut_with_counts_unless_asked_for(tmp_path: Path) -> None:
    finding = Finding("s", "toy", "done", "changed", lines=difference(
        "\n".join(["y" * 500, *(f"line {i}" for i in range(40)), "stays"]), "stays"
    ))  # fmt: skip
    trail = Trail("i", "s", "o", None, None, None, "id", False, "kept", [finding])
    answer = Answer("q", "w", [trail], [], 3, [])
    short, full = shown(answer), shown(answer, all_lines=True)
    assert "41 of 42 lines removed" in short
    assert "(+340 characters)" in short and "... 31 more lines (--text shows all)" in short
    assert "line 30" not in short and "and 3 more that match" in short
    assert "y" * 500 in full and "line 39" in full and "more lines" not in full


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Every path of keys in a JSON value, but those that the data decide."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}"
            if name not in ("gained", "settings"):
                yield from keys(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, path)


def test_the_json_has_a_stable_form(made: Made) -> None:
    paths: set[str] = set()
    for query in (made.id("other"), "http://k.example/1", made.id("copied"), made.origins["bad"]):
        paths |= set(keys(json.loads(why_show.to_json(why.why(str(made.work), query)))))
    document, step = ".documents", ".documents.steps"
    line = f"{step}.lines.removed"
    assert paths == {
        *(f".{n}" for n in ("query", "work", "documents", "bad", "more", "looked")),
        *(f".looked.{n}" for n in ("step", "state", "documents", "rejected", "bad")),
        *(f".bad.{n}" for n in ("step", "stage", "file", "offset", "error", "explanation", "part")),
        *(
            f"{document}.{n}"
            for n in (
                *("id", "source", "origin", "url", "title", "created", "found_by", "in_corpus"),
                *("summary", "steps", "tokens"),
            )
        ),
        *(f"{document}.tokens.{n}" for n in ("shard", "split", "first_token", "length", "epochs")),
        *(
            f"{step}.{n}"
            for n in (
                *("step", "stage", "state", "verdict", "reason", "explanation", "detail", "part"),
                *("bytes_before", "bytes_after", "gained", "settings", "checks", "notes"),
                *("stayed", "lines"),
            )
        ),
        *(f"{step}.checks.{n}" for n in ("setting", "threshold", "value", "passes")),
        *(f"{step}.stayed.{n}" for n in ("id", "url", "created")),
        *(f"{step}.lines.{n}" for n in ("before", "after", "removed", "added")),
        *(f"{line}.{n}" for n in ("line", "text", "why", "documents", "kept_in", "holders")),
        *(f"{line}.kept_in.{n}" for n in ("id", "url", "created")),
        *(f"{line}.holders.{n}" for n in ("id", "url", "created")),
    }


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["corpus", "why", *arguments])
    return cli.main()


def test_the_command_and_its_exit_codes(
    made: Made, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert command(monkeypatch, str(made.work), "http://a.example/partly") == 0
    out, err = capfdbinary.readouterr()
    assert b"5 of 9 lines removed" in out and err == b""
    assert command(monkeypatch, str(made.work), made.id("partly"), "--json") == 0
    assert json.loads(capfdbinary.readouterr().out)["documents"][0]["in_corpus"] is True
    assert command(monkeypatch, str(made.work), "nobody") == 1
    out, err = capfdbinary.readouterr()
    assert out == b"" and err.startswith(b"not found: nobody: ") and err.count(b"\n") == 1
    assert command(monkeypatch, str(made.work), "nobody", "--json") == 1
    assert json.loads(capfdbinary.readouterr().out)["documents"] == []
    assert command(monkeypatch, str(made.work / "nowhere"), "x") == 2
    assert b"no run has begun here" in capfdbinary.readouterr().err


def test_other_keys_than_urls_can_be_compared() -> None:
    test = SameKey("url", str.lower, "A")
    assert test.passes({"url": "a"}) and not test.passes({"url": None})
