"""The sample's C4: the form of the published dataset, its traps, and what CommonCrawl has too."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from pipeline.sample import c4
from pipeline.sample.build import _web_pages
from pipeline.sample.caught import caught
from pipeline.sample.texts import load
from pipeline.sample.traps import Key, Trap, write_key
from stages.engine.run import run_step
from stages.engine.step import Step

SCALE = 0.2


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trap]]:
    folder = tmp_path_factory.mktemp("sample")
    return folder, c4.write(folder, 3, SCALE)


def ordinary(folder: Path) -> list[dict[str, str]]:
    files = sorted((folder / "c4").glob("*.json.gz"))[: c4.FILES]
    return [
        orjson.loads(line)
        for f in files
        for line in gzip.decompress(f.read_bytes()).split(b"\n")
        if line
    ]


def test_the_sample_is_the_same_each_time(sample: tuple[Path, list[Trap]], tmp_path: Path) -> None:
    folder, traps = sample
    assert c4.write(tmp_path, 3, SCALE) == traps
    for path in (folder / "c4").iterdir():
        assert (tmp_path / "c4" / path.name).read_bytes() == path.read_bytes()
    assert c4.write(tmp_path, 4, SCALE) != traps


def test_ordinary_pages_are_clean_and_as_many_as_asked_for(
    sample: tuple[Path, list[Trap]],
) -> None:
    pages = ordinary(sample[0])
    assert all(set(p) == {"text", "timestamp", "url"} for p in pages)
    size = sum(len(p["text"].encode()) for p in pages)
    assert abs(size - c4.BYTES * SCALE) < 20_000
    lines = [line for p in pages for line in p["text"].split("\n")]
    assert all(line.endswith((".", "?", "!", '"')) for line in lines)
    assert len({p["url"] for p in pages}) == len(pages)


def test_some_pages_are_pages_of_the_sample_s_crawl(sample: tuple[Path, list[Trap]]) -> None:
    wet, warc = _web_pages({"en": load()["en"]}, [], {}, 3, SCALE)
    crawled = {page.url for page in (*wet, *warc)}
    shared = [p["url"] for p in ordinary(sample[0]) if p["url"] in crawled]
    assert 0 < len(shared) < len(crawled)


def test_the_reader_catches_every_trap(sample: tuple[Path, list[Trap]], tmp_path: Path) -> None:
    folder, traps = sample
    write_key(tmp_path / "KEY.json", Key(seed=3, traps=tuple(traps)))
    work = tmp_path / "work"
    counts = run_step(
        Step("c4", "c4", str(work / "c4"), {"input": [str(folder / "c4")]})
    ).manifest.counts
    results = caught(tmp_path / "KEY.json", work)
    assert [r for r in results if r.caught != r.planted] == []
    assert counts.bad == sum(t.must.value == "unreadable" for t in traps) == 14
    assert set(counts.errors) == {"json", "schema", "too_long", "truncated"}
