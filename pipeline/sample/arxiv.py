"""arXiv of the sample: bulk tars of LaTeX submissions with planted traps.

The papers are made of the sample's own sentences and of the documentation of installed packages.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

from pipeline.sample import benchmark
from pipeline.sample.documentation import DocArticle, DocumentationError, docstring_articles
from pipeline.sample.texts import LanguageText, load
from pipeline.sample.traps import Must, Trap

EXTRACT = "arxiv"
PAPER_BYTES = 450_000
BOMB = 768 << 20
"""Bytes that the bomb unpacks to: more than any submission to arXiv may have."""

_MONTHS = ("1904", "1905")
_ITEM_PAPER = f"{_MONTHS[0]}.09999"
ITEM_PLACE = benchmark.Place(
    f"arxiv/arXiv_src_{_MONTHS[0]}_001.tar", f"https://arxiv.org/abs/{_ITEM_PAPER}"
)
_MACROS = r"""\newcommand{\R}{\mathbb{R}} % the reals
\newcommand\norm[1]{\left\lVert #1\right\rVert}
\newcommand{\set}[2][x]{\{#1 : #2\}}
\def\eps{\varepsilon}
\def\pair(#1,#2){\langle #1,#2\rangle}
\DeclareMathOperator*{\argmin}{arg\,min}
\newcommand{\eg}{e.g.\ }
\newcommand{\todo}[1]{}
"""
_FORMULAS = (
    (r"Let $f\colon\R\to\R$ with $\norm{f}\le\eps$.", r"Let $f\colon\mathbb{R}\to\mathbb{R}$"),
    (r"The minimum is $\argmin_x \pair(x,y)$.", r"$\operatorname*{arg\,min}_x \langle x,y\rangle$"),
    (r"We write $\set{x>\eps}$ and $\set[y]{y<1}$.", r"$\{x : x>\varepsilon\}$ and $\{y : y<1\}$"),
)


@dataclass(slots=True)
class _Bulk:
    """One bulk tar that is being filled."""

    name: str
    traps: list[Trap]
    _buffer: io.BytesIO = field(default_factory=io.BytesIO)

    def add(self, member: str, data: bytes) -> tuple[int, int]:
        """Offset and length, header and padding included."""
        offset = self._buffer.tell()
        info = tarfile.TarInfo(member)
        info.size = len(data)
        header = info.tobuf(tarfile.USTAR_FORMAT)
        self._buffer.write(header + data + bytes(-len(data) % tarfile.BLOCKSIZE))
        return offset, self._buffer.tell() - offset

    def write(self, folder: Path) -> None:
        self._buffer.write(bytes(2 * tarfile.BLOCKSIZE))
        (folder / self.name).write_bytes(self._buffer.getvalue())


@dataclass(slots=True)
class _Plant:
    """Adds submissions with traps, each with the next number of a month."""

    bulk: _Bulk
    month: str
    number: int = 0

    def identifier(self) -> str:
        self.number += 1
        return f"{self.month}.{self.number:05}"

    def paper(self, data: bytes, suffix: str = "gz") -> tuple[str, int, int]:
        name = self.identifier()
        offset, length = self.bulk.add(f"{self.month}/{name}.{suffix}", data)
        return name, offset, length

    def trap(
        self,
        kind: str,
        must: Must,
        data: bytes,
        *any_of: str,
        suffix: str = "gz",
        gone: tuple[str, ...] = (),
        note: str = "",
    ) -> None:
        """One submission; with `gone`, also a trap that its text has none of these."""
        name, offset, length = self.paper(data, suffix)
        for what, words in ((must, any_of), (Must.TEXT_GONE, gone)):
            if what is must or words:
                self.bulk.traps.append(
                    Trap(
                        kind=kind,
                        must=what,
                        steps=(EXTRACT,),
                        file=f"arxiv/{self.bulk.name}",
                        offset=offset,
                        length=length,
                        url=f"https://arxiv.org/abs/{name}",
                        any_of=words,
                        note=note,
                    )
                )


def write(out: Path, seed: int, scale: float) -> list[Trap]:
    """Writes bulk tars below `out/arxiv`; the same arguments and machine give the same bytes."""
    folder = out / "arxiv"
    folder.mkdir(parents=True, exist_ok=True)
    rng = Random(f"{seed}/arxiv")
    texts = load()
    traps: list[Trap] = []
    bulks = [_Bulk(f"arXiv_src_{month}_001.tar", traps) for month in _MONTHS]
    ordinary = [_Plant(bulk, month) for bulk, month in zip(bulks, _MONTHS, strict=True)]
    size = 0
    for i, paper in enumerate(_papers(texts["en"], round(PAPER_BYTES * scale), rng)):
        plant = ordinary[i % len(ordinary)]
        plant.paper(_packed(paper))
        size += sum(len(content.encode()) for content in paper.values())
    _plant_item(ordinary[0], texts["en"], seed)
    damaged = _Bulk("arXiv_src_1906_001.tar", traps)
    _kept(_Plant(damaged, "1906"), texts, rng)
    _refused(_Plant(damaged, "1906", 500), texts["en"], rng)
    for bulk in (*bulks, damaged):
        bulk.write(folder)
    return traps


def _plant_item(plant: _Plant, text: LanguageText, seed: int) -> None:
    """An item of a benchmark in a paper, with emphasis, a tie and a comment in its sentence."""
    item = [_escaped(line) for line in benchmark.planted("arxiv", seed).lines()]
    first, second, third, fourth, *words = item[0].split(" ")
    marked = [first, f"\\emph{{{second}}}~{third} % no word of it\n", fourth, *words]
    paragraphs = [text.paragraph(Random(f"{seed}/arxiv/benchmark/{i}")) for i in range(6)]
    body = "\n\n".join([*paragraphs[:3], " ".join(marked), *item[1:], *paragraphs[3:]])
    plant.bulk.add(f"{plant.month}/{_ITEM_PAPER}.gz", _packed({"main.tex": _latex(body)}))


def _papers(text: LanguageText, budget: int, rng: Random) -> Iterator[dict[str, str]]:
    """Ordinary papers until there are `budget` characters: in one file, or in parts."""
    size = number = 0
    try:
        articles: Iterator[DocArticle | None] = iter(list(docstring_articles(budget * 3 // 4)))
    except DocumentationError:
        articles = iter(())
    while size < budget:
        article = next(articles, None)
        if article is not None:
            title, paragraphs = f"On {article.package}: {article.name}", list(article.paragraphs)
        else:
            title = f"On {text.topic(rng)}"
            paragraphs = [text.paragraph(rng) for _ in range(rng.randint(8, 20))]
        paper = _paper(title, [_escaped(p) for p in paragraphs], rng, split=number % 3 == 0)
        size += sum(map(len, paper.values()))
        number += 1
        yield paper


def _paper(title: str, paragraphs: list[str], rng: Random, split: bool) -> dict[str, str]:
    third = max(1, len(paragraphs) // 3)
    stretches = [paragraphs[i : i + third] for i in range(0, len(paragraphs), third)]
    sections = []
    for number, stretch in enumerate(stretches, 1):
        formula = rng.choice(_FORMULAS)[0]
        lines = "\n\n".join(stretch)
        sections.append(
            f"\\section{{Part {number}}} \\label{{sec:{number}}}\n% a note to ourselves\n"
            f"{lines}\n\n{formula} \\todo{{check}} See~\\cite{{a{number}}}.\n"
        )
    head = (
        f"\\documentclass[11pt]{{article}}\n\\usepackage{{amsmath}}\n{_MACROS}"
        f"\\title{{{_escaped(title)}}}\n\\begin{{document}}\n\\maketitle\n"
        "\\begin{abstract}An abstract of a few words.\\end{abstract}\n"
    )
    end = "\\bibliographystyle{plain}\n\\bibliography{refs}\n\\end{document}\n"
    if not split:
        return {"paper.tex": head + "\n".join(sections) + end}
    parts = {f"part{number}.tex": section for number, section in enumerate(sections, 1)}
    inputs = "".join(f"\\input{{part{number}}}\n" for number in range(1, len(sections) + 1))
    return {"ms.tex": head + inputs + end, **parts}


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\textbackslash ")
    for character in "%$&#_{}":
        text = text.replace(character, "\\" + character)
    return text.replace("\\textbackslash \\{\\}", "\\textbackslash ")


def _kept(plant: _Plant, texts: dict[str, LanguageText], rng: Random) -> None:
    """Papers that are kept, and what must and must not be in their text."""
    text = texts["en"]

    def words() -> str:
        return text.sentence(rng)

    def one(body: str, preamble: str = "", front: str = "") -> bytes:
        return _packed({"main.tex": _latex(body, preamble, front)})

    for source, expanded in _FORMULAS:
        plant.trap("LaTeX macro", Must.KEPT, one(f"{words()} {source}", _MACROS), expanded)
    last = words()
    for comment, note in (
        (f"{words()}% SECRET remark\n{last}", "behind text"),
        (f"{words()} \\\\% SECRET remark\n{last}", "behind a line break"),
        (f"{words()}\n  % SECRET remark\n{last}", "on a line of its own"),
        (f"\\begin{{comment}}\nSECRET\n\\end{{comment}}\n{last}", "environment"),
        (f"\\iffalse\nSECRET \\iff\n\\fi\n{last}", "condition"),
    ):
        plant.trap("LaTeX comment", Must.KEPT, one(comment), last, gone=("SECRET",), note=note)
    for source, note in (
        (r"Half is 50\% of it.", "escaped"),
        (r"\url{https://example.org/a%20b}", "URL"),
        ('\\begin{verbatim}\nprintf("%d");\n\\end{verbatim}', "verbatim"),
        (r"\verb|100%|", "verb"),
    ):
        wanted = source.split("\n")[1] if "\n" in source else source
        data = one(f"{words()} {source}\n{last}")
        plant.trap("percent that is no comment", Must.KEPT, data, wanted, note=note)
    for source, note in (
        ("\\begin{thebibliography}{9}\\bibitem{a} CITED\\end{thebibliography}", "environment"),
        ("\\input{main.bbl}", "file"),
        ("\\section*{References}\n[1] CITED, 1999.\n", "section"),
    ):
        files = {
            "main.tex": _latex(f"{words()}\n{source}\n\\appendix\n\\section{{Proofs}} {last}"),
            "main.bbl": "\\begin{thebibliography}{1}\\bibitem{a} CITED\\end{thebibliography}",
        }
        data = _packed(files)
        plant.trap("bibliography", Must.KEPT, data, last, gone=("CITED",), note=note)
    for front, note in (
        ("FRONT matter, an abstract of sorts.", "text"),
        ("%\\section{FRONT}\nFRONT words", "section in a comment"),
    ):
        data = one(last, front=front)
        plant.trap(
            "text before the first section", Must.KEPT, data, last, gone=("FRONT",), note=note
        )
    heading = _latex(f"\\paragraph{{One}} {last}").replace("\\section{First}", "")
    plant.trap("paragraphs only", Must.KEPT, _packed({"a.tex": heading}), last)
    letter = _latex(last, front="").replace("\\section{First}", "")
    plant.trap("paper without sections", Must.KEPT, _packed({"a.tex": letter}), last)
    ordered = {
        "main.tex": _latex("\\input{Z_one}\\include{b/two}\n\\input three"),
        "z_one.tex": f"{words()} ONE ",
        "b/two.tex": "TWO ",
        "three.tex": f"THREE {last}",
    }
    plant.trap("files in their order", Must.KEPT, _packed(ordered), f"ONE TWO THREE {last}")
    for language, encoding in (("fr", "latin-1"), ("cs", "iso8859-2"), ("ru", "koi8-r")):
        sentence = texts[language].sentence(rng)
        try:
            sentence.encode(encoding)
        except UnicodeEncodeError:
            sentence = {"fr": "Déjà vu.", "cs": "Příliš žluťoučký kůň.", "ru": "Да."}[language]
        name = {"latin-1": "latin1", "iso8859-2": "latin2"}.get(encoding, encoding)
        source = _latex(sentence, f"\\usepackage[{name}]{{inputenc}}\n\\newcommand{{\\n}}{{ü}}")
        source = source.replace("ü", "u") if encoding == "koi8-r" else source
        data = gzip.compress(source.encode(encoding), mtime=0)
        plant.trap("encoding of a paper", Must.KEPT, data, sentence, note=encoding)


def _refused(plant: _Plant, text: LanguageText, rng: Random) -> None:
    """What is no paper, is damaged or hostile; each with a sound paper behind it."""

    def sound(after: str) -> None:
        last = text.sentence(rng)
        data = _packed({"main.tex": _latex(last)})
        plant.trap("paper after an odd submission", Must.KEPT, data, last, note=after)

    def damaged(kind: str, must: Must, data: bytes, suffix: str = "gz", note: str = "") -> None:
        plant.trap(kind, must, data, suffix=suffix, note=note)
        sound(f"{kind} {note}".strip())

    main = ("main.tex", _latex(text.sentence(rng)).encode())
    damaged("PDF-only submission", Must.REJECTED, b"%PDF-1.4\n% no TeX\n", "pdf")
    postscript = gzip.compress(b"%!PS-Adobe-2.0\nshowpage\n", mtime=0)
    damaged("PostScript-only submission", Must.REJECTED, postscript)
    damaged("withdrawn paper", Must.REJECTED, gzip.compress(b"%auto-ignore\n", mtime=0))
    damaged("withdrawn paper", Must.REJECTED, gzip.compress(b"", mtime=0), note="empty")
    html = gzip.compress(b"<!DOCTYPE html><html><body>no</body></html>", mtime=0)
    damaged("submission without TeX", Must.REJECTED, html)
    doubling = "".join(
        f"\\def\\{a}{{\\{b}\\{b}}}" for a, b in pairwise("abcdefghijklmnopqrstuvwxy")
    )
    for preamble, note in (
        ("\\def\\a{\\a\\a}", "loop"),
        (doubling + "\\def\\y{boom}", "doubling"),
    ):
        data = _packed({"main.tex": _latex("\\a", preamble)})
        damaged("macro bomb", Must.UNREADABLE, data, note=note)
    for name in ("../outside.tex", "/etc/outside.tex"):
        data = _tar([main, (name, b"\\section{no}")])
        damaged("name that leads out", Must.UNREADABLE, data, note=name)
    link = tarfile.TarInfo("link.tex")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    damaged("link that leads out", Must.UNREADABLE, _tar([main, (link, b"")]))
    many = _tar([(f"f{i}.tex", b"") for i in range(6000)])
    damaged("thousands of files", Must.UNREADABLE, many)
    damaged("archive in an archive", Must.UNREADABLE, _tar([("inner.tar.gz", _tar([main]))]))
    damaged("truncated submission", Must.UNREADABLE, _tar([main])[:-20])
    plant.trap("gzip bomb (submission)", Must.UNREADABLE, _bomb())
    sound("gzip bomb")


def _latex(body: str, preamble: str = "", front: str = "Words before.") -> str:
    return (
        f"\\documentclass{{article}}\n{preamble}\n\\begin{{document}}\n{front}\n"
        f"\\section{{First}}\n{body}\n\\end{{document}}\n"
    )


def _packed(files: Mapping[str, str]) -> bytes:
    """A submission: one file as it is, several as a tar."""
    if len(files) == 1:
        return gzip.compress(next(iter(files.values())).encode(), mtime=0)
    return _tar((name, content.encode()) for name, content in files.items())


def _tar(members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _bomb() -> bytes:
    """Members of one word behind the beginning of a paper: small, and large when unpacked."""
    block = gzip.compress(b"boom " * ((64 << 20) // 5), 9, mtime=0)
    return gzip.compress(b"\\section{x}\n", mtime=0) + block * (BOMB // (64 << 20))
