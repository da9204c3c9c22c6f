"""`python -m benchmarks.hotspots`: the hottest functions of four kernels, beside the plain way.

Decontamination, book dedup, LaTeX and wikitext on fixed slices of real data in memory. Each plain
way is the straightforward program for the same answers, kept here; tests compare the two as well.
"""

from __future__ import annotations

import argparse
import bz2
import re
import statistics
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import xxhash
from datasketch import MinHash
from rich.console import Console

from benchmarks import data
from benchmarks.latex_differential import papers
from benchmarks.measure import MeasureError, in_fork
from benchmarks.sheets import Sheet
from stages.arxiv import ArxivSettings, read_paper
from stages.arxiv.expander import _TAKES, Expander, Scope
from stages.arxiv.lexer import WORD
from stages.arxiv.source import Source
from stages.arxiv.tree import Tree
from stages.books.reader import BooksReader
from stages.decontaminate.index import Index
from stages.decontaminate.matching import Matcher
from stages.decontaminate.words import NormalForm
from stages.dedup.minhash import Bands
from stages.dedup.shingles import shingles, word_hashes
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.outcomes import Document, Tally
from stages.wikipedia import wikitext
from stages.wikipedia.markup import EQUALS, VOID, Stash, clean, strip_tags
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.wikitext import WikitextConverter

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_SLICE_BYTES = 8_000_000
_TOGETHER = 64
"""Texts that are matched at a time."""
_WORDS = 5


@dataclass
class Hotspot:
    """CPU seconds of each repetition of a function, the plain way and here; `text_bytes` are those
    of the whole slice. `differ`: answers that are not those of the plain way, of `answers`."""

    kernel: str
    function: str
    text_bytes: int
    plain_s: list[float] = field(default_factory=list)
    here_s: list[float] = field(default_factory=list)
    answers: int = 0
    differ: int = 0

    @property
    def ratio(self) -> float:
        """How many times as much CPU the plain way takes, the median of the repetitions."""
        return statistics.median(a / b for a, b in zip(self.plain_s, self.here_s, strict=True))

    def speeds(self) -> tuple[float, float]:
        """MB/s/core of the plain way and here."""
        plain, here = (statistics.median(seconds) for seconds in (self.plain_s, self.here_s))
        return self.text_bytes / plain / 1e6, self.text_bytes / here / 1e6


def measure(repeats: int, data_folder: Path) -> list[Hotspot]:
    """Of each kernel with data in the folder: its hotspots, then the whole of it.

    Raises FileNotFoundError where there is data for none, and MeasureError.
    """
    found = [in_fork(lambda k=k: k(repeats, data_folder))[0] for k in KERNELS]  # type: ignore[misc]
    if not any(found):
        raise FileNotFoundError(f"{data_folder}: no books, arXiv tars or Wikipedia dumps")
    return list(chain.from_iterable(found))


def sheet(found: Sequence[Hotspot]) -> Sheet:
    rows = []
    for spot in found:
        plain, here = (f"{speed:.1f}" for speed in spot.speeds())
        answers = f"{spot.differ:,} of {spot.answers:,}"
        rows.append((spot.kernel, spot.function, plain, here, f"{spot.ratio:.2f}", answers))
    columns = (
        *("kernel", "function", "plain way\nMB/s/core", "here\nMB/s/core"),
        *("times faster", "answers that differ"),
    )
    return Sheet(
        "Hotspots beside the plain way",
        columns,
        tuple(rows),
        (
            "CPU seconds of one process, in turns; MB are those of the whole slice, so the speeds"
            " of a kernel's functions can be compared; ratios are medians of the repetitions.",
        ),
    )


Way = Callable[[], Sequence[Any]]


def compared(
    kernel: str, function: str, text_bytes: int, plain: Way, here: Way, repeats: int
) -> Hotspot:
    """Both ways in turns, after one call that is not measured."""
    spot = Hotspot(kernel, function, text_bytes)
    here()
    for _ in range(repeats):
        before = time.process_time()
        wanted = plain()
        between = time.process_time()
        answers = here()
        spot.here_s.append(time.process_time() - between)
        spot.plain_s.append(between - before)
    spot.answers = len(wanted)
    spot.differ = sum(not _same(a, b) for a, b in zip(wanted, answers, strict=True))
    return spot


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


@contextmanager
def replaced(owner: Any, name: str, function: Any) -> Iterator[None]:
    """With another function in the place of a class's."""
    own = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, own)


def _size(texts: Sequence[str]) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


# -- data


def _books(folder: Path) -> list[str]:
    """Texts of the first books, by name of the archive."""
    texts: list[str] = []
    size = 0
    for path in sorted((folder / "books").glob("*.zip")):
        with path.open("rb") as stream:
            for outcome in BooksReader()(stream, path.name, Tally()):
                if isinstance(outcome, Document) and size < _SLICE_BYTES:
                    texts.append(outcome.text)
                    size += len(outcome.text.encode())
    return texts


def _papers(folder: Path) -> list[dict[str, bytes]]:
    """Files of all submissions."""
    tars = sorted((folder / "arxiv").glob("*.tar"))
    return [files for path in tars for _, files in papers(path)]


def _pages(folder: Path) -> list[tuple[str, str]]:
    """Title and wikitext of the articles of the two largest dumps."""
    dumps = sorted(folder.rglob("*wiki*.xml"), key=_largest_first)[:1]
    dumps += sorted(folder.rglob("*wiki*.xml.bz2"), key=_largest_first)[:1]
    found = []
    for path in dumps:
        with bz2.open(path) if path.suffix == ".bz2" else path.open("rb") as stream:
            for _, element in ElementTree.iterparse(stream):
                if element.tag.rpartition("}")[2] == "page":
                    fields = {e.tag.rpartition("}")[2]: e.text or "" for e in element.iter()}
                    if fields.get("ns", "0") == "0" and fields.get("text"):
                        found.append((fields["title"], fields["text"]))
                    element.clear()
    return found


def _largest_first(path: Path) -> tuple[int, str]:
    return -path.stat().st_size, str(path)


# -- decontamination


def plain_origins(self: NormalForm, text: str, places: I64) -> I64:
    """`NormalForm.origins` by putting each distinct character into normal form."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    distinct, which = np.unique(codes, return_inverse=True)
    sizes = np.array([len(self(chr(code))) for code in distinct.tolist()], np.int64)
    return np.searchsorted(np.cumsum(sizes[which]), places, side="right")


def decontamination(repeats: int, folder: Path) -> list[Hotspot]:
    """MMLU looked for in books."""
    texts = _books(folder)
    if not texts or not (folder / "eval").is_dir():
        return []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        layout = {"benchmarks": {"mmlu": {"layout": "mmlu"}}}
        inputs = {"input": [str(folder / "eval")]}
        run_step(Step("index", "decontamination_index", work, inputs, layout))
        matcher = Matcher(Index(work))
    calls: list[tuple[str, I64]] = []
    fast = NormalForm.origins

    def noted(self: NormalForm, text: str, places: I64) -> I64:
        calls.append((text, places))
        return fast(self, text, places)

    def match() -> list[I64]:
        slices = (texts[i : i + _TOGETHER] for i in range(0, len(texts), _TOGETHER))
        return [np.stack(matcher.matches(some).columns()) for some in slices]

    def plainly() -> list[I64]:
        with replaced(NormalForm, "origins", plain_origins):
            return match()

    with replaced(NormalForm, "origins", noted):
        match()
    form = NormalForm(matcher.index.punctuation)
    return [
        compared(
            "decontamination",
            "NormalForm.origins",
            _size(texts),
            lambda: [plain_origins(form, *call) for call in calls],
            lambda: [fast(form, *call) for call in calls],
            repeats,
        ),
        compared("decontamination", "all: Matcher.matches", _size(texts), plainly, match, repeats),
    ]


# -- book dedup

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_MARKS = re.compile("[\u0300-\u036f]+")
_CHUNK = 4_096


def plain_words(text: str) -> list[str]:
    """Words by regular expressions."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(_MARKS.sub("", unicodedata.normalize("NFKD", text).casefold()))


def plain_word_hashes(text: str) -> U64:
    """Words as a list; each distinct one is hashed once."""
    found = plain_words(text)
    hashes = {word: xxhash.xxh3_64_intdigest(word.encode()) for word in dict.fromkeys(found)}
    return np.fromiter(map(hashes.__getitem__, found), np.uint64, len(found))


def plain_signature(bands: Bands, hashes: U64) -> npt.NDArray[np.uint32]:
    """By datasketch."""
    sketch = MinHash(bands.positions, seed=bands.seed, hashfunc=int, scheme="affine32")
    upper = (hashes >> np.uint64(32)).astype(np.uint32)
    for start in range(0, len(upper), _CHUNK):
        sketch.update_batch(upper[start : start + _CHUNK].tolist())
    return np.asarray(sketch.hashvalues, dtype=np.uint32)


def book_dedup(repeats: int, folder: Path) -> list[Hotspot]:
    texts = _books(folder)
    if not texts:
        return []
    bands, size = Bands(), _size(texts)
    hashes = [word_hashes(text) for text in texts]
    sets = [shingles(words, _WORDS) for words in hashes]

    def plainly(text: str) -> U64:
        return bands.keys(plain_signature(bands, shingles(plain_word_hashes(text), _WORDS)))

    def here(text: str) -> U64:
        return bands.keys(bands.signature(shingles(word_hashes(text), _WORDS)))

    return [
        compared(
            "book dedup",
            "word_hashes",
            size,
            lambda: [plain_word_hashes(text) for text in texts],
            lambda: [word_hashes(text) for text in texts],
            repeats,
        ),
        compared(
            "book dedup",
            "Bands.signature",
            size,
            lambda: [plain_signature(bands, some) for some in sets],
            lambda: [bands.signature(some) for some in sets],
            repeats,
        ),
        compared(
            "book dedup",
            "all: text to keys of bands",
            size,
            lambda: [plainly(text) for text in texts],
            lambda: [here(text) for text in texts],
            repeats,
        ),
    ]


# -- LaTeX

_TEXT = re.compile(r"[^\\{}%]+")


def plain_copy(self: Expander, source: Source) -> str:
    """`Expander._copy` that writes one token after the other."""
    text, out = source.text, self.out
    while source.pos < len(text):
        place = source.pos
        first = text[place]
        if first == "\\":
            match = WORD[source.at].match(text, place)
            token = match[0] if match is not None else first
            name = token[1:]
            if name in self.macros or name in self.handlers or not name:
                return token
            self.copy(token)
            self._pending = _TAKES.get(name, self._pending)
        elif first == "{":
            token = first
            self.scopes.append(Scope("{", self._pending))
            self._pending = 0
            out.text(token)
        elif first in "}%" or first in source.short:
            return first
        else:
            match = _TEXT.match(text, place)
            token = match[0] if match is not None else ""
            if source.short:
                token = re.split(f"[{re.escape(source.short)}]", token, maxsplit=1)[0]
            self._pending = max(0, self._pending - len(token.strip()))
            out.text(token)
        source.pos = place + len(token)
    return ""


def latex(repeats: int, folder: Path) -> list[Hotspot]:
    found = _papers(folder)
    if not found:
        return []
    settings = ArxivSettings()
    trees = [Tree(files) for files in found]
    names = [(tree, name) for tree in trees for name in tree.names() if name.endswith(".tex")]

    def copied() -> list[str]:
        """Files without macros and handlers: what is left is the reading of tokens."""
        parts = []
        for tree, name in names:
            expander = Expander(tree, settings, {})
            expander.run(name)
            parts.append("".join(expander.out.parts))
        return parts

    def read() -> list[str]:
        return [repr(read_paper(files)) for files in found]

    def plainly(call: Callable[[], list[str]]) -> list[str]:
        with replaced(Expander, "_copy", plain_copy):
            return call()

    texts = [tree.text(name) for tree, name in names]
    return [
        compared(
            "LaTeX",
            "Expander._copy",
            _size(texts),
            lambda: plainly(copied),
            copied,
            repeats,
        ),
        compared("LaTeX", "all: read_paper", _size(texts), lambda: plainly(read), read, repeats),
    ]


# -- wikitext

_MARK = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\|(?!\})|^[:;*# \t]{0,20}\{\||^[ \t]{0,20}\|\}(?!\}(?!\}))|\|"
    r"|\[(?:(?:https?|ftps?|sftp|ircs?|gopher|telnet|nntp|git|svn|ssh|worldwind):)?//"
    r"[^\s\[\]{}|<>\"]*|\[(?:mailto|news|tel|sip|geo|urn|magnet|xmpp):[^\s\[\]{}|<>\"]*|\]",
    re.MULTILINE,
)


def plain_structure(self: wikitext._Run, text: str) -> str:
    """`_Run.structure` that looks at each mark of each link."""
    out: list[str] = []
    stack: list[wikitext._Frame] = []
    open_kinds = [0, 0, 0, 0]
    position = 0
    while (token := _MARK.search(text, position)) is not None:
        start, position = token.span()
        mark = token.group()
        self._append(text[token.pos : start], stack, out, open_kinds)
        if mark == "|":
            if stack and stack[-1].kind in (wikitext._TEMPLATE, wikitext._LINK):
                stack[-1].args.append([])
            else:
                self._append(mark, stack, out, open_kinds)
            continue
        if mark == "]]" and stack and stack[-1].kind == wikitext._URL:
            mark, position = "]", start + 1
        kind, opens = wikitext._kind(mark)
        if opens:
            stack.append(wikitext._Frame(kind, len(self.dropped)))
            open_kinds[kind] += 1
            continue
        if not open_kinds[kind] or (mark == "]" and stack[-1].kind != wikitext._URL):
            self._append(mark, stack, out, open_kinds)
            continue
        depth = len(stack)
        value = self._closed(wikitext._popped(kind, stack, open_kinds), depth)
        if stack and stack[-1].kind == wikitext._TEMPLATE:
            value = value.replace("=", EQUALS)
        self._append(value or VOID, stack, out, open_kinds)
    self._append(text[position:], stack, out, open_kinds)
    for frame in stack:
        out.extend(wikitext._flat(frame))
    return "".join(out)


def wikipedia(repeats: int, folder: Path) -> list[Hotspot]:
    pages = _pages(folder)
    if not pages:
        return []
    convert = WikitextConverter(WikipediaSettings(), "en")
    stripped = [(title, strip_tags(clean(text), Stash(), True, True)) for title, text in pages]

    def structure() -> list[tuple[str, list[str]]]:
        found = []
        for title, text in stripped:
            run = wikitext._Run(convert._templates, convert._hidden, title)
            found.append((run.structure(text), run.dropped))
        return found

    def whole() -> list[wikitext.PlainText]:
        return [convert(text, title) for title, text in pages]

    def plainly(call: Callable[[], list[Any]]) -> list[Any]:
        with replaced(wikitext._Run, "structure", plain_structure):
            return call()

    size = _size([text for _, text in pages])
    return [
        compared(
            "wikitext", "_Run.structure", size, lambda: plainly(structure), structure, repeats
        ),
        compared(
            "wikitext", "all: WikitextConverter", size, lambda: plainly(whole), whole, repeats
        ),
    ]


KERNELS: tuple[Callable[[int, Path], list[Hotspot]], ...] = (
    decontamination,
    book_dedup,
    latex,
    wikipedia,
)


def main() -> int:
    """Exit codes: 0 done, 1 answers differ or a measurement failed, 2 bad arguments or no data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hotspots", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with books, arxiv, eval, wikipedia")
    parser.add_argument("--repeats", type=int, default=5, help="[5]")
    options = parser.parse_args()
    folder = options.data or data.default_folder()
    if options.repeats < 1 or folder is None:
        parser.error("at least one repetition, and a folder with data")
    try:
        found = measure(options.repeats, folder)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MeasureError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    console = Console() if sys.stdout.isatty() else Console(width=160)
    shown = sheet(found)
    console.print(shown.rich())
    for note in shown.notes:
        console.print(note, highlight=False)
    return int(any(spot.differ for spot in found))


if __name__ == "__main__":
    raise SystemExit(main())
