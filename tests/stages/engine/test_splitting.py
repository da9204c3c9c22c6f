"""Skewed sizes: which raw files are cut into units, and what goes first where none can be cut."""

from __future__ import annotations

import bz2
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from stages import registry
from stages.engine.step import Step
from stages.engine.units import WorkUnit, dealt

SPLIT = 20_000
LARGE = 10 * SPLIT


def units(tmp: Path, stage: str, name: str, data: bytes, **settings: Any) -> list[WorkUnit]:
    """The units of a folder with one large file, and one of a tenth of its size."""
    folder = tmp / "raw"
    folder.mkdir()
    (folder / name).write_bytes(data)
    (folder / f"a-small-{name}").write_bytes(data[: len(data) // 10])
    layout = {"split_bytes": SPLIT, "bundle_bytes": 0}
    step = Step(stage, stage, str(tmp / "out"), {"input": [str(folder)]}, settings, layout)
    return [u for u in registry.create(step).units() if f"/{name}" in u.pieces[0].path]


def streams() -> bytes:
    """A dump of many bzip2 streams."""
    page = b"<page><title>%d</title><ns>0</ns><revision><text>text</text></revision></page>"
    rest = [bz2.compress(b"".join(page % (i * 9 + j) for j in range(9))) for i in range(2000)]
    return (bz2.compress(b'<mediawiki version="0.11">') + b"".join(rest))[:LARGE]


def members() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for i in range(LARGE // 2048):
            info = tarfile.TarInfo(f"1904/1904.{i:05d}.gz")
            info.size = 1024
            archive.addfile(info, io.BytesIO(b"\x1f\x8b" + bytes(1022)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("stage", "name", "data"),
    [
        ("commoncrawl", "x.warc.wet.gz", bytes(LARGE)),
        ("commoncrawl", "x.warc.gz", bytes(LARGE)),
        ("commoncrawl", "x.warc", bytes(LARGE)),
        ("wikipedia", "xwiki-pages-articles.xml", b"<mediawiki>" + b" " * LARGE),
        ("wikipedia", "xwiki-pages-articles-multistream.xml.bz2", streams()),
        ("c4", "c4-train.00000-of-00001.json", b"{}\n" * (LARGE // 3)),
        ("arxiv", "arXiv_src_1904_001.tar", members()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_ten_units_is_cut_into_about_ten(
    tmp_path: Path, stage: str, name: str, data: bytes
) -> None:
    found = units(tmp_path, stage, name, data)
    assert 7 <= len(found) <= 14
    assert sum(u.size for u in found) == len(data)
    assert max(u.size for u in found) < 2 * SPLIT


@pytest.mark.parametrize(
    ("stage", "name", "data"),
    [
        ("wikipedia", "xwiki-pages-articles.xml.gz", b"\x1f\x8b" + bytes(LARGE)),
        ("wikipedia", "xwiki-pages-articles.xml.7z", b"7z\xbc\xaf'\x1c" + bytes(LARGE)),
        ("wikipedia", "xwiki-one-stream.xml.bz2", b"BZh91AY&SY" + bytes(LARGE)),
        ("c4", "c4-train.00000-of-00001.json.gz", b"\x1f\x8b" + bytes(LARGE)),
        ("books", "pg1.zip", b"PK\x03\x04" + bytes(LARGE)),
        ("stackexchange", "x.stackexchange.com.7z", b"7z\xbc\xaf'\x1c" + bytes(LARGE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_cut_is_one_unit(
    tmp_path: Path, stage: str, name: str, data: bytes
) -> None:
    found = units(tmp_path, stage, name, data)
    assert [len(u.pieces) for u in found] == [1]
    assert found[0].size == len(data)


def test_the_largest_unit_goes_first(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for i, size in enumerate([10, LARGE, 500, 10]):
        (folder / f"{i}.json.gz").write_bytes(b"\x1f\x8b" + bytes(size))
    step = Step(
        "c4", "c4", str(tmp_path / "out"), {"input": [str(folder)]}, {}, {"bundle_bytes": 0}
    )
    order = [Path(u.pieces[0].path).name for u in dealt(registry.create(step).units())]
    assert order == ["1.json.gz", "2.json.gz", "0.json.gz", "3.json.gz"]
