"""Papers, submissions and bulk tars made at run time for the tests of the arXiv stage."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from stages.arxiv import ArxivReader, ArxivSettings, Paper, read_paper
from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped, Tally


def latex(body: str, preamble: str = "") -> str:
    """A paper with one section that holds `body`."""
    return (
        f"\\documentclass{{article}}\n{preamble}\n\\begin{{document}}\n"
        f"\\title{{A Title}}\\maketitle\nIntroductory words.\n\\section{{One}}\n{body}\n"
        "\\end{document}\n"
    )


def paper(files: Mapping[str, str | bytes] | str, **settings: Any) -> Paper:
    """The paper that is read from one text or from files by name."""
    given = {"main.tex": files} if isinstance(files, str) else files
    raw = {name: f.encode() if isinstance(f, str) else f for name, f in given.items()}
    found = read_paper(raw, ArxivSettings(**settings))
    assert isinstance(found, Paper), found
    return found


def body(text: str, preamble: str = "", **settings: Any) -> str:
    """What becomes of `text` in the first section of a paper, without the heading."""
    found = paper(latex(text, preamble), **settings).text
    assert found.startswith("\\section{One}"), found
    return found.removeprefix("\\section{One}").lstrip("\n")


def tar_of(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], **options: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def submission(files: Mapping[str, str | bytes] | str | bytes) -> bytes:
    """A `.gz` as in the bulk tars: of a tar, or of one file."""
    if isinstance(files, str | bytes):
        return gzip.compress(files.encode() if isinstance(files, str) else files, mtime=0)
    raw = [(name, f.encode() if isinstance(f, str) else f) for name, f in files.items()]
    return gzip.compress(tar_of(raw), mtime=0)


def read(
    data: bytes,
    path: str = "arXiv_src_1904_001.tar",
    start: int = 0,
    end: int | None = None,
    **settings: Any,
) -> list[Outcome]:
    """All outcomes of a file; checks that as many records were counted."""
    tally = Tally()
    reader = ArxivReader(ArxivSettings(**settings))
    found = list(reader(io.BytesIO(data), path, tally, start, end))
    assert tally.records == len(found)
    return found


def outcome(data: bytes, name: str = "1904/1904.00001.gz", **settings: Any) -> Outcome:
    """The outcome of a single submission in a bulk tar."""
    (found,) = read(tar_of([(name, data)]), **settings)
    return found


def verdicts(outcomes: Iterable[Outcome]) -> list[str]:
    """Id of a document, reason of a reject, first word of an error, kind of what is skipped."""
    return [
        o.id
        if isinstance(o, Document)
        else o.reason
        if isinstance(o, Rejected)
        else o.error.partition(":")[0]
        if isinstance(o, Bad)
        else o.kind
        for o in outcomes
        if isinstance(o, Document | Rejected | Bad | Skipped)
    ]
