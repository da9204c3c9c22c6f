"""`python -m benchmarks.latex_differential [TAR...]`: LaTeX read, against regular expressions.

The common cleaner is a handful of regular expressions. Here its rules are written down anew and run
beside `stages.arxiv` on the same submissions. Each row counts one kind of difference: papers in
which it occurs, and how often. What a paper loses or keeps wrongly is judged by the source, with
this project's reading of it.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import command, data
from stages.arxiv import ArxivSettings, Paper, read_paper
from stages.arxiv.output import BombError
from stages.arxiv.submission import DamagedError, unpack
from stages.arxiv.tar import Member, SeekableInput, walk
from stages.arxiv.tree import Tree

# The rules as they are found: one alternative lacks its bar, so the last two never match alone.
_HEADER = re.compile(
    r"\\(?:chapter|part|section|subsection|subsubsection|paragraphsubparagraph)\b\*?(?:\[.*?\])?\{",
)
_LINE_COMMENT = re.compile(r"(?m)^%.*\n?")
_COMMENT = re.compile(r"(?m)[^\\]%.+$")
_CUT = re.compile(
    r"\\appendix|\\begin\{references\}|\\begin\{REFERENCES\}|\\begin\{thebibliography\}"
    r"|\\bibliography\{.*\}"
)
_NEWCOMMAND = re.compile(r"(?m)\\newcommand\*?\{(\\[a-zA-Z0-9]+?)\}\{(.*?)\}$")
_DEF = re.compile(r"(?m)\\def\s*(\\[a-zA-Z0-9]+?)\s*\{(.*?)\}$")

# What is looked for in sources and in results.
_DEFINITION = re.compile(
    r"(?m)^[^%\n]*?\\(?:(?:re|provide)?newcommand|renewcommand|providecommand|g?def|"
    r"DeclareMathOperator|DeclareRobustCommand|NewDocumentCommand|let)\*?\s*\{?\s*(\\[A-Za-z]+)"
)
_KEPT_COMMENT = re.compile(r"(?m)(?<!\\)(?:\\\\)*%.*$")
_URL = re.compile(r"\\(?:url|href|path)\{[^}\n]*%")
_VERBATIM = re.compile(r"\\begin\{(verbatim|lstlisting|minted)\}(.*?)\\end\{\1\}", re.DOTALL)
_BIBLIOGRAPHY = re.compile(r"\\printbibliography|\\input\{[^}]*\.bbl\}|\\begin\{thebibliography\}")
_WORDS = re.compile(r"[^\W\d_]{3,}")

KINDS = {
    "encoding": "paper lost: a file that is not UTF-8",
    "escape": "paper lost: a macro whose value is not ASCII",
    "empty": "paper lost: no section heading that the expression knows",
    "early": "first section taken from a comment",
    "eaten": "character before a comment eaten",
    "kept": "comments kept",
    "url": "URLs cut at their %",
    "verbatim": "lines of verbatim text cut at their %",
    "forms": "definitions of a form that is not known",
    "calls": "calls of user macros left that are expanded here",
    "definitions": "definitions left in the text",
    "fragments": "files without heading dropped that the paper reads",
    "strangers": "files taken that the paper does not read",
    "order": "file read elsewhere than the paper does",
    "after": "words behind the bibliography or \\appendix cut",
    "bibliography": "bibliographies kept",
}


@dataclass
class Counts:
    """Papers and occurrences by kind of difference; characters of both results."""

    papers: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    read: int = 0
    ours: int = 0
    theirs: int = 0

    def add(self, kind: str, times: int) -> None:
        if times > 0:
            self.papers[kind] += 1
            self.times[kind] += times


@dataclass
class Cleaned:
    """What the expressions make of one paper; `lost` says why there is nothing."""

    text: str = ""
    lost: str = ""
    taken: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    cut: str = ""


def clean(files: dict[str, bytes]) -> Cleaned:
    """The common cleaner: every .tex file by itself, in the order of the archive."""
    result = Cleaned()
    tex: dict[str, str] = {}
    for name, raw in files.items():
        if name.endswith(".tex"):
            try:
                tex[name] = raw.decode("utf-8")
            except UnicodeDecodeError:
                return Cleaned(lost="encoding")
    macros: dict[str, str] = {}
    for text in tex.values():
        for pattern in (_NEWCOMMAND, _DEF):
            macros.update(pattern.findall(text))
    parts = []
    for name, text in tex.items():
        header = _HEADER.search(text)
        if header is None:
            result.dropped.append(name)
            continue
        result.taken.append(name)
        text = _LINE_COMMENT.sub("", text[header.start() :])
        text = _COMMENT.sub("", text)
        end = _CUT.search(text)
        if end is not None:
            result.cut += text[end.start() :]
            text = text[: end.start()]
        for macro, value in macros.items():
            value = value.encode("unicode-escape").decode(
                "ascii"
            )  # é becomes \\xe9, no escape of re
            try:
                text = re.sub(rf"({re.escape(macro)})([^a-zA-Z0-9])", rf"{value}\2", text)
            except (re.error, IndexError):
                return Cleaned(lost="escape")
        parts.append(text)
    result.text = "\n".join(parts)
    if not result.text.strip():
        result.lost = "empty"
    return result


def compare(files: dict[str, bytes], ours: Paper, counts: Counts) -> None:
    """Counts the differences on one paper."""
    counts.read += 1
    counts.ours += len(ours.text)
    theirs = clean(files)
    counts.theirs += len(theirs.text)
    tree = Tree(files)
    sources = {n: tree.text(n) for n in ours.files if n.endswith(".tex")}
    if theirs.lost:
        counts.add(theirs.lost, 1)
        return
    totals: Counter[str] = Counter()
    for text in sources.values():
        header = _HEADER.search(text)
        if header is not None:
            line = text[text.rfind("\n", 0, header.start()) + 1 : header.start()]
            totals["early"] += "%" in line.replace("\\%", "")
            body = _LINE_COMMENT.sub("", text[header.start() :])
            totals["eaten"] += sum(m[0][0] not in " \t\n" for m in _COMMENT.finditer(body))
            totals["kept"] += len(_KEPT_COMMENT.findall(_COMMENT.sub("", body)))
            totals["url"] += len(_URL.findall(body))
            blocks = (m[2] for m in _VERBATIM.finditer(body))
            totals["verbatim"] += sum(len(_COMMENT.findall(block)) for block in blocks)
        known = {m[0] for p in (_NEWCOMMAND, _DEF) for m in p.findall(text)}
        totals["forms"] += sum(m[1] not in known for m in _DEFINITION.finditer(text))
    names = {m[1] for text in sources.values() for m in _DEFINITION.finditer(text)}
    calls_theirs, calls_ours = _calls(theirs.text, names), _calls(ours.text, names)
    totals["calls"] = sum(
        max(0, n - calls_ours[name]) for name, n in calls_theirs.items() if name in names
    )
    totals["definitions"] = len(_DEFINITION.findall(theirs.text)) - len(
        _DEFINITION.findall(ours.text)
    )
    totals["fragments"] = sum(n in sources for n in theirs.dropped if n != ours.meta["main"])
    totals["strangers"] = sum(n not in sources for n in theirs.taken)
    common = [n for n in theirs.taken if n in sources]
    totals["order"] = sum(
        a != b for a, b in zip(common, sorted(common, key=list(sources).index), strict=True)
    )
    totals["after"] = len(_WORDS.findall(_without_bibliography(theirs.cut)))
    totals["bibliography"] = len(_BIBLIOGRAPHY.findall(theirs.text))
    for kind, times in totals.items():
        counts.add(kind, times)


def _calls(text: str, names: set[str]) -> Counter[str]:
    return Counter(m for m in re.findall(r"\\[A-Za-z]+", text) if m in names)


def _without_bibliography(text: str) -> str:
    text = _LINE_COMMENT.sub("", text)
    text = re.sub(r"(?s)\\begin\{thebibliography\}.*?(\\end\{thebibliography\}|\Z)", "", text)
    return re.sub(r"\\(?:bibliography(?:style)?|end)\{[^}]*\}|\\[A-Za-z]+", "", text)


def papers(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The submissions of a bulk tar: name, and TeX files in the order of the archive."""
    with path.open("rb") as stream:
        for member, content in walk(SeekableInput(stream), go_on=True):
            if not isinstance(member, Member) or member.kind != "file":
                continue
            try:
                yield member.name, unpack(content.read(), ArxivSettings()).files
            except DamagedError as error:
                print(f"{member.name}: {error}", file=sys.stderr)


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.latex_differential", __doc__)
    parser.add_argument("tars", nargs="*", type=Path, help="bulk tars [those of the data folder]")
    tars = parser.parse_args().tars
    return command.run(lambda: show(tars))


def show(tars: Sequence[Path]) -> None:
    """Compares all papers of the tars. Raises FileNotFoundError where there is none."""
    if not tars and (folder := data.default_folder()) is not None:
        tars = sorted((folder / "arxiv").glob("*.tar"))
    if not tars:
        raise FileNotFoundError("name bulk tars (arXiv_src_YYMM_NNN.tar)")
    counts = Counts()
    for path in tars:
        for name, files in papers(path):
            try:
                ours = read_paper(files)
            except BombError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            if isinstance(ours, Paper):
                compare(files, ours, counts)
    table = Table(title=f"{counts.read} papers: what regular expressions do to them")
    for column in ("difference", "papers", "times"):
        table.add_column(column, justify="left" if column == "difference" else "right")
    for kind, meaning in KINDS.items():
        table.add_row(meaning, str(counts.papers[kind]), f"{counts.times[kind]:,}")
    Console(width=100).print(table)
    print(f"text: {counts.ours:,} characters here, {counts.theirs:,} by regular expressions")


if __name__ == "__main__":
    raise SystemExit(main())
