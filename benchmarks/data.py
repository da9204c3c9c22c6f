"""The raw files that the benchmarks read: real ones of a folder, or the embedded sample."""

from __future__ import annotations

import bz2
import io
import os
import pydoc
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from warcio.warcwriter import WARCWriter

from benchmarks.measure import REPO

TIMES = 4
"""How much more data the larger measurement has."""
_SAMPLE_SCALE = 3.0


@dataclass(frozen=True)
class RawFiles:
    """The files of one kind: some, and about `TIMES` as much."""

    small: tuple[str, ...]
    large: tuple[str, ...]
    copied: bool


@dataclass(frozen=True)
class RawData:
    """`name` says for people what it is; `wikipedia` is None where there is no bz2 dump."""

    name: str
    wet: RawFiles
    wikipedia: RawFiles | None


def default_folder() -> Path | None:
    """$LLAMA_CORPUS_DATA, or shared/data beside the project, where one is there."""
    named = os.environ.get("LLAMA_CORPUS_DATA")
    folder = Path(named) if named else REPO.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def find(folder: Path | None, work: Path, scale: float = _SAMPLE_SCALE) -> RawData:
    """The WET files and a Wikipedia dump below `folder`; without one the sample is built in `work`.

    Raises FileNotFoundError if `folder` has no WET file.
    """
    if folder is None:
        return _sample(work, scale)
    wet = _fullest_folder(folder.rglob("*.wet.gz"))
    if not wet:
        raise FileNotFoundError(f"{folder}: no WET file (*.wet.gz)")
    dumps = sorted(folder.rglob("*wiki*.xml.bz2"), key=lambda p: (-p.stat().st_size, p))
    return RawData("WET files and a Wikipedia dump of a data folder", *_both(wet, dumps[:1], work))


def tiny(like: RawData, work: Path) -> RawData:
    """Four short pages, and an article where `like` has a dump: what a step costs without data.

    The text is the documentation of a module of the standard library.
    """
    text = pydoc.plain(pydoc.render_doc(statistics)).encode("ascii", "ignore").decode()[:4000]
    work.mkdir(parents=True, exist_ok=True)
    wet, dump = work / "tiny.warc.wet.gz", work / "enwiki-tiny.xml.bz2"
    with wet.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for start in range(0, 4000, 1000):
            record = writer.create_warc_record(
                f"https://docs.example/{start}",
                "conversion",
                payload=io.BytesIO(text[start : start + 1000].encode()),
                warc_content_type="text/plain",
            )
            writer.write_record(record)
    xml = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10"'
        ' xml:lang="en"><page><title>Statistics</title><ns>0</ns><id>1</id><revision><id>1</id>'
        f"<text>{escape(text)}</text></revision></page></mediawiki>"
    )
    dump.write_bytes(bz2.compress(xml.encode()))
    return RawData(
        "four pages and one article",
        RawFiles((str(wet),), (str(wet),), False),
        RawFiles((str(dump),), (str(dump),), False) if like.wikipedia else None,
    )


def _sample(work: Path, scale: float) -> RawData:
    from pipeline.sample.build import WET_FILES, build

    build(work / "sample", scale=scale)
    wet = sorted((work / "sample").rglob("*.wet.gz"))[:WET_FILES]  # the one after is damaged
    dumps = sorted((work / "sample" / "wikipedia").glob("enwiki-*multistream.xml.bz2"))
    return RawData(f"the embedded sample at scale {scale:g}", *_both(wet, dumps[:1], work))


def _both(
    wet: Sequence[Path], dumps: Sequence[Path], work: Path
) -> tuple[RawFiles, RawFiles | None]:
    return sized(wet, work / "copies"), sized(dumps, work / "copies") if dumps else None


def sized(paths: Sequence[Path], copies: Path) -> RawFiles:
    """A quarter of the files beside all of them; where there are too few, all beside copies."""
    if len(paths) >= TIMES:
        small = paths[: len(paths) // TIMES]
        return RawFiles(_names(small), _names(paths[: len(small) * TIMES]), False)
    made = []
    for i in range(TIMES):
        for path in paths:
            # The folder's name stays: it may tell the language of a dump.
            target = copies / str(i) / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            made.append(Path(shutil.copyfile(path, target)))
    return RawFiles(_names(paths), _names(made), True)


def _fullest_folder(paths: Iterable[Path]) -> list[Path]:
    """The files of the folder that has most bytes of them: test files lie in small ones."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(paths):
        by_folder[path.parent].append(path)
    sizes = {folder: sum(p.stat().st_size for p in found) for folder, found in by_folder.items()}
    return by_folder[max(sizes, key=lambda f: (sizes[f], str(f)))] if sizes else []


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(path) for path in paths)
