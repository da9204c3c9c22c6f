"""WARC readers on the same files: speed, share of the whole extraction, and conduct on damage.

    python -m benchmarks.warc_readers [FOLDER]

FOLDER holds `wet`, `warc` and `fixtures` (by default that of the tests). Each figure is the best of
three runs in this process; MB are decompressed payload bytes.
"""

from __future__ import annotations

import io
import logging
import time
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from benchmarks import command
from benchmarks.data import default_folder
from stages.commoncrawl import CommonCrawlReader, Settings
from stages.commoncrawl.records import RawRecord, iter_records
from stages.outcomes import Tally

Counts = tuple[int, int]
RUNS = 3
logging.disable(logging.WARNING)


def inflate_only(data: bytes) -> Counts:
    """The floor: gunzip, member by member."""
    members = size = at = 0
    view = memoryview(data)
    while at < len(data):
        inflate = zlib.decompressobj(31)
        while not inflate.eof:
            piece = view[at : at + (1 << 14)]
            if not piece:
                raise EOFError
            size += len(inflate.decompress(piece))
            at += len(piece)
        at -= len(inflate.unused_data)
        members += 1
    return members, size


def warcio(data: bytes) -> Counts:
    records = size = 0
    for record in WarcioIterator(io.BytesIO(data), no_record_parse=True):
        records += 1
        size += len(record.raw_stream.read())
    return records, size


def fastwarc(data: bytes) -> Counts:
    records = size = 0
    for record in FastIterator(io.BytesIO(data), parse_http=False):
        records += 1
        size += len(record.reader.read())
        record.headers.get("WARC-Target-URI")
    return records, size


def iter_records_(data: bytes) -> Counts:
    records = size = 0
    for item in iter_records(io.BytesIO(data), Settings()):
        if isinstance(item, RawRecord):
            records += 1
            size += item.length
    return records, size


def whole_extract(data: bytes) -> Counts:
    tally = Tally()
    size = sum(
        len(getattr(outcome, "text", "").encode())
        for outcome in CommonCrawlReader()(io.BytesIO(data), "bench", tally)
    )
    return tally.records, size


READERS: list[Callable[[bytes], Counts]] = [
    inflate_only,
    warcio,
    fastwarc,
    iter_records_,
    whole_extract,
]


def speed(title: str, files: list[Path]) -> None:
    data = [path.read_bytes() for path in files]
    packed = sum(map(len, data))
    print(f"\n{title}: {len(files)} files, {packed / 1e6:.1f} MB compressed")
    print(f"{'':>14}  records      MB      s   MB/s  us/record  of extract")
    rows = []
    for reader in READERS:
        best, counts = float("inf"), [(0, 0)]
        for _ in range(RUNS):
            began = time.perf_counter()
            counts = [reader(content) for content in data]
            best = min(best, time.perf_counter() - began)
        records, size = (sum(column) for column in zip(*counts, strict=True))
        rows.append((reader.__name__.strip("_"), records, size, best))
    total = rows[-1][3]
    for name, records, size, best in rows:
        print(
            f"{name:>14} {records:8} {size / 1e6:7.1f} {best:6.2f} {size / 1e6 / best:6.0f}"
            f" {best / records * 1e6:10.0f} {best / total:10.0%}"
        )


def attempt(reader: Callable[[bytes], Counts], data: bytes) -> str:
    try:
        with redirect_stderr(io.StringIO()):
            return str(reader(data)[0])
    except Exception as error:  # noqa: BLE001 - how a reader fails is what is shown
        return type(error).__name__


def conduct(folder: Path) -> None:
    print("\nfixtures on which the readers differ: records read, or how reading ended")
    print(f"{'warcio':>18} {'fastwarc':>10} {'here':>6} {'faults':>6}  file")
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == "LICENSE":
            continue
        data = path.read_bytes()
        items = list(iter_records(io.BytesIO(data), Settings()))
        here = sum(isinstance(item, RawRecord) for item in items)
        faults = len(items) - here
        others = attempt(warcio, data), attempt(fastwarc, data)
        if set(others) != {str(here)} or faults:
            print(f"{others[0]:>18} {others[1]:>10} {here:6} {faults:6}  {path.name}")


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.warc_readers", __doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="[commoncrawl of the data folder]")
    given = parser.parse_args().folder

    def work() -> None:
        default = default_folder()
        folder = given or (default / "commoncrawl" if default else None)
        if folder is None or not folder.is_dir():
            raise FileNotFoundError(f"no such folder: {folder}")
        speed("WET", sorted((folder / "wet").glob("*.gz")))
        speed("WARC", sorted((folder / "warc").glob("*.gz")))
        conduct(folder / "fixtures")

    return command.run(work)


if __name__ == "__main__":
    raise SystemExit(main())
