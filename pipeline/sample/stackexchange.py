"""StackExchange dumps of the sample: questions and answers made of docstrings, with traps.

Written as the public dumps are: `Posts.xml` with one `<row>` a line, alone in a folder named by the
site or, with tables that hold no posts beside it, in a .7z archive. Nothing of the text is kept in
the project; it comes out of installed packages when the sample is made.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from random import Random
from xml.sax.saxutils import quoteattr

import py7zr
from py7zr.helpers import ArchiveTimestamp

from pipeline.sample import benchmark
from pipeline.sample.documentation import DocArticle, docstring_articles
from pipeline.sample.traps import Must, Trap

FOLDER = "stackexchange"
TEXT_CHARS = 450_000
"""Characters of docstrings at scale 1."""

UNPACKED, PACKED, SPLIT, DAMAGED, HOSTILE = (
    "code.sample.example",
    "tools.sample.example",
    "largest.sample.example",
    "damaged.sample.example",
    "hostile.sample.example",
)
"""The sites: a folder, an archive with other tables, `<site>-Posts.7z`, a cut file, a DTD."""

_ITEM_QUESTION = "900000"
ITEM_PLACE = benchmark.Place(
    f"{FOLDER}/{PACKED}.7z", f"https://{PACKED}/questions/{_ITEM_QUESTION}"
)

_HEADER = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n'
_FOOTER = "</posts>"
_DATES = ("2009-05-06T07:08:09.123", "2014-03-02T01:00:00.000", "2019-12-31T23:59:59.997")
_ATTRIBUTE = 900_000
_MOMENT = 1_712_016_000  # 2024-04-02 in Unix time: the only time that the archives know


@dataclass(frozen=True, slots=True)
class _Row:
    """One `<row>`: the attributes in the order of the dumps."""

    attributes: tuple[tuple[str, str], ...]

    def xml(self) -> str:
        parts = [f"{k}={quoteattr(v, _REFERENCES)}" for k, v in self.attributes]
        return f"  <row {' '.join(parts)} />\r\n"


_REFERENCES = {"\n": "&#xA;", "\r": "&#xD;", "\t": "&#x9;", '"': "&quot;"}


class _Site:
    """Collects the rows of one site and the traps among them."""

    def __init__(self, name: str, file: str, rng: Random) -> None:
        self.name, self.file, self.rng = name, file, rng
        self.rows: list[_Row] = []
        self.traps: list[Trap] = []
        self._number = 0

    def question(self, title: str, body: str, **more: str) -> int:
        self._number += 1
        common = self._common(1, self._number, body, **more)
        last = (("Title", title), ("Tags", "<sample><docstring>"))
        self.rows.append(_Row((*common, *last)))
        return self._number

    def answer(self, parent: int, body: str, score: int, **more: str) -> int:
        self._number += 1
        given = {"ParentId": str(parent), "Score": str(score), **more}
        self.rows.append(_Row(self._common(2, self._number, body, **given)))
        return self._number

    def other(self, kind: int, body: str) -> None:
        self._number += 1
        self.rows.append(_Row(self._common(kind, self._number, body)))

    def _common(
        self, kind: int, number: int, body: str, **more: str
    ) -> tuple[tuple[str, str], ...]:
        given = {
            "Id": str(number),
            "PostTypeId": str(kind),
            "CreationDate": self.rng.choice(_DATES),
            "Score": str(self.rng.randrange(-3, 40)),
            **more,
            "Body": body,
        }
        return tuple(given.items())

    def trap(
        self,
        kind: str,
        must: Must,
        number: int,
        *any_of: str,
        part: str = "questions",
        note: str = "",
    ) -> None:
        url = f"https://{self.name}/{part}/{number}"
        self.traps.append(
            Trap(
                kind=kind,
                must=must,
                steps=(FOLDER,),
                file=self.file,
                url=url,
                any_of=any_of,
                group=(url,) if must is Must.ONE_OF_GROUP else (),
                note=note,
            )
        )

    def xml(self) -> bytes:
        return (_HEADER + "".join(row.xml() for row in self.rows) + _FOOTER).encode()


def write(out: Path, seed: int, scale: float) -> list[Trap]:
    """Writes the dumps below `out/stackexchange/`; returns their traps.

    The same seed, scale and machine give the same bytes.
    """
    articles = list(docstring_articles(round(TEXT_CHARS * scale)))
    folder = out / FOLDER
    traps: list[Trap] = []

    one = _Site(UNPACKED, f"{FOLDER}/{UNPACKED}/Posts.xml", Random(f"{seed}/{UNPACKED}"))
    _threads(one, articles[0::2])
    _markup_traps(one)
    _thread_traps(one)
    one.rng.shuffle(one.rows)  # answers lie far from their question
    _put(folder / UNPACKED / "Posts.xml", one.xml())
    _put(folder / UNPACKED / "Tags.xml", b"<tags></tags>")

    two = _Site(PACKED, f"{FOLDER}/{PACKED}.7z", Random(f"{seed}/{PACKED}"))
    _threads(two, articles[1::4])
    _order_traps(two)
    _plant_item(two, seed)
    tables = {"Badges.xml": b"<badges></badges>", "Posts.xml": two.xml(), "Votes.xml": b"<votes/>"}
    _put(folder / f"{PACKED}.7z", _seven_zip(tables))

    three = _Site(SPLIT, f"{FOLDER}/{SPLIT}-Posts.7z", Random(f"{seed}/{SPLIT}"))
    _threads(three, articles[3::4])
    _put(folder / f"{SPLIT}-Posts.7z", _seven_zip({"Posts.xml": three.xml()}))
    _put(folder / f"{SPLIT}-Users.7z", _seven_zip({"Users.xml": b"<users></users>"}))

    for site in (one, two, three):
        traps += site.traps
    traps += _damaged(folder, seed)
    traps += _hostile(folder, seed)
    return traps


def _threads(site: _Site, articles: Sequence[DocArticle]) -> None:
    """A question an article, with its other paragraphs as answers."""
    for article in articles:
        rng = site.rng
        head, *rest = article.paragraphs
        first = next((i for i, text in enumerate(rest) if len(text) > 80), len(rest) - 1) + 1
        asked = site.question(f"What does {head} of {article.name} do?", _html(rest[:first], rng))
        rest = rest[first:]
        size = max(1, -(-len(rest) // rng.randint(1, 4)))
        for i in range(0, len(rest), size):
            site.answer(asked, _html(rest[i : i + size], rng), rng.randrange(-4, 130))
        if rng.random() < 0.1:
            site.other(5, f"<p>About {escape(head)}.</p>")


def _html(paragraphs: Sequence[str], rng: Random) -> str:
    """Paragraphs as the sites render them: prose, now and then a list, a quote or code."""
    parts: list[str] = []
    for text in paragraphs:
        plain = escape(text, quote=False)
        if text.startswith((">>>", "...", "    ")):
            parts.append(f'<pre class="lang-py prettyprint-override"><code>{plain}\n</code></pre>')
        elif text.startswith(("- ", "* ")):
            parts.append(f"<ul>\n<li>{plain[2:]}</li>\n</ul>")
        elif rng.random() < 0.06:
            parts.append(f"<blockquote>\n  <p>{plain}</p>\n</blockquote>")
        else:
            parts.append(f"<p>{plain}</p>")
    return "\n\n".join(parts) + "\n"


def _markup_traps(site: _Site) -> None:
    """HTML whose meaning must survive, and HTML that must go."""
    kept = (
        ("block of code", "<pre><code>if a:\n    b = 1\n\n    c = 2\n</code></pre>", "    c = 2"),
        ("code with markup", "<pre><code>x = &lt;p&gt;&amp;amp;\n</code></pre>", "x = <p>&amp;"),
        ("inline code", "<p>Use <code>walk()</code> here.</p>", "`walk()`", "Use walk() here"),
        ("numbered list", "<ol><li>peel</li><li>slice</li></ol>", "2. slice"),
        ("nested list", "<ul><li>a<ul><li>inner b</li></ul></li></ul>", "  - inner b"),
        ("quote", "<blockquote><p>they said</p></blockquote>", "> they said"),
        ("link's text", '<p>the <a href="https://x.example/">old page</a></p>', "the old page"),
        ("image's text", '<p><img src="i.png" alt="a green gate"></p>', "a green gate"),
        ("superscript", "<p>10<sup>6</sup> times</p>", "10⁶ times", "10^6 times"),
        ("entity", "<p>5 &gt; 3 &amp; caf&eacute; &check;</p>", "5 > 3 & café ✓"),
        ("escaped entity", "<p>write &amp;nbsp; there</p>", "write &nbsp; there"),
        ("table", "<table><tr><td>oak</td><td>elm</td></tr></table>", "oak | elm"),
    )
    for kind, html, *expected in kept:
        number = site.question(f"About a {kind}", f"<p>Before.</p>\n\n{html}\n\n<p>After.</p>")
        site.trap("markup that says something", Must.KEPT, number, *expected, note=kind)
    gone = (
        ("a link's address", '<a href="https://gone.example/1">x</a>', "gone.example"),
        ("a placeholder", '<img alt="enter image description here">', "enter image"),
        ("a script", "<script>goneScript()</script>", "goneScript"),
        ("a comment", "<!-- language: gone-lang -->", "gone-lang"),
        ("a class", '<p class="gone-class">x</p>', "gone-class"),
    )
    for kind, html, text in gone:
        number = site.question(f"Without {kind}", f"<p>Before.</p>{html}<p>After.</p>")
        site.trap("markup in the text", Must.TEXT_GONE, number, text, note=kind)


def _order_traps(site: _Site) -> None:
    """Answers whose order differs between integers and strings."""
    for i, scores in enumerate(((9, 10, 100), (-3, 2, -10), (5, 5, 5))):
        asked = site.question(f"In which order are these? ({i})", "<p>Some answers:</p>")
        marks = [(f"answer {i}{n} end.", score) for n, score in enumerate(scores)]
        for text, score in marks:
            site.answer(asked, f"<p>{text}</p>", score)
        due = [text for text, _ in sorted(marks, key=lambda mark: -mark[1])]
        whole = "\n\n".join(f"A: {text}" for text in due)
        site.trap("answers by score", Must.KEPT, asked, whole, note=f"scores {scores}")


def _plant_item(site: _Site, seed: int) -> None:
    """An item of a benchmark in a question, with markup and entities in its sentence."""
    item = [escape(line) for line in benchmark.planted(FOLDER, seed).lines()]
    first, second, third, *words = item[0].split(" ")
    marked = " ".join([f"{first}&nbsp;<em>{second}</em>&#32;<strong>{third}</strong>", *words])
    body = "\n\n".join(f"<p>{line}</p>" for line in [marked, *item[1:]])
    site.question("Who can help me with this one?", f"{body}<p>Thanks.</p>", Id=_ITEM_QUESTION)


def _thread_traps(site: _Site) -> None:
    """Posts that leave, each with a reason."""
    number = site.answer(8_000_000, "<p>An answer to nothing.</p>", 3)
    site.trap("orphan answer", Must.REJECTED, number, part="a")
    number = site.question("A deleted question", "<p>x</p>", DeletionDate=_DATES[2])
    site.trap("deleted question", Must.REJECTED, number)
    number = site.answer(number, "<p>An answer to it.</p>", 1)
    site.trap("answer to a deleted question", Must.REJECTED, number, part="a")
    number = site.question("Which copy counts?", "<p>Either.</p>")
    site.rows.append(site.rows[-1])
    site.trap("question twice", Must.ONE_OF_GROUP, number)
    picture = f"<p>Before.</p><img src='data:image/png;base64,{'A' * _ATTRIBUTE}'><p>after it.</p>"
    number = site.question("An attribute of a megabyte", picture)
    site.trap("attribute of a megabyte", Must.KEPT, number, "after it.")
    number = site.question("Too much", f"<p>{'x' * 1_200_000}</p>")
    site.trap("post over the bound", Must.REJECTED, number)
    number = site.question("Deep", "<blockquote>" * 12_000 + "<p>bottom</p>")
    site.trap("HTML nested deep", Must.KEPT, number, "bottom")


def _damaged(folder: Path, seed: int) -> list[Trap]:
    """A dump with broken rows between sound ones, cut at its end; and a cut archive."""
    site = _Site(DAMAGED, f"{FOLDER}/{DAMAGED}/Posts.xml", Random(f"{seed}/{DAMAGED}"))
    sound = [site.question(f"Sound {i}", f"<p>sound body {i}</p>") for i in range(5)]
    lines = [row.xml() for row in site.rows]
    broken = (
        ("a quote is lacking", lines[0].replace('PostTypeId="1"', 'PostTypeId="1')),
        ("a bare <", lines[1].replace("sound body", "sound < body")),
        ("no score", '  <row Id="900" PostTypeId="1" Body="x" />\r\n'),
        ("a score that is no number", lines[2].replace(' Score="', ' Score="x')),
    )
    data = _HEADER.encode()
    for i, line in enumerate(lines):
        data += line.encode()
        site.trap("row beside a damaged one", Must.KEPT, sound[i], f"sound body {i}")
        if i < len(broken):
            note, text = broken[i]
            site.traps.append(
                Trap(
                    kind="damaged row",
                    must=Must.UNREADABLE,
                    steps=(FOLDER,),
                    file=site.file,
                    offset=len(data) + 2,
                    length=len(text.encode()) - 2,
                    note=note,
                )
            )
            data += text.encode()
    _put(folder / DAMAGED / "Posts.xml", data + b'  <row Id="99" PostTypeId="1" Sco')
    whole = _seven_zip({"Posts.xml": site.xml()})
    _put(folder / f"cut.{DAMAGED}.7z", whole[: len(whole) * 3 // 4])
    file = f"{FOLDER}/cut.{DAMAGED}.7z"
    cut = Trap(kind="cut archive", must=Must.UNREADABLE, steps=(FOLDER,), file=file)
    return [*site.traps, cut]


def _hostile(folder: Path, seed: int) -> list[Trap]:
    """A dump that declares entities: a bomb, and a file of this machine."""
    site = _Site(HOSTILE, f"{FOLDER}/{HOSTILE}/Posts.xml", Random(f"{seed}/{HOSTILE}"))
    site.question("Bomb", "BOMB")
    site.question("Outside", "OUTSIDE")
    site.question("Sound", "<p>sound after the bomb</p>")
    entities = '<!ENTITY a0 "lol-bomb ">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
    )
    dtd = f'<!DOCTYPE posts [{entities}<!ENTITY x SYSTEM "file:///etc/hostname">]>\r\n<posts>'
    data = site.xml().replace(b"<posts>", dtd.encode()).replace(b"BOMB", b"&a9;")
    data = data.replace(b"OUTSIDE", b"&x;")
    for kind, text in (("entity bomb", b"&a9;"), ("external entity", b"&x;")):
        at = data.rindex(b"<row", 0, data.rindex(text))
        length = data.index(b"/>", at) + 2 - at
        site.traps.append(
            Trap(
                kind=kind,
                must=Must.UNREADABLE,
                steps=(FOLDER,),
                file=site.file,
                offset=at,
                length=length,
            )
        )
    site.trap("row beside a damaged one", Must.KEPT, 3, "sound after the bomb")
    _put(folder / HOSTILE / "Posts.xml", data)
    return site.traps


def _seven_zip(members: dict[str, bytes]) -> bytes:
    """An archive of some tables, dated by the dump, not by the clock."""
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(data, name)
        for entry in archive.header.files_info.files:
            for key in ("creationtime", "lastwritetime", "lastaccesstime"):
                entry[key] = ArchiveTimestamp.from_datetime(_MOMENT)
    return buffer.getvalue()


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
