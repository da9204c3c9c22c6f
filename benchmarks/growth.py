"""What grows with the data: memory and CPU of each step with 1, 2, 4, 8 and 16 times as much."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import data
from benchmarks.cases import DOCUMENT_STEPS, Case, cases
from benchmarks.stages import Say, WatchedRun, run_watched
from stages.engine.step import Step

SIZES = (1, 2, 4, 8, 16)
MODELS_UP_TO = 4
"""Beyond it the models are those trained on the least data: their settings bound their work."""
SHARD_TOKENS = 1 << 20
_LENGTH = re.compile(rb"(?im)^(content-length:[ \t]*)(\d+)")
_TARGET = re.compile(rb"(?im)^(warc-target-uri:[ \t]*[a-z]+://)")
_ID = re.compile(rb"(?im)^(warc-record-id:[ \t]*<urn:uuid:)[0-9a-f]{4}")


ROLES = ("worker", "runner", "launcher")
"""The processes whose memory could grow: mothers hold no more than the list of units."""


@dataclass(frozen=True)
class Growth:
    """By number of times as much data: each step's run. `text_bytes`: of the least data."""

    runs: dict[int, dict[str, WatchedRun]]
    text_bytes: int

    def steps(self) -> list[str]:
        return list(self.runs[min(self.runs)])

    def peaks(self, step: str, role: str) -> dict[int, int]:
        """Bytes of a step's largest process of a role, where known, by number of times as much
        data, ascending."""
        found = {n: runs[step].used[role].peak_rss for n, runs in self.runs.items() if step in runs}
        return {n: found[n] for n in sorted(found) if found[n]}

    def cpu(self, step: str) -> dict[int, float]:
        """CPU seconds inside a step's units."""
        return {n: runs[step].cpu_s for n, runs in self.runs.items() if step in runs}


def measure(raw: data.RawData, work: str, say: Say, sizes: Sequence[int] = SIZES) -> Growth:
    """Runs all steps on more and more data. Writes below `work`."""
    runs: dict[int, dict[str, WatchedRun]] = {}
    for size in sizes:
        say(f"everything with {size} times the data")
        given = data.RawData(
            raw.name,
            further(
                raw.wet.small if raw.wet.copied else raw.wet.large, size, Path(work, "raw"), varied
            ),
            further(raw.wikipedia.small, size, Path(work, "raw"), _copied)
            if raw.wikipedia and size <= MODELS_UP_TO
            else None,
        )
        least = f"{work}/{sizes[0]}"
        models = None if size <= MODELS_UP_TO else least
        found = cases(given, f"{work}/{size}", large=False, models=models)
        runs[size] = {
            case.name: run_watched(_with_small_shards(case.step))
            for case in found
            if _measured(case, size)
        }
        if size != sizes[0]:
            shutil.rmtree(f"{work}/{size}")
    return Growth(runs, runs[sizes[0]]["url_dedup"].text_bytes_in)


def _with_small_shards(step: Step) -> Step:
    """A shard of tokens is merged in memory, and larger than all data here by default: so that the
    number of shards grows, as in a large corpus, they are made small."""
    if step.stage != "tokens":
        return step
    return replace(step, settings={**step.settings, "shard_tokens": SHARD_TOKENS})


def _measured(case: Case, size: int) -> bool:
    return size <= MODELS_UP_TO or case.name in (*DOCUMENT_STEPS, "tokens")


Another = Callable[[Path, Path, int], None]
"""(file, target, number): writes the file again, not the same by that number."""


def further(paths: Sequence[str], count: int, work: Path, another: Another) -> data.RawFiles:
    """`count` files: those given first, then further versions of them."""
    work.mkdir(parents=True, exist_ok=True)
    found = []
    for i in range(count):
        path, number = Path(paths[i % len(paths)]), i // len(paths)
        target = work / str(number) / path.parent.name / path.name
        if number and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            another(path, target, number)
        found.append(str(target if number else path))
    return data.RawFiles(tuple(found), tuple(found), False)


def _copied(path: Path, target: Path, number: int) -> None:
    shutil.copyfile(path, target)


def varied(path: Path, target: Path, number: int) -> None:
    """A WET file with the pages of another one as if of other sites: each line has a word more, so
    that nothing is a duplicate of the other file's."""
    word = "abcdefghij"[number % 10].encode() * 3
    with gzip.open(path) as stream, target.open("wb") as out:
        for header, body in _records(stream.read()):
            header = _TARGET.sub(rb"\g<1>" + word + b".", header)
            header = _ID.sub(rb"\g<1>" + word.hex().encode()[:4], header)
            if b"conversion" in header:
                body = b"\n".join(line + b" " + word for line in body.split(b"\n"))
            header = _LENGTH.sub(rb"\g<1>%d" % len(body), header)
            out.write(gzip.compress(header + body + b"\r\n\r\n", compresslevel=1, mtime=0))


def _records(content: bytes) -> list[tuple[bytes, bytes]]:
    """(header with its blank line, body) of each record of a sound, decompressed WARC file."""
    found = []
    at = 0
    while content.startswith(b"WARC/", at):
        start = content.index(b"\r\n\r\n", at) + 4
        match = _LENGTH.search(content, at, start)
        assert match is not None
        end = start + int(match[2])
        found.append((content[at:start], content[start:end]))
        at = end + 4
    return found
