"""`corpus purge`: the text is gone from every file, all else stays, and no run brings it back."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import cli, purge_journal, recipe, report
from pipeline import run as running
from pipeline.purge import LOG, Purged, purge
from pipeline.purge_find import Request
from pipeline.verify import Options, verify_folder
from stages import purge_list
from stages.documents import PartWriter
from stages.engine import files, manifest
from stages.engine.run import run_step
from stages.engine.step import STATE, InputError, Step
from stages.outcomes import Bad, Document, Rejected
from stages.purge_list import Entry, PurgeList
from stages.purged import strip
from tests.pipeline import finished_run
from tests.pipeline.finished_run import COPY, PAGES, SHORT
from tokenizer import files as token_files
from tokenizer.encode import Encoder
from tokenizer.manifest import TokensManifest
from tokenizer.order import DataOrder

DOCUMENT_STEPS = ("commoncrawl", "commoncrawl.document_dedup", "wikipedia")


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    return finished_run.copied(finished, tmp_path / "work")


def ids_of(work: Path, step: str) -> dict[str, str]:
    """Text by id of what a step wrote."""
    found = {}
    for path in sorted((work / step).glob("part-*.parquet")):
        table = pq.read_table(path, columns=["id", "text"])
        found.update(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    return found


def page_id(work: Path, page: int) -> str:
    """The id of a page; for those there twice, of the first."""
    text = finished_run.text_of(page)
    return next(i for i, found in ids_of(work, "commoncrawl").items() if found == text)


def article_id(work: Path, article: int) -> str:
    words = finished_run.words("article", article).split()[1]
    return next(i for i, text in ids_of(work, "wikipedia").items() if words in text)


def run_purge(work: Path, *ids: str, urls: tuple[str, ...] = (), **options: Any) -> Purged:
    return purge(str(work), Request(tuple(ids), urls, "takedown"), **options)


def tree(work: Path) -> dict[str, str]:
    """sha256 of every file but those that tell times."""
    return {
        str(p.relative_to(work)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(work.rglob("*"))
        if p.is_file() and p.name not in (LOG, ".lock")
    }


def everything(work: Path) -> Iterator[tuple[str, str]]:
    """All files of a work folder as text: as they are, and opened by their format."""
    encoder = Encoder(work / "tokens" / "tokenizer.model", "sentencepiece")
    for path in sorted(p for p in work.rglob("*") if p.is_file()):
        content = path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            content += "\0".join(
                str(v) for column in pq.read_table(path).columns for v in column.to_pylist()
            )
        elif path.suffix == ".bin" and "tokens" in path.parts:
            content += encoder.decode(np.fromfile(path, dtype="<u2"))
        elif path.suffix == ".gz":
            import gzip

            content += gzip.decompress(path.read_bytes()).decode()
        yield str(path.relative_to(work)), content


def holds(work: Path, *texts: str) -> list[str]:
    """Files in which a word of the texts is (words of these tests' documents are their own)."""
    words = {w for text in texts for w in text.split() if "word" in w}
    assert words
    return [name for name, content in everything(work) if any(w in content for w in words)]


# -- what must be gone, and what must stay --------------------------------------------------------


def test_the_text_is_gone_from_every_file_and_the_run_is_whole(work: Path) -> None:
    texts = [finished_run.text_of(5), finished_run.words("article", 4)]
    ids = [page_id(work, 5), article_id(work, 4)]
    assert {n.split("/")[0] for n in holds(work, *texts)} == {*DOCUMENT_STEPS, "tokens"}
    before = verify_folder(str(work), options=Options(deep=True))
    done = run_purge(work, *ids)
    assert sorted(done.found.documents) == sorted(ids)
    assert done.problems == ()
    assert holds(work, *texts) == []
    after = verify_folder(str(work), options=Options(deep=True))
    assert after.problems == ()
    assert any(note.startswith("purged: 2 ids") for note in after.notes)
    documents = [sum(r["documents"] for r in v.sources) for v in (before, after)]
    held_out = [
        sum(s.valid_documents for s in TokensManifest.load(w).sources.values()) for w in (work,)
    ]
    assert documents[1] + held_out[0] == 61
    # What was purged is rejected where it was made, and nothing of it is told.
    rows = pq.read_table(next((work / "commoncrawl" / "rejected").glob("*"))).to_pylist()
    (row,) = [r for r in rows if r["id"] == ids[0]]
    assert (row["reason"], row["detail"], row["url"]) == ("purged", "", None)
    assert not (work / purge_journal.FOLDER).exists()
    log = [json.loads(line) for line in (work / LOG).read_text().splitlines()]
    assert [entry["documents"] for entry in log] == [2] and "time" in log[0]


def test_the_list_keeps_no_text_but_where_the_raw_files_hold_it(work: Path) -> None:
    name = page_id(work, 5)
    run_purge(work, name)
    content = (work / purge_list.FILE_NAME).read_text()
    assert finished_run.text_of(5).split()[1] not in content
    (entry,) = PurgeList.load(str(work / purge_list.FILE_NAME)).entries
    assert entry.id == name and entry.reason == "takedown"
    assert ".warc.wet.gz#" in entry.origins[0]
    assert len(entry.texts) == 1 and len(entry.tokens) == 1
    assert entry.texts[0][0] == len(finished_run.text_of(5).encode())


def test_a_copy_under_another_id_goes_too(work: Path) -> None:
    """document_dedup kept one of the two; the other's text is still in the step before."""
    kept, copy = sorted(
        i for i, t in ids_of(work, "commoncrawl").items() if t == finished_run.text_of(COPY)
    )
    asked = kept if kept in ids_of(work, "commoncrawl.document_dedup") else copy
    done = run_purge(work, asked)
    other = done.found.documents[copy if asked == kept else kept]
    assert other.copy_of == asked
    assert other.steps["commoncrawl.document_dedup"] == "rejected"
    assert holds(work, finished_run.text_of(COPY)) == []
    assert verify_folder(str(work)).problems == ()
    counts = manifest.load(str(work / "commoncrawl.document_dedup"))
    assert counts is not None and not counts.counts.reasons


def test_files_that_hold_nothing_of_it_keep_their_bytes(work: Path) -> None:
    before = tree(work)
    done = run_purge(work, article_id(work, 9))
    (shard,) = done.shards
    prefix = shard.removesuffix(".bin").removesuffix(".parquet")
    changed = {n for n, digest in tree(work).items() if before.get(n) != digest}
    manifests = {n for n in changed if n.endswith("_MANIFEST.json")}
    assert "commoncrawl/_MANIFEST.json" in manifests  # It obeys the list now.
    shards = {n for n in changed if n.startswith(f"tokens/{prefix}")}
    assert len(shards) == 7
    part = {n for n in changed if n.startswith("wikipedia/") and n.endswith(".parquet")}
    assert len(part) == 2
    rest = changed - manifests - shards - part
    assert rest == {"purged.jsonl", "tokens/manifest.json", "report.json", "_SEAL.json"}


def test_the_order_of_other_sources_stays(finished: Path, work: Path) -> None:
    run_purge(work, article_id(work, 9), article_id(work, 2))
    orders = [
        DataOrder(TokensManifest.load(w), w / "tokens", seq_len=16, seed=7)
        for w in (finished, work)
    ]
    before, after = ([order.slot(g) for g in range(2000)] for order in orders)
    assert [s.source for s in before] == [s.source for s in after]
    crawl = [g for g, slot in enumerate(before) if slot.source == "commoncrawl"]
    assert len(crawl) > 1000
    assert [before[g] for g in crawl] == [after[g] for g in crawl]
    some = crawl[:50]
    assert np.array_equal(orders[0].batch(some), orders[1].batch(some))
    windows = [order.windows["wikipedia"] for order in orders]
    assert windows[1] < windows[0]
    assert TokensManifest.load(work).sources["commoncrawl"].proportion == (
        TokensManifest.load(finished).sources["commoncrawl"].proportion
    )


def test_shards_are_those_of_a_run_without_the_documents(work: Path, tmp_path: Path) -> None:
    run_purge(work, article_id(work, 9), page_id(work, 12), page_id(work, 13))
    step = next(s for s in finished_run.steps(work) if s.name == "tokens")
    again = run_step(
        Step(
            name="tokens",
            stage="tokens",
            output=str(tmp_path / "again"),
            inputs=step.inputs,
            settings=step.settings,
            layout=step.layout,
        )
    ).manifest
    done = manifest.load(step.output)
    assert done is not None
    assert {e["path"]: e for e in again.files} == {e["path"]: e for e in done.files}
    assert again.counts.to_json() == done.counts.to_json()


# -- runs after a purge ---------------------------------------------------------------------------


def test_the_next_run_has_nothing_to_do(work: Path, finished_recipe: str) -> None:
    run_purge(work, article_id(work, 9), page_id(work, COPY))
    known = report.states(running.finished(recipe.load(finished_recipe, str(work))[0], str(work)))
    assert set(known.values()) == {"done"}
    before = tree(work)
    done = finished_run.run(finished_recipe, work)
    assert all(result.skipped for result in done.values())
    assert tree(work) == before


def test_a_run_from_raw_files_obeys_the_list(
    work: Path, finished_recipe: str, tmp_path: Path
) -> None:
    """Steps of documents leave the very files that the purge left."""
    run_purge(work, article_id(work, 9), page_id(work, COPY), page_id(work, 5))
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.copy(work / purge_list.FILE_NAME, fresh)
    finished_run.run(finished_recipe, fresh)
    for step in DOCUMENT_STEPS:
        one, other = manifest.load(str(work / step)), manifest.load(str(fresh / step))
        assert one is not None and other is not None
        assert (one.digest, one.fingerprint) == (other.digest, other.fingerprint), step
    assert holds(fresh, finished_run.text_of(5), finished_run.text_of(COPY)) == []
    assert verify_folder(str(fresh), options=Options(deep=True)).problems == ()


def test_a_copy_that_comes_with_new_raw_files_is_known_by_its_text(
    work: Path, tmp_path: Path
) -> None:
    run_purge(work, page_id(work, 5))
    listed = PurgeList.load(str(work / purge_list.FILE_NAME))
    folder = tmp_path / "step"
    with PartWriter(str(folder), "part-00000-of-00001.parquet", "s") as out:
        for name, text in (("new", finished_run.text_of(5)), ("other", "a" * 200)):
            out.outcome(Document(name, text, "c4", f"f#{name}"))
    left = strip(str(folder), "s", out.files, out.counts, listed)
    assert (left.counts.documents_out, dict(left.counts.reasons)) == (1, {"purged": 1})
    assert left.counts.imbalance() == ""


def test_without_the_list_it_comes_back(work: Path, finished_recipe: str) -> None:
    """The list is an input: to take a document off it, remove it and run again."""
    run_purge(work, page_id(work, 5))
    (work / purge_list.FILE_NAME).unlink()
    done = finished_run.run(finished_recipe, work)
    assert not done["commoncrawl"].skipped
    assert holds(work, finished_run.text_of(5))


def test_purging_twice_and_further(work: Path, finished: Path, tmp_path: Path) -> None:
    first, second = page_id(work, 5), page_id(work, 6)
    run_purge(work, first)
    before = tree(work)
    again = run_purge(work, first)
    assert again.changes is not None and not again.changes.parts
    assert tree(work) == before
    run_purge(work, second)
    assert verify_folder(str(work)).problems == ()
    at_once = finished_run.copied(finished, tmp_path / "at-once")
    run_purge(at_once, second, first)
    for step in (*DOCUMENT_STEPS, "tokens"):
        one, other = manifest.load(str(work / step)), manifest.load(str(at_once / step))
        assert one is not None and other is not None and one.digest == other.digest, step


# -- what can be asked for ------------------------------------------------------------------------


def test_by_url_however_it_is_written(work: Path) -> None:
    name = page_id(work, 11)
    done = run_purge(work, urls=("HTTPS://www.Example.org:443/11", "http://nowhere.example/"))
    assert list(done.found.documents) == [name]
    assert done.found.unknown == ("http://nowhere.example/",)
    assert holds(work, finished_run.text_of(11)) == []
    listed = PurgeList.load(str(work / purge_list.FILE_NAME))
    assert len(listed.urls) == 2 and listed.ids == {name}
    assert "example.org" not in "".join(e.url or "" for e in listed.entries)
    assert verify_folder(str(work)).problems == ()


def test_ids_that_are_not_there_are_on_the_list_all_the_same(work: Path) -> None:
    done = run_purge(work, "no-such-id")
    assert done.found.unknown == ("no-such-id",) and not done.found.documents
    assert PurgeList.load(str(work / purge_list.FILE_NAME)).ids == {"no-such-id"}
    assert verify_folder(str(work)).problems == ()


def test_a_document_that_was_rejected_says_no_more(work: Path) -> None:
    path = next(
        p
        for p in (work / "commoncrawl" / "rejected").glob("*")
        if "too_short" in pq.read_table(p)["reason"].to_pylist()
    )
    (row,) = [r for r in pq.read_table(path).to_pylist() if r["reason"] == "too_short"]
    assert row["url"] == f"http://example.org/{SHORT}"
    done = run_purge(work, row["id"])
    assert done.found.documents[row["id"]].steps == {"commoncrawl": "rejected"}
    (now,) = [r for r in pq.read_table(path).to_pylist() if r["id"] == row["id"]]
    assert now == {**row, "detail": "", "url": None}
    assert verify_folder(str(work)).problems == ()


def test_a_dry_run_changes_nothing(work: Path) -> None:
    before = tree(work)
    done = run_purge(work, page_id(work, COPY), dry_run=True)
    assert len(done.found.documents) == 2 and len(done.shards) == 1
    assert done.changes is None and done.problems is None
    assert tree(work) == before


def test_step_folders_of_another_recipe_are_purged_too(work: Path) -> None:
    shutil.copytree(work / "wikipedia", work / "wikipedia.old")
    run_purge(work, article_id(work, 9))
    assert holds(work, finished_run.words("article", 9)) == []
    old = manifest.load(str(work / "wikipedia.old"))
    assert old is not None and old.counts.imbalance() == "" and old.counts.reasons["purged"] == 1


def test_every_document_of_a_source(work: Path) -> None:
    done = run_purge(work, *ids_of(work, "wikipedia"))
    assert done.problems == ()
    tokens = TokensManifest.load(work)
    assert tokens.sources["wikipedia"].tokens == 0
    assert [s.documents for s in tokens.shards if s.source == "wikipedia"] == [0, 0]
    assert verify_folder(str(work)).problems == ()


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chosen=st.sets(st.integers(0, PAGES), min_size=1, max_size=9))
def test_any_pages(finished: Path, tmp_path: Path, chosen: set[int]) -> None:
    work = finished_run.copied(finished, tmp_path / f"work-{len(list(tmp_path.iterdir()))}")
    pages = sorted(chosen - {SHORT})
    ids = [page_id(work, page) for page in pages]
    run_purge(work, *ids)
    assert verify_folder(str(work), options=Options(deep=True)).problems == ()
    if pages:
        assert holds(work, *(finished_run.text_of(page) for page in pages)) == []


# -- what is refused ------------------------------------------------------------------------------


def test_refusals_change_nothing(work: Path, tmp_path: Path) -> None:
    name = page_id(work, 5)
    with pytest.raises(recipe.RecipeError, match="no run has begun"):
        purge(str(tmp_path / "none"), Request((name,)))
    (work / "wikipedia" / STATE).write_text("{}")
    with pytest.raises(InputError, match="half done"):
        run_purge(work, name)
    (work / "wikipedia" / STATE).unlink()
    (work / purge_list.FILE_NAME).write_text("{}\n")
    with pytest.raises(InputError, match="no purge list"):
        run_purge(work, name)
    (work / purge_list.FILE_NAME).unlink()
    part = next((work / "wikipedia").glob("part-*"))
    content = part.read_bytes()
    part.unlink()
    with pytest.raises(InputError, match="lacks part-"):
        run_purge(work, name)
    part.write_bytes(content[:100] + b"\xff" * 600 + content[700:])
    before = tree(work)
    with pytest.raises(OSError):
        run_purge(work, *ids_of(work, "commoncrawl"))
    assert tree(work) == before
    with running.alone(str(work)), pytest.raises(running.BusyError):
        run_purge(work, name)


# -- kills ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process: from then on nothing is written any more."""


def dying(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[[], int]:
    """Lets the process die at the write or removal number `after`; returns how many there were."""
    count = 0

    def guarded(honest: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > after:
                raise Killed
            return honest(*args, **kwargs)

        return act

    monkeypatch.setattr(purge_journal, "_move", guarded(purge_journal._move))
    monkeypatch.setattr(files, "remove", guarded(files.remove))
    monkeypatch.setattr(token_files.AtomicFile, "commit", guarded(token_files.AtomicFile.commit))
    return lambda: count


def test_a_purge_killed_at_any_write_is_undone_or_finished(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = (article_id(finished, 9), page_id(finished, COPY))
    before = tree(finished)
    whole = finished_run.copied(finished, tmp_path / "whole")
    with monkeypatch.context() as patch:
        writes = dying(patch, 10**9)
        run_purge(whole, *ids, check=False)
    total, after = writes(), tree(whole)
    assert total > 40 and after != before
    outcomes = []
    for n in [*range(0, total, 11), *range(total - 5, total)]:
        work = finished_run.copied(finished, tmp_path / f"killed-{n}")
        with monkeypatch.context() as patch:
            dying(patch, n)
            with pytest.raises(Killed):
                run_purge(work, *ids, check=False)
        interrupted = purge_journal.unfinished(str(work))
        if interrupted:
            found = verify_folder(str(work)).problems
            assert any("a purge was interrupted" in p.what for p in found)
        done = run_purge(work)  # No ids: only finishes.
        assert (done.finished is not None) == interrupted
        assert tree(work) == (after if interrupted or n == total - 1 else before), n
        outcomes.append(interrupted)
        assert verify_folder(str(work)).problems == ()
        shutil.rmtree(work)
    assert outcomes[0] is False and True in outcomes


def test_the_next_run_finishes_an_interrupted_purge(
    work: Path, finished_recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = page_id(work, 5)
    with monkeypatch.context() as patch:
        patch.setattr(purge_journal, "_move", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run_purge(work, name)
    assert holds(work, finished_run.text_of(5))
    assert purge_journal.unfinished(str(work))
    assert purge_journal.recover(str(work)) is not None
    purge_journal.forget(str(work))
    assert holds(work, finished_run.text_of(5)) == []
    assert all(result.skipped for result in finished_run.run(finished_recipe, work).values())
    assert verify_folder(str(work)).problems == ()


# -- one step -------------------------------------------------------------------------------------


def test_a_step_in_the_middle_forgets_and_the_first_one_rejects(tmp_path: Path) -> None:
    folder = str(tmp_path / "step")
    part = "part-00000-of-00001.parquet"
    with PartWriter(folder, part, "step") as out:
        for name in ("a", "b", "c"):
            out.outcome(Document(name, name * 10, "books", f"f#{name}", language="en"))
        out.outcome(Rejected("d", "f#d", "too_short", "dddd", "http://d.example/"))
        out.outcome(Bad("f", "e", "encoding: eeee"))
    listed = PurgeList("00" * 16, tuple(Entry(id=i) for i in "abde"))
    came_in = {"a": 12, "d": 5, "e": 6}
    left = strip(folder, "step", out.files, out.counts, listed, came_in)
    counts = left.counts
    assert (counts.documents_in, counts.documents_out, counts.rejected, counts.bad) == (2, 1, 1, 0)
    assert counts.imbalance() == "" and dict(counts.reasons) == {"purged": 1}
    assert dict(counts.languages) == {"en": 1} and not counts.errors
    assert left.gone == {"a": 10, "b": 10}
    assert counts.text_bytes_out == 10 and counts.text_bytes_in == 30 - 12 - 5 - 6
    rows = pq.read_table(f"{folder}/rejected/{part}").to_pylist()
    assert [(r["id"], r["reason"]) for r in rows] == [("b", "purged")]
    assert pq.read_table(f"{folder}/{part}")["id"].to_pylist() == ["c"]
    listed_files = {e["path"]: e for e in left.files}
    assert listed_files[part] == files.entry(folder, part, 1)
    again = strip(folder, "step", left.files, counts, listed, came_in)
    assert again.written == [] and again.counts.to_json() == counts.to_json()


def test_a_part_without_the_documents_has_the_bytes_of_one_that_never_had_them(
    tmp_path: Path,
) -> None:
    part = "part-00000-of-00001.parquet"
    for folder, names in (("whole", "abcdef"), ("less", "abdf")):
        with PartWriter(str(tmp_path / folder), part, "s") as out:
            for name in names:
                out.outcome(Document(name, name * 99, "books", f"f#{name}"))
        if folder == "whole":
            entries, counts = out.files, out.counts
    listed = PurgeList("00" * 16, (Entry(id="c"), Entry(id="e")))
    strip(str(tmp_path / "whole"), "s", entries, counts, listed, {"c": 1, "e": 1})
    assert (tmp_path / "whole" / part).read_bytes() == (tmp_path / "less" / part).read_bytes()


def test_short_texts_make_no_copies() -> None:
    listed = PurgeList("00" * 16, (Entry(id="x", reason="r"), Entry(url="ab" * 16)))
    assert PurgeList.load.__doc__
    assert listed.with_entries([Entry(id="x", reason="later")]).entries[0].reason == "r"
    assert listed.of_text("a") != PurgeList("11" * 16).of_text("a")


# -- the command ----------------------------------------------------------------------------------


def test_the_command(
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def corpus(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["corpus", *words])
        return cli.main()

    name = page_id(work, COPY)
    (tmp_path / "ids").write_text(f"{name}\n\nunknown\n")
    (tmp_path / "urls").write_bytes(b"http://example.org/11\r\n")
    asked = ("--ids", str(tmp_path / "ids"), "--urls", str(tmp_path / "urls"))
    assert corpus("purge", str(work), *asked, "--dry-run") == 0
    assert "Would be purged: 3 documents" in capsys.readouterr().out
    assert corpus("purge", str(work), *asked, "--reason", "opt-out") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Purged: 3 documents" in out and "nothing is left" in out
    assert "not in this corpus: unknown (it is on the list now)" in out
    assert "same text as" in out and ".warc.wet.gz#" in out
    assert "tokenizer: stays as it is" in out
    assert corpus("purge", str(work)) == 0
    (tmp_path / "urls").write_bytes(b"\xff")
    assert corpus("purge", str(work), *asked) == 2
    assert corpus("purge", str(tmp_path / "none"), *asked) == 2
    assert corpus("verify", str(work)) == 0
