"""The GitHub stage: the join of contents, files and licences, its inputs, and hostile ones."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any, get_args

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.github import join, records
from stages.github.stage import Github
from stages.outcomes import Bad
from tests.data_paths import SHARED_DATA
from tests.stages.github_exports import CODE, Export, Form, blob, run, step, write_table
from tests.stages.helpers import check_folder, digests, read_rows, shuffle


def code(n: int) -> str:
    return f"VALUE = {n}\n\n\n{CODE}"


# -- the join -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", get_args(Form))
def test_a_document_from_each_form_of_the_export(tmp_path: Path, form: Form) -> None:
    export = Export()
    key = export.add("jane/tools", "src/a b.py", "# Copyright 2001 Jane\n" + CODE)
    export.license("other/empty", "gpl-3.0")
    export.add("jane/tools", "logo.png", None)
    result = run(step(export.write(tmp_path / "in", form), tmp_path / "out"))
    document = result.document(key)
    assert document["text"] == CODE
    assert document["source"] == "github"
    assert document["license"] == "mit"
    assert document["language"] is None
    assert document["url"] == "https://github.com/jane/tools/blob/HEAD/src/a%20b.py"
    assert document["origin"].startswith(str(tmp_path / "in/contents-"))
    assert document["origin"].endswith(f"#{key}")
    assert json.loads(document["meta"]) == {
        "header_chars_removed": 22,
        "language": "Python",
        "path": "src/a b.py",
        "places": 1,
        "repository": "jane/tools",
    }
    assert [r["reason"] for r in result.rejected] == ["binary"]
    assert result.bad == []
    assert result.counts["skipped"] == {"row of files": 2, "row of licenses": 2}


def test_the_place_that_speaks_is_the_smallest_that_passes(tmp_path: Path) -> None:
    export = Export()
    export.license("aaa/gpl", "gpl-3.0")
    places = [("aaa/gpl", "a.py"), ("bbb/x", "vendor/a.py"), ("ccc/x", "z.py"), ("ccc/x", "b.py")]
    for repository, path in [*reversed(places), ("ddd/x", "a.py")]:
        key = export.add(repository, path)
    for form in get_args(Form):
        result = run(step(export.write(tmp_path / form, form, 3), tmp_path / f"{form}.out"))
        document = result.document(key)
        assert document["title"] == "b.py"
        assert "/ccc/x/" in document["url"]
        assert json.loads(document["meta"])["places"] == 5


def test_license_policy(tmp_path: Path) -> None:
    export = Export()
    export.license("b/gpl", "gpl-3.0")
    shared, own, theirs = (code(n) for n in range(3))
    keys = [
        export.add("a/mit", "a.py", shared),
        export.add("a/mit", "own.py", own),
        export.add("b/gpl", "theirs.py", theirs),
    ]
    export.add("b/gpl", "a.py", shared)
    folder = export.write(tmp_path / "in")
    result = run(step(folder, tmp_path / "any"))
    assert {d["id"] for d in result.documents} == {f"github/{k}" for k in keys[:2]}
    assert result.reasons() == {keys[2]: "license"}
    result = run(step(folder, tmp_path / "all", license_policy="all"))
    assert {d["id"] for d in result.documents} == {f"github/{keys[1]}"}
    assert result.reasons() == {keys[0]: "license", keys[2]: "license"}
    details = {r["detail"] for r in result.rejected}
    assert details == {"also in a repository with gpl-3.0", "gpl-3.0"}


def test_what_has_no_licence_no_file_or_is_a_link(tmp_path: Path) -> None:
    export = Export()
    orphan = export.add("a/b", "orphan.py", code(1))
    export.files.clear()
    nobody = export.add("no/licence", "a.py", code(2))
    export.licenses = [row for row in export.licenses if row["repo_name"] != "no/licence"]
    link = export.add("a/b", "link.py", "a.py", mode="40960", symlink_target="a.py")
    module = export.add("a/b", "sub", "whatever", mode=57344)
    result = run(step(export.write(tmp_path / "in"), tmp_path / "out"))
    assert result.reasons() == {
        orphan: "no_file",
        nobody: "no_license",
        link: "symlink",
        module: "symlink",
    }


def test_an_empty_link_target_or_one_of_a_regular_file_is_no_link(tmp_path: Path) -> None:
    export = Export()
    plain = [
        export.add("a/b", "a.py", code(1), mode=None, symlink_target=""),
        export.add("a/b", "b.py", code(2), mode=33188, symlink_target=""),
        export.add("a/b", "c.py", code(3), mode=33188, symlink_target="a.py"),
    ]
    link = export.add("a/b", "d.py", code(4), mode=None, symlink_target="a.py")
    result = run(step(export.write(tmp_path / "in"), tmp_path / "out"))
    assert {d["id"] for d in result.documents} == {f"github/{key}" for key in plain}
    assert result.reasons() == {link: "symlink"}


def test_a_repository_with_two_licences_needs_both(tmp_path: Path) -> None:
    export = Export()
    export.license("a/b", "mit")
    export.license("a/b", "gpl-3.0")
    key = export.add("a/b", "a.py")
    folder = export.write(tmp_path / "in")
    assert run(step(folder, tmp_path / "out")).reasons() == {key: "license"}
    both = run(step(folder, tmp_path / "both", licenses=["MIT", "GPL-3.0"]))
    assert both.document(key)["license"] == "gpl-3.0 AND mit"


def test_a_content_that_is_there_twice_is_one_document(tmp_path: Path) -> None:
    export = Export()
    key = export.add("a/b", "a.py")
    export.contents *= 3
    result = run(step(export.write(tmp_path / "in"), tmp_path / "out"))
    assert len(result.documents) == 1
    assert [r["reason"] for r in result.rejected] == ["duplicate_content"] * 2
    assert result.rejected[0]["id"] == f"github/{key}"


def test_the_number_of_units_and_partitions_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Export()
    for n in range(60):
        export.license(f"r/{n % 7}", ("mit", "gpl-3.0")[n % 3 == 0]) if n < 7 else None
        export.add(f"r/{n % 7}", f"{n % 5}/{n}.py", code(n % 40))
    texts: set[frozenset[Any]] = set()
    for layout in ({}, {"bundle_bytes": 0, "split_bytes": 700}):
        for form in get_args(Form):
            for chunk in (3, 200_000):
                monkeypatch.setattr(join, "CHUNK_ROWS", chunk)
                out = tmp_path / f"{form}{len(layout)}{chunk}"
                result = run(step(export.write(tmp_path / form, form, 3), out, layout))
                fields = ("id", "text", "url", "license", "meta")
                texts.add(frozenset(tuple(d[f] for f in fields) for d in result.documents))
                assert len(result.documents) + len(result.rejected) == 40
    assert len(texts) == 1
    assert len(next(iter(texts))) > 10


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("xyz")
        ),
        max_size=40,
    ),
    st.integers(1, 5),
)
def test_property_merging_in_any_cut_is_merging_at_once(rows: list[Any], cut: int) -> None:
    def table(some: list[Any]) -> pa.Table:
        plain = [
            {
                "id": bytes([key]) * join.ID_BYTES,
                "rank": rank,
                "repository": repository,
                "path": path,
                "license": "mit",
                "places": 1,
                "foreign": None if rank < 2 else f"l{rank}",
            }
            for key, rank, repository, path in some
        ]
        return pa.Table.from_pylist(plain, schema=join.PLACES)

    parts = [join.merged(table(rows[i : i + cut])) for i in range(0, len(rows), cut)]
    together = pa.concat_tables(parts) if parts else table([])
    merged = join.merged(together).to_pylist()
    assert merged == join.merged(table(rows)).to_pylist()
    for row in merged:
        mine = [r for r in rows if bytes([r[0]]) * join.ID_BYTES == row["id"]]
        assert (row["rank"], row["repository"], row["path"]) == min(r[1:] for r in mine)
        assert row["places"] == len(mine)
        assert row["foreign"] == min((f"l{r[1]}" for r in mine if r[1] > 1), default=None)


def test_the_shuffle_holds_a_chunk_not_the_table(tmp_path: Path) -> None:
    """Memory of writing places does not grow with their number."""
    rng = np.random.default_rng(0)
    peaks = []
    for chunks in (2, 12):
        tracemalloc.start()
        with join.RunWriter(str(tmp_path / f"run{chunks}"), 16) as out:
            for chunk in range(chunks):
                ids = [rng.bytes(join.ID_BYTES) for _ in range(2000)]
                rows = [
                    (key, 0, "owner/repository", f"some/path/{chunk}.py", "mit", 1, None)
                    for key in ids
                ]
                columns = list(zip(*rows, strict=True))
                arrays = [pa.array(c, f.type) for c, f in zip(columns, join.PLACES, strict=True)]
                out.by_id(join.merged(pa.Table.from_arrays(arrays, schema=join.PLACES)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        found = [join._tables([s], join.PLACES) for s in out.stretches.values()]
        assert sum(t.num_rows for t in found) == 2000 * chunks
        assert set(out.stretches) == set(range(16))
    assert peaks[1] < 1.5 * peaks[0]


def test_partitions_follow_the_size_of_the_files_table(tmp_path: Path) -> None:
    assert join.partitions_for(0, 1 << 29) == 1
    # The whole export: 2.3 billion rows within half a GiB each.
    assert join.partitions_for(2_300_000_000, 1 << 29) == 2571
    export = Export()
    for n in range(300):
        export.add("a/b", f"{n}.py", CODE)
    stage = Github(step(export.write(tmp_path / "in", "json"), tmp_path / "o"))
    assert {u.extra["partitions"] for u in stage.units()} == {4}


# -- peers' defects in the order of things --------------------------------------------------------


def test_peer_defect_copies_that_differ_in_their_header_are_duplicates(tmp_path: Path) -> None:
    """The paper deduplicates last, after headers are gone; RedPajama hashes the raw content."""
    export = Export()
    copies = [f"# Copyright {year} Jane Doe. MIT License.\n{CODE}" for year in (2001, 2012)]
    assert len({blob(copy) for copy in copies}) == 2  # what RedPajama compares
    for n, copy in enumerate(copies):
        export.add(f"r/{n}", "a.py", copy)
    export.add("r/3", "a.py", f"{CODE}\nOTHER = 1\n")
    github = step(export.write(tmp_path / "in"), tmp_path / "github")
    assert len(run(github).documents) == 3
    dedup = Step(
        "github.document_dedup",
        "document_dedup",
        str(tmp_path / "dedup"),
        {"input": [str(tmp_path / "github" / "part-*.parquet")]},
    )
    run_step(dedup)
    assert len(read_rows(tmp_path / "dedup")) == 2
    (gone,) = read_rows(tmp_path / "dedup", "rejected")
    assert gone["reason"] == "duplicate_document"


def test_peer_defect_more_than_one_certificate_ending_and_one_licence_name_is_skipped(
    tmp_path: Path,
) -> None:
    """RedPajama skips `*.crt` and the path `LICENSE`, and takes `LICENSE.txt` and `sub/LICENSE`."""
    export = Export()
    words = "The MIT License. Permission is hereby granted to any person.\n"
    names = ("LICENSE", "LICENSE.txt", "sub/LICENSE", "COPYING", "LICENCE.md", "a.crt", "a.pem")
    assert len([n for n in names if not n.endswith(".crt") and n != "LICENSE"]) == 5  # it takes
    for n, name in enumerate(names):
        export.add("a/b", name, f"{words}{n}\n")
    result = run(step(export.write(tmp_path / "in"), tmp_path / "out"))
    assert result.documents == []
    assert sorted(r["reason"] for r in result.rejected) == [
        "data_language",
        *["license_text"] * 5,
        "unknown_language",
    ]


def test_peer_defect_languages_that_a_list_of_endings_forgot_are_kept(tmp_path: Path) -> None:
    """RedPajama's list of endings has `.smali` and neither `.swift` nor `.kt`."""
    export = Export()
    for n, name in enumerate(("a.swift", "a.kt", "a.dart", "a.jl", "CMakeLists.txt")):
        export.add("a/b", name, f"let value = {n}\n")
    result = run(step(export.write(tmp_path / "in"), tmp_path / "out"))
    assert len(result.documents) == 5


# -- hostile input --------------------------------------------------------------------------------


def hostile_rows(table: str) -> list[tuple[bytes, str]]:
    """Lines that are no rows of any table, and the word with which their error begins."""
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    lines = [
        (b"not json", "json"),
        (b"[1, 2]", "json"),
        (b'"text"', "json"),
        (b'{"id": "\xff\xfe"}', "json"),
        (b'{"id": "\\ud800"}', "json"),
        (deep, "json"),
        (b'{"id": "' + b"a" * 100_000 + b'"}', "too long"),
    ]
    word = {"licenses": "license", "files": "id", "contents": "id"}[table]
    return [*lines, (b"{}", word), (b'{"id": 5, "license": 5}', word)]


@pytest.mark.parametrize("table", ["licenses", "files", "contents"])
@pytest.mark.parametrize("form", ["json", "gzip"])
def test_rows_that_are_none_are_bad_and_reading_goes_on(
    tmp_path: Path, table: str, form: Form
) -> None:
    export = Export()
    key = export.add("a/b", "a.py")
    folder = export.write(tmp_path / "in", form, parts=1)
    (path,) = folder.glob(f"{table}*")
    good = path.read_bytes() if form == "json" else gzip.decompress(path.read_bytes())
    data = b"\n".join(line for line, _ in hostile_rows(table)) + b"\n" + good
    path.write_bytes(data if form == "json" else gzip.compress(data))
    result = run(step(folder, tmp_path / "out", max_record_bytes=50_000))
    assert [b["error"].split(":")[0] for b in result.bad] == [w for _, w in hostile_rows(table)]
    assert all(b["file"] == str(path) for b in result.bad)
    assert result.document(key)["text"] == CODE
    offsets = [int(b["offset"].removeprefix("0+")) for b in result.bad]
    assert offsets == sorted(set(offsets))
    assert data[offsets[1] :].startswith(b"[1, 2]")


@pytest.mark.parametrize(
    "row",
    [
        {"repo_name": "../../etc", "path": "passwd"},
        {"repo_name": "a/b", "path": "../../../etc/passwd"},
        {"repo_name": "a/b", "path": "/etc/passwd"},
        {"repo_name": "a", "path": "a.py"},
        {"repo_name": 7, "path": "a.py"},
        {"repo_name": "a/b", "path": None},
        {"repo_name": "a/b", "path": "a.py", "id": "A" * 40},
        {"repo_name": "a/b", "path": "a.py", "id": "a" * 39},
    ],
)
def test_rows_of_files_that_cannot_be_are_bad(tmp_path: Path, row: dict[str, Any]) -> None:
    export = Export()
    key = export.add("a/b", "a.py")
    export.files[0].update(row)
    result = run(step(export.write(tmp_path / "in"), tmp_path / "out"))
    assert result.documents == []
    assert len(result.bad) == 1
    assert result.reasons() == {key: "no_file"}


def test_odd_modes_and_contents(tmp_path: Path) -> None:
    export = Export()
    odd = export.add("a/b", "a.py", code(1), mode="what")
    number = export.add("a/b", "b.py", code(2))
    export.contents[-1]["content"] = 12
    claims = export.add("a/b", "c.py", code(3))
    export.contents[-1]["binary"] = True
    result = run(step(export.write(tmp_path / "in"), tmp_path / "out"))
    assert result.document(odd)
    assert result.reasons() == {claims: "binary"}
    assert [b["error"] for b in result.bad] == ["content: a int, not text"]
    assert number


@pytest.mark.parametrize("table", ["files-000000000000", "contents-000000000000", "licenses"])
def test_truncated_and_damaged_gzip_gives_what_came_before(tmp_path: Path, table: str) -> None:
    export = Export()
    rng = np.random.default_rng(0)
    for n in range(200):
        export.add(f"r/{n}", f"{n}.py", f"X = '{rng.bytes(20).hex()}'\n{CODE}")
    for damage in ("cut", "flip", "garbage"):
        folder = export.write(tmp_path / damage, parts=1)
        path = folder / f"{table}.json.gz"
        data = path.read_bytes()
        middle = len(data) // 2
        changed = {
            "cut": data[:middle],
            "flip": data[:middle] + bytes([data[middle] ^ 255]) * 40 + data[middle + 40 :],
            "garbage": data + b"and then some garbage",
        }[damage]
        path.write_bytes(changed)
        result = run(step(folder, tmp_path / f"{damage}.out"))
        assert result.bad, damage
        assert all(b["error"].split(":")[0] in ("gzip", "json") for b in result.bad)
        assert len(result.documents) <= 200
        if damage == "cut":
            assert result.documents
        if damage == "garbage":
            assert len(result.documents) == 200


def test_a_gzip_bomb_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_BOMB_FREE_BYTES", 1 << 20)
    export = Export()
    export.add("a/b", "a.py")
    folder = export.write(tmp_path / "in")
    (folder / "contents-9.json.gz").write_bytes(gzip.compress(b" " * (16 << 20) + b"\n{}"))
    result = run(step(folder, tmp_path / "out"))
    assert [b["error"].split(":")[0] for b in result.bad] == ["bomb"]
    assert len(result.documents) == 1


def test_damaged_parquet_is_bad(tmp_path: Path) -> None:
    export = Export()
    for n in range(50):
        export.add("a/b", f"{n}.py", code(n))
    folder = export.write(tmp_path / "in", "parquet")
    (folder / "contents-7.parquet").write_bytes(b"PAR1 and nothing else")
    path = folder / "contents-000000000001.parquet"
    data = bytearray(path.read_bytes())
    data[20:400] = b"\xff" * 380
    path.write_bytes(data)
    result = run(step(folder, tmp_path / "out"))
    assert {b["error"].split(":")[0] for b in result.bad} == {"parquet"}
    assert len(result.documents) == 25


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b), max_size=12),
    st.lists(st.integers(0, 400), min_size=1, max_size=4),
)
def test_property_stretches_of_lines_meet_without_gap(lines: list[bytes], cuts: list[int]) -> None:
    import io

    data = b"\n".join(lines)
    stream = io.BytesIO(data)
    limits = records.Limits(20, 200)
    edges = sorted({0, *(c % (len(data) + 1) for c in cuts)})

    def read(start: int, end: int | None) -> list[Any]:
        return list(records._plain_lines(stream, "f", limits, start, end))

    whole = read(0, None)
    parts = [x for s, e in zip(edges, [*edges[1:], None], strict=True) for x in read(s, e)]
    assert parts == whole
    kept = [x[1] for x in whole if not isinstance(x, Bad)]
    expected = data.split(b"\n")
    expected = expected[:-1] if not expected[-1] else expected
    assert kept == [line for line in expected if len(line) <= 20]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_property_any_bytes_are_read(data: bytes) -> None:
    import io

    for wrapped in (data, gzip.compress(data)[: len(data)], b"PAR1" + data):
        list(records.rows(io.BytesIO(wrapped), "f", ("id",), records.Limits(1000, 200)))


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (("files-0.json", "contents-0.json"), "no table `licenses`"),
        (("licenses.json", "contents-0.json"), "no table `files`"),
        (("licenses.json", "files-0.json", "what.json"), "none of the tables"),
    ],
)
def test_inputs_that_cannot_work_are_refused(
    tmp_path: Path, names: tuple[str, ...], complaint: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("{}\n")
    with pytest.raises(InputError, match=complaint):
        Github(step(tmp_path, tmp_path / "out", format="bigquery")).units()


def test_tables_are_told_by_folder_and_by_first_row(tmp_path: Path) -> None:
    export = Export()
    key = export.add("a/b", "a.py")
    for table, name in (("contents", "contents/000.json"), ("files", "x1.json"), ("licenses", "y")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path.parent, "t", getattr(export, table), "json").rename(path)
    assert run(step(tmp_path / "in", tmp_path / "out")).document(key)


# -- whole runs -----------------------------------------------------------------------------------


def test_a_run_through_the_engine_leaves_a_sound_folder(tmp_path: Path) -> None:
    export = Export()
    for n in range(30):
        export.add(f"r/{n % 4}", f"{n}.py", code(n))
    work = step(export.write(tmp_path / "in"), tmp_path / "out", {"bundle_bytes": 0})
    done = run_step(work).manifest
    assert done.counts.documents_out == 30
    check_folder(work.output)
    again = step(tmp_path / "in", tmp_path / "again", {"bundle_bytes": 0})
    run_step(again)
    assert digests(again.output) == digests(work.output)


@pytest.mark.skipif(
    not (SHARED_DATA / "github").is_dir(),
    reason="real raw data is not part of the project; set LLAMA_CORPUS_DATA to a folder with it",
)
def test_real_export(tmp_path: Path) -> None:
    folder = SHARED_DATA / "github"
    tables = ("licenses", "files", "contents-000000000000")
    given = {"input": [str(folder / f"{name}.jsonl.gz") for name in tables]}
    result = run(Step("github", "github", str(tmp_path / "out"), given))
    assert result.bad == []
    assert result.counts["documents_in"] == 1545
    assert 600 < len(result.documents) < 1000
    licences = {d["license"] for d in result.documents}
    assert licences == {"apache-2.0", "bsd-2-clause", "bsd-3-clause", "mit"}
    tops = [d["text"][:1500].lower() for d in result.documents]
    assert sum("permission is hereby granted" in text for text in tops) < 2


def test_input_and_output_may_be_remote(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}"
    export = Export()
    for n in range(5):
        export.add("a/b", f"{n}.py", code(n))
    for path in export.write(tmp_path / "in").iterdir():
        memory.pipe(f"{root}/in/{path.name}", path.read_bytes())
    memory.pipe(f"{root}/repos/a/b/LICENSE", b"SPDX-License-Identifier: MIT\n")
    memory.pipe(f"{root}/repos/a/b/a.py", CODE.encode())
    inputs = (
        ("in", "bigquery", 5),
        ("repos", "folder", 1),
        ("in", "auto", 5),
        ("repos", "auto", 1),
    )
    for name, form, documents in inputs:
        where = {"input": [f"memory:/{root}/{name}"]}
        work = Step("github", "github", f"memory:/{root}/{name}.{form}", where, {"format": form})
        assert shuffle(work)["documents_out"] == documents
    memory.rm(root, recursive=True)
