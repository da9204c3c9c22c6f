"""`corpus verify`: one changed byte anywhere is named, and so is what no hash would tell."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline import cli, plan, recipe, seal, verify, verify_order, verify_show, verify_work
from pipeline.damage import changed_byte
from pipeline.seal import Problem
from pipeline.verify import Options, Verified, verify_folder
from pipeline.verify_tokens import Distinct
from stages.engine import files, manifest
from tests.pipeline import finished_run
from tokenizer import manifest as token_manifest
from tokenizer.ledger import Ledger, MixtureChange
from tokenizer.manifest import TokensManifest
from tokenizer.shards import ShardReader

DEEP = Options(deep=True)


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    return finished_run.copied(finished, tmp_path / "work")


def problems(work: Path, options: Options = DEEP) -> tuple[Problem, ...]:
    return verify_folder(str(work), options=options).problems


def kind(path: Path) -> str:
    """Files of one kind have names that differ in numbers and splits."""
    return re.sub(r"\d+|train|valid|commoncrawl|wikipedia", "N", path.name) + (
        f" in {path.parent.name}" if path.parent.name in ("rejected", "bad") else ""
    )


def all_files(work: Path) -> list[Path]:
    return sorted(p for p in work.rglob("*") if p.is_file())


def one_of_each_kind(work: Path) -> list[Path]:
    return list({kind(p): p for p in all_files(work)}.values())


def flip(path: Path, place: int, mask: int = 1) -> None:
    with open(path, "r+b") as f:
        f.seek(place)
        byte = f.read(1)[0]
        f.seek(place)
        f.write(bytes([byte ^ mask]))


# -- a sound run ----------------------------------------------------------------------------------


def test_a_finished_run_is_as_written(finished: Path) -> None:
    found = verify_folder(str(finished), options=DEEP)
    assert found.problems == ()
    assert found.files > 50 and found.bytes > 100_000
    notes = "\n".join(found.notes)
    held = sum(s.documents for s in TokensManifest.load(finished).shards)
    assert f"text: of {held} documents of {held} the shards' tokens are the text" in notes
    assert "raw files: 3 hashed again" in notes
    assert "by cluster (share 0.2" in notes
    assert "wikipedia 16 (all)" in notes
    assert [row["source"] for row in found.sources] == ["commoncrawl", "wikipedia"]
    assert all(row["unknown"] == 0 for row in found.sources)


def test_a_sample_compares_some_texts_and_counts_all_bytes(finished: Path) -> None:
    ticks: list[tuple[int, int]] = []
    found = verify_folder(
        str(finished), lambda done, total: ticks.append((done, total)), Options(raw=False)
    )
    assert found.problems == ()
    first_pass = [t for t in ticks if t[1] == ticks[0][1]]
    assert first_pass[-1][0] == first_pass[-1][1]
    assert [d for d, _ in first_pass] == sorted(d for d, _ in first_pass)
    assert not any(note.startswith("raw files") for note in found.notes)


def test_bytes_a_token_far_from_table_1_are_a_warning(finished: Path) -> None:
    """The little vocabulary of these tests gives short tokens."""
    found = verify_folder(str(finished))
    assert any("commoncrawl" in w and "Table 1 implies 3.87" in w for w in found.warnings)
    assert found.problems == ()


# -- one byte -------------------------------------------------------------------------------------


def assert_named(work: Path, path: Path, place: int) -> None:
    found = [p for p in problems(work, Options()) if p.file == str(path)]
    assert found, f"a changed byte {place} of {path} was not found"
    assert any(p.offset == place and p.exact for p in found), (place, list(map(str, found)))


def test_a_flipped_byte_in_every_kind_of_file_is_named(work: Path) -> None:
    kinds = one_of_each_kind(work)
    assert len(kinds) >= 15
    assert {"_MANIFEST.json", "_SEAL.json", "recipe.yaml", "report.json"} <= {p.name for p in kinds}
    choose = random.Random(3)
    for path in kinds:
        place = choose.randrange(path.stat().st_size)
        mask = 1 << choose.randrange(8)
        flip(path, place, mask)
        assert_named(work, path, place)
        flip(path, place, mask)
    assert problems(work) == ()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0), st.integers(0), st.integers(1, 255))
def test_any_byte_of_any_file(work: Path, file: int, place: int, mask: int) -> None:
    paths = all_files(work)
    path = paths[file % len(paths)]
    place %= path.stat().st_size
    flip(path, place, mask)
    try:
        assert_named(work, path, place)
    finally:
        flip(path, place, mask)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0), st.integers(1, 255))
def test_any_byte_of_the_seal_itself(work: Path, place: int, mask: int) -> None:
    path = work / seal.NAME
    place %= path.stat().st_size
    flip(path, place, mask)
    try:
        (found,) = seal.problems(str(work))
        assert (found.file, found.offset, found.exact) == (str(path), place, True)
    finally:
        flip(path, place, mask)


def test_a_changed_raw_file_is_named(tmp_path: Path) -> None:
    recipe_path = finished_run.recipe_file(tmp_path)
    raw = next((tmp_path / "raw" / "crawl").iterdir())
    loaded, _ = recipe.load(recipe_path, str(tmp_path / "work"))
    step = plan.steps(loaded, str(tmp_path / "work"))[0]
    from stages.engine.run import run_step

    run_step(step)
    flip(raw, 40)
    found = verify.verify([step], str(tmp_path / "work"))
    assert str(raw) in {p.file for p in found.problems}
    raw.unlink()
    found = verify.verify([step], str(tmp_path / "work"))
    assert str(raw) not in {p.file for p in found.problems}
    assert any("1 no longer there" in note for note in found.notes)


@given(st.binary(min_size=1, max_size=3000), st.integers(0), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_the_changed_byte_of_a_block_follows_from_its_crc(
    block: bytes, place: int, mask: int
) -> None:
    place %= len(block)
    changed = bytearray(block)
    changed[place] ^= mask
    crc, digest = zlib.crc32(block), xxhash.xxh3_64_hexdigest(block)
    assert changed_byte(bytes(changed), crc, digest) == (place, block[place])
    if len(block) > 9:
        changed[(place + 5) % len(block)] ^= 255
        assert changed_byte(bytes(changed), crc, digest) is None


def test_more_than_a_byte_is_narrowed_to_its_block(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = random.Random(0).randbytes((3 << 20) + 17)
    path.write_bytes(content)
    entry = files.entry(str(tmp_path), "file")

    def found() -> Problem:
        (problem,) = seal.file_problem(str(tmp_path), entry)
        return problem

    flip(path, (1 << 20) + 70)
    assert (found().offset, found().exact) == ((1 << 20) + 70, True)
    flip(path, (1 << 20) + 700)
    assert (found().offset, found().exact) == (1 << 20, False)
    assert "or in the MiB after it" in str(found())
    flip(path, (3 << 20) + 1)
    assert "2 MiB differ" in found().what
    path.write_bytes(content[:-5])
    assert (found().offset, found().exact) == (3 << 20, False)
    assert "instead of" in found().what
    path.write_bytes(b"")
    assert found().offset == 0
    path.unlink()
    assert found().what == "the file is missing"


# -- files that come and go -----------------------------------------------------------------------


def test_a_removed_file_of_every_kind_is_named(work: Path) -> None:
    for path in one_of_each_kind(work):
        if path.name == "recipe.yaml":
            continue
        content = path.read_bytes()
        path.unlink()
        found = problems(work, Options())
        assert str(path) in {p.file for p in found} or str(path.parent) in {p.file for p in found}
        path.write_bytes(content)
    (work / "recipe.yaml").unlink()
    assert str(work / "recipe.yaml") in {p.file for p in problems(work)}


def test_a_shortened_file_of_every_kind_is_named(work: Path) -> None:
    for path in one_of_each_kind(work):
        content = path.read_bytes()
        for size in (len(content) - 1, 0):
            path.write_bytes(content[:size])
            assert str(path) in {p.file for p in problems(work, Options(raw=False))}, size
        path.write_bytes(content)


def test_files_that_no_step_wrote(work: Path) -> None:
    added = [work / "wikipedia" / "part-99999-of-99999.parquet", work / "tokens" / ".tmp-1"]
    for path in added:
        path.write_bytes(b"x")
    found = {p.file: p.what for p in problems(work)}
    assert found == {str(p): "the step did not write this file" for p in added}


def test_a_left_over_step_of_another_recipe_is_told(work: Path) -> None:
    shutil.copytree(work / "wikipedia", work / "wikipedia.old")
    found = verify_folder(str(work))
    assert found.problems == ()
    assert any("wikipedia.old is of no step" in w for w in found.warnings)


def test_a_run_without_a_seal_and_steps_that_are_not_done(work: Path) -> None:
    (work / seal.NAME).unlink()
    (work / "tokens" / manifest.NAME).unlink()
    found = [str(p) for p in problems(work)]
    assert any("the seal is missing" in p for p in found)
    assert any(p.endswith("tokens: the step is not done") for p in found)


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(recipe.RecipeError, match="no run has begun here"):
        verify_folder(str(tmp_path))


# -- what no hash would tell ----------------------------------------------------------------------


def signed(work: Path, step: str, change: Callable[[manifest.Manifest], None]) -> None:
    """Changes a step's manifest and hashes all its files again, as who knows how would."""
    folder = str(work / step)
    known = manifest.load(folder)
    assert known is not None
    known.files = [files.entry(folder, e["path"], e["rows"]) for e in known.files]
    change(known)
    known.digest = known.outputs_digest()
    known.save(folder)
    seal.write(str(work), [s.output for s in finished_run.steps(work)])


def no_change(_: manifest.Manifest) -> None:
    return None


def resigned_shard(work: Path, shard: str, **changes: Any) -> None:
    tokens = work / "tokens"
    loaded = TokensManifest.load(tokens)
    new = [
        s.model_copy(update={"sha256": ShardReader(tokens / s.path).sha256(), **changes})
        if s.path == shard
        else s
        for s in loaded.shards
    ]
    value = json.loads(loaded.to_json())
    value["shards"] = [s.model_dump(mode="json") for s in new]
    (tokens / "manifest.json").write_text(json.dumps(value))
    signed(work, "tokens", no_change)


@pytest.fixture
def shard(work: Path) -> str:
    return next(s.path for s in TokensManifest.load(work).shards if s.split == "train")


def test_counts_that_do_not_balance(work: Path) -> None:
    def more_out(known: manifest.Manifest) -> None:
        known.counts.documents_out += 1

    signed(work, "commoncrawl", more_out)
    found = " ".join(p.what for p in problems(work))
    assert "counts do not balance" in found
    assert "41 documents counted, 40 written down" in found
    assert "40 documents read, the steps before wrote 41" in found


def test_a_reason_that_was_not_counted(work: Path) -> None:
    def other(known: manifest.Manifest) -> None:
        known.counts.reasons["nonsense"] = known.counts.reasons.pop("too_short")

    signed(work, "commoncrawl", other)
    (found,) = problems(work)
    assert found.what == "reason 'nonsense': 1 counted, 0 written down"


def test_a_token_exchanged_and_all_hashes_made_anew(work: Path, shard: str) -> None:
    path = work / "tokens" / shard
    ids = np.fromfile(path, dtype="<u2")
    ids[3], ids[4] = ids[4], ids[3]
    assert ids[3] != ids[4]
    ids.tofile(path)
    resigned_shard(work, shard)
    (found,) = problems(work)
    assert found.file == str(path) and found.what.endswith("its tokens are not its text")


def test_a_doubled_separator_and_a_control_piece(work: Path, shard: str) -> None:
    path = work / "tokens" / shard
    for number, what in ((2, "separators"), (1, "a control or the unknown piece")):
        ids = np.fromfile(path, dtype="<u2")
        before = int(ids[3])
        ids[3] = number
        ids.tofile(path)
        resigned_shard(work, shard)
        found = problems(work, Options())
        assert any(what in p.what for p in found), list(map(str, found))
        ids[3] = before
        ids.tofile(path)
    resigned_shard(work, shard)
    assert problems(work) == ()


def sidecar(work: Path, shard: str, change: Callable[[pa.Table], pa.Table]) -> None:
    path = work / "tokens" / shard.replace(".bin", ".docs.parquet")
    pq.write_table(change(pq.read_table(path)), path)
    signed(work, "tokens", no_change)


def put(table: pa.Table, column: str, values: list[Any]) -> pa.Table:
    index = table.column_names.index(column)
    return table.set_column(index, table.schema.field(index), pa.array(values, table[column].type))


def test_a_held_out_document_in_train(work: Path, shard: str) -> None:
    """The number of a document's cluster says which split it belongs to."""
    sidecar(work, shard, lambda t: put(t, "held_out", [0, *t["held_out"].to_pylist()[1:]]))
    found = " ".join(p.what for p in problems(work))
    assert "1 documents belong to valid, by their cluster" in found
    assert "the number of its cluster does not follow from it" in found


def test_a_document_twice(work: Path) -> None:
    first, second = [s.path for s in TokensManifest.load(work).shards if s.split == "train"][:2]
    path = work / "tokens" / first.replace(".bin", ".docs.parquet")
    double = pq.read_table(path)["id"][0].as_py()
    sidecar(work, second, lambda t: put(t, "id", [double, *t["id"].to_pylist()[1:]]))
    found = [p for p in problems(work) if "already" in p.what]
    assert [p.what for p in found] == [f"document {double} is in {first} already"]


def test_an_origin_that_is_not_the_documents(work: Path, shard: str) -> None:
    sidecar(work, shard, lambda t: put(t, "origin", ["x#0", *t["origin"].to_pylist()[1:]]))
    found = " ".join(p.what for p in problems(work))
    assert "origin or URL are not the document's" in found
    assert "names and document list differ" in found


@pytest.mark.parametrize(
    ("ending", "what"),
    [
        (".idx", "list of documents is not 0, 1, 2"),
        (".names", "document"),
        (".ds.index", "ends of documents are not"),
        (".ds.metadata", "does not tell of"),
        (".csv.gz", "rows and document list differ"),
    ],
)
def test_sidecars_that_disagree(work: Path, shard: str, ending: str, what: str) -> None:
    path = work / "tokens" / shard.replace(".bin", ending)
    if ending == ".csv.gz":
        import gzip

        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"0,", b"1,", 1)))
    elif ending == ".ds.metadata":
        path.write_text(path.read_text().replace("|2", "|4"))
    else:
        flip(path, path.stat().st_size - 8 if ending != ".names" else path.stat().st_size - 4)
    signed(work, "tokens", no_change)
    assert any(p.file == str(path) and what in p.what for p in problems(work))


def test_texts_in_no_shard(work: Path) -> None:
    """A document that was given another id since the shards were written."""
    part = next((work / "wikipedia").glob("part-*.parquet"))
    table = pq.read_table(part)
    pq.write_table(put(table, "id", ["new", *table["id"].to_pylist()[1:]]), part)
    signed(work, "wikipedia", no_change)
    (found,) = problems(work)
    assert (found.file, found.what) == (str(part), "document new is in no shard")


def test_another_tokenizer_beside_the_shards(work: Path) -> None:
    (work / "tokens" / "tokenizer.model").write_bytes(b"no model")
    signed(work, "tokens", no_change)
    assert any(p.file.endswith("manifest.json") for p in problems(work))


def test_sums_of_the_manifest_of_shards(work: Path, shard: str) -> None:
    loaded = TokensManifest.load(work)
    entry = next(s for s in loaded.shards if s.path == shard)
    resigned_shard(work, shard, text_bytes=entry.text_bytes + 1)
    found = " ".join(p.what for p in problems(work))
    assert "the manifest says" in found and "bytes of text" in found


# -- order, ledgers -------------------------------------------------------------------------------


def test_a_window_twice_in_an_epoch(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = TokensManifest.load(finished)
    root = str(finished / "tokens")
    sound = verify_order.look(loaded, root, seq_len=8)
    assert sound is not None and sound.problems == ()
    monkeypatch.setattr(verify_order, "permute", lambda v, n, k: np.minimum(v, n // 2))
    broken = verify_order.look(loaded, root, seq_len=8)
    assert broken is not None and "comes twice" in broken.problems[0].what
    monkeypatch.setattr(verify_order, "EXHAUSTIVE", 4)
    sampled = verify_order.look(loaded, root, seq_len=8)
    assert sampled is not None and "cannot be told apart" in sampled.problems[0].what
    assert "a sample of" in sampled.note


def test_an_order_that_repeats_a_window(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What training would read, not the permutation alone."""
    from tokenizer.order import DataOrder

    honest = DataOrder.slots

    def repeating(self: DataOrder, numbers: Any) -> Any:
        sources, epochs, windows = honest(self, numbers)
        return sources, epochs, np.where(windows == 1, 0, windows)

    monkeypatch.setattr(DataOrder, "slots", repeating)
    found = verify_order.look(TokensManifest.load(finished), str(finished / "tokens"), seq_len=8)
    assert found is not None
    assert any("same window in the same epoch" in p.what for p in found.problems)


def test_ledgers_are_looked_at(work: Path) -> None:
    path = work / "train" / "one" / "ledger.json"
    path.parent.mkdir(parents=True)
    change = MixtureChange(from_sequence=5, weights={"wikipedia": 1.0})
    Ledger(mixture=(change,)).save(path)
    found = verify_folder(str(work))
    assert found.problems == () and f"ledger {path}: valid" in found.notes
    Ledger(mixture=(change.model_copy(update={"weights": {"elsewhere": 1.0}}),)).save(path)
    assert [p.file for p in problems(work)] == [str(path)]
    path.write_text("{}x")
    assert [p.file for p in problems(work)] == [str(path)]


# -- parts ----------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_what_comes_twice_is_found_in_bounded_memory(groups: list[list[int]], limit: int) -> None:
    with Distinct(limit) as distinct:
        for group in groups:
            distinct.add(np.array(group, dtype=np.uint64) << np.uint64(57))
        flat = [x for group in groups for x in group]
        assert distinct.repeated() == sorted({x << 57 for x in flat if flat.count(x) > 1})


def test_work_is_done_in_other_processes_too(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_work, "_PROCESSES_FROM", 0)
    found = verify_folder(str(finished), options=replace(DEEP, workers=2))
    assert found.problems == ()


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    def call(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["corpus", *words])
        return cli.main()

    yield call


def test_the_command(
    work: Path, arguments: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert arguments("verify", str(work), "--deep") == 0
    assert "all as written" in capsys.readouterr().out
    path = next((work / "tokens").glob("*/*.bin"))
    flip(path, 11)
    assert arguments("verify", str(work)) == 1
    out = capsys.readouterr().out
    assert f"{path} at byte 11:" in out.replace("\n", "") and "problem" in out
    assert arguments("verify", str(work), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert 11 in {p["offset"] for p in found["problems"] if p["file"] == str(path)}
    assert arguments("verify", os.path.join(str(work), "nowhere")) == 2


def test_what_a_terminal_shows() -> None:
    console = Console(file=io.StringIO(), width=160)
    row = {
        "source": "books",
        "shards": 1,
        "documents": 2,
        "tokens": 3,
        "bytes_per_token": None,
        "paper_bytes_per_token": 3.0,
        "unknown": 0.0,
        "byte_pieces": 0.5,
    }
    shown = Verified(1, 2, (Problem("f", "bad", 3),), ["careful"], ["note"], [row])
    verify_show.show(shown, console)
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert "f at byte 3 or in the MiB after it: bad" in out
    assert "warning: careful" in out and "1 problem" in out and "50.0000%" in out


def test_the_manifest_file_name_is_that_of_the_tokenizer_room() -> None:
    assert token_manifest.FILE_NAME == "manifest.json"
