"""Books: files, archives and EPUBs to outcomes; ids; what hostile archives do."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.books import archives
from stages.books.content import FAULTS, REASONS
from stages.books.epub import xhtml_text
from stages.books.names import book_name, document_id, family, stem_of
from stages.books.reader import BooksReader
from stages.books.settings import BooksSettings
from stages.books.stage import Books, common_folder
from stages.commoncrawl.html import HtmlError
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.outcomes import Bad, Document, Outcome, Rejected, Skipped, Tally
from tests.stages.book_files import (
    CONTAINER,
    epub,
    gutenberg,
    package,
    prose,
    tarred,
    xhtml,
    zipped,
)
from tests.stages.helpers import read_rows

LONG = prose("long")


def read(
    data: bytes, name: str = "a.zip", reader: BooksReader | None = None, start: int = 0,
    end: int | None = None, **more: Any,
) -> list[Outcome]:  # fmt: skip
    reader = reader or BooksReader(BooksSettings(**more), "/in")
    tally = Tally()
    outcomes = list(reader(io.BytesIO(data), f"/in/{name}", tally, start, end))
    assert tally.records == len(outcomes)
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            assert outcome.reason in REASONS
        if isinstance(outcome, Bad):
            assert outcome.error.partition(":")[0] in FAULTS, outcome.error
    return outcomes


def documents(outcomes: list[Outcome]) -> list[Document]:
    return [o for o in outcomes if isinstance(o, Document)]


def reasons(outcomes: list[Outcome]) -> list[str]:
    return [o.reason for o in outcomes if isinstance(o, Rejected)]


def errors(outcomes: list[Outcome]) -> list[str]:
    return [o.error.partition(":")[0] for o in outcomes if isinstance(o, Bad)]


# -- what a document says -------------------------------------------------------------------------


def test_a_gutenberg_book() -> None:
    text = gutenberg(LONG, 98, "A Tale", Language="French")
    (book,) = documents(read(zipped({"98-0.txt": text.replace("\n", "\r\n")}), "9/98/98-0.zip"))
    assert book.text == LONG
    assert book.id.startswith("books/gutenberg/98-0.")
    assert (book.title, book.language, book.source) == ("A Tale", "fr", "books")
    assert (book.created, book.url) == (
        "2006-05-03T00:00:00Z",
        "https://www.gutenberg.org/ebooks/98",
    )
    assert book.license and book.license.startswith("Public domain")
    assert book.origin == "/in/9/98/98-0.zip#98-0.txt"
    assert book.meta and book.meta["author"] == "Nobody" and book.meta["gutenberg"] == 98


def test_a_book_of_a_books3_folder() -> None:
    (book,) = documents(read(LONG.encode(), "books3/The Title - An Author.epub.txt"))
    assert (book.title, book.language, book.license) == ("The Title - An Author", None, None)
    assert book.id.startswith("books/The_Title_-_An_Author.")


def test_copyrighted_books_are_rejected_or_kept() -> None:
    notice = "** This is a COPYRIGHTED Project Gutenberg eBook, Details Below **\n"
    data = (notice + gutenberg(LONG)).encode()
    assert reasons(read(data, "77/77.txt")) == ["copyrighted"]
    (book,) = documents(read(data, "77/77.txt", copyrighted="keep"))
    assert book.license and book.license.startswith("Copyrighted")


def test_a_new_copyright_on_the_first_page_is_no_public_domain() -> None:
    """As in Gutenberg's first Peter Pan, whose header does not say so."""
    notice = "Whoever sells this text should know that\nthe edition is under copyright (c)1991."
    claimed = gutenberg(f"{notice} No library of\ntexts may hold it.\n\n{LONG}").encode()
    (rejected,) = read(claimed, "16/16.txt")
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.detail) == ("copyrighted", "copyright (c)1991")
    kept = documents(read(claimed, "16/16.txt", copyrighted="keep"))
    assert [d.license for d in kept] == ["Project Gutenberg License"]
    elsewhere = documents(read(f"{notice}\n\n{LONG}".encode(), "16/16.txt"))
    assert [d.license for d in elsewhere] == [None]  # no book of Gutenberg's
    old = gutenberg(f"Copyright, 1909, by HARPER\n\n{LONG}")
    (book,) = documents(read(old.encode(), "16/16.txt"))
    assert book.license and book.license.startswith("Public domain")


def test_what_is_no_book_is_rejected() -> None:
    assert reasons(read(b"tiny", "a.txt")) == ["too_short"]
    assert reasons(read(b"", "a.txt")) == ["empty"]
    assert reasons(read(b"3.14159 " * 500, "pi.txt")) == ["not_prose"]
    assert reasons(read(b"\0\1" * 500, "a.txt")) == ["binary"]
    assert reasons(read(LONG.encode(), "a.txt", max_book_bytes=1000)) == ["too_large"]
    assert reasons(read(zipped({"a.mp3": b"x", "index.html": b"y"}))) == ["no_text"]
    kinds = [o.kind for o in read(b"x", "LICENSE.txt") if isinstance(o, Skipped)]
    assert kinds == ["legal"]


@pytest.mark.parametrize(
    ("text", "encoding", "declared"),
    [
        ("Zażółć gęślą jaźń", "utf-8", ""),
        ("naïve café à l'œuvre – “quoted”", "windows-1252", "ISO-8859-1"),
        ("naïve café déjà vu", "windows-1252", "ASCII"),
        ("naïve café déjà vu", "windows-1252", "UTF-8"),
        ("Příliš žluťoučký kůň", "iso-8859-2", "ISO-8859-2"),
        ("Это не конец истории", "windows-1251", "CP-1251"),
        ("plain", "utf-16", ""),
    ],
)
def test_charsets_whatever_the_header_says(text: str, encoding: str, declared: str) -> None:
    more = {"Character set encoding": declared} if declared else {}
    whole = gutenberg(f"{LONG}\n\n{(text + ' ') * 9}{text}", **more)
    (book,) = documents(read(whole.encode(encoding), "x.txt"))
    assert book.text.endswith(text)
    assert book.meta and "replaced" not in book.meta


# -- encodings of one edition ---------------------------------------------------------------------


def test_of_the_encodings_of_an_edition_the_best_stays() -> None:
    text = gutenberg(LONG)
    found = read(zipped({"77.txt": text, "77-8.txt": text, "77-0.txt": text, "LICENSE": "l"}))
    assert [d.id.split(".")[0] for d in documents(found)] == ["books/gutenberg/77-0"]
    assert reasons(found) == ["other_encoding"] * 2
    assert all(o.detail.startswith("kept: books/gutenberg/77-0.") for o in found
               if isinstance(o, Rejected))  # fmt: skip


def test_a_damaged_encoding_leaves_its_place_to_the_next() -> None:
    data = zipped({"77-0.txt": "\0" * 4000, "77-8.txt": gutenberg(LONG), "77.txt": gutenberg(LONG)})
    found = read(data)
    assert [d.origin for d in documents(found)] == ["/in/a.zip#77-8.txt"]
    assert sorted(reasons(found)) == ["binary", "other_encoding"]


def test_all_encodings_can_stay() -> None:
    text = gutenberg(LONG)
    found = read(zipped({"77.txt": text, "77-0.txt": text}), encodings="all")
    assert len({d.id for d in documents(found)}) == 2


def test_seven_and_eight_bit_names_of_the_nineties() -> None:
    found = read(zipped({"old/7fau110.txt": gutenberg(LONG), "old/8fau110.txt": gutenberg(LONG)}))
    assert [d.origin for d in documents(found)] == ["/in/a.zip#old/8fau110.txt"]


def test_old_editions_are_documents_of_their_own_or_rejected() -> None:
    members = {"98.txt": gutenberg(LONG, 98), "old/2city12.txt": gutenberg(LONG, 98)}
    data = zipped(dict(members))
    found = documents(read(data, "A+Tale_98.zip"))
    assert [d.id.rpartition(".")[0] for d in found] == [
        "books/gutenberg/98",
        "books/gutenberg/98-old-2city12",
    ]
    assert found[1].meta and found[1].meta["old"] is True
    assert reasons(read(data, "A+Tale_98.zip", old="reject")) == ["old_edition"]


def test_files_of_a_mirror_meet_in_one_unit(tmp_path: Path) -> None:
    for number in (10_123, 10_124):
        folder = tmp_path / "in" / "1" / "0" / "1" / "2" / str(number)
        folder.mkdir(parents=True)
        for code in ("-0", "-8", ""):
            name = f"{number}{code}"
            text = gutenberg(prose(number), number)
            (folder / f"{name}.zip").write_bytes(zipped({f"{name}.txt": text}))
            (folder / f"{name}.txt").write_text(text)
    step = Step("books", "books", str(tmp_path / "out"), {"input": [str(tmp_path / "in")]},
                layout={"bundle_bytes": 0})  # fmt: skip
    counts = run_step(step).manifest.counts
    assert (counts.documents_in, counts.documents_out) == (12, 2)
    assert counts.reasons == {"other_encoding": 10}
    origins = [row["origin"] for row in read_rows(tmp_path / "out")]
    assert [o.rpartition("/")[2] for o in origins] == ["10123-0.txt", "10124-0.txt"]


def test_a_mirror_with_an_old_folder_of_zips(tmp_path: Path) -> None:
    """`98-0`, `98-8`, `98` beside `old/98-8.zip`, `old/98.zip` and `old/2city12.zip`: one document
    of the current edition, one of each old one, each in its best encoding."""
    folder = tmp_path / "in" / "9" / "98"
    (folder / "old").mkdir(parents=True)
    for name in ("98-0", "98-8", "98", "old/98-8", "old/98", "old/2city12"):
        text = gutenberg(prose(name.split("-")[0]), 98)
        member = f"{name.rpartition('/')[2]}.txt"
        (folder / f"{name}.zip").write_bytes(zipped({member: text}))
    step = Step("books", "books", str(tmp_path / "out"), {"input": [str(tmp_path / "in")]})
    counts = run_step(step).manifest.counts
    origins = {row["origin"].removeprefix(f"{folder}/") for row in read_rows(tmp_path / "out")}
    assert origins == {
        "98-0.zip#98-0.txt",
        "old/98-8.zip#98-8.txt",
        "old/2city12.zip#2city12.txt",
    }
    assert counts.reasons == {"other_encoding": 3}
    rows = read_rows(tmp_path / "out")
    assert sorted(r["id"].rpartition(".")[0].removeprefix("books/gutenberg/") for r in rows) == [
        "98-0",
        "98-old-2city12",
        "98-old-8",
    ]


# -- ids ------------------------------------------------------------------------------------------


def test_rpv1_ids_of_two_shards_collide() -> None:
    """RedPajama numbers PG19 and Books3 by `str(index + shard * 2000)`, each from zero, so that
    two books get one id and then one decision. Ours differ by the place of the file."""
    peer = [str(index + shard * 2000) for source in range(2) for shard in (0, 1) for index in (5,)]
    assert len(set(peer)) == 2  # for four books
    ours = [
        document_id(book_name(place), None, place)
        for place in ("pg19/0/5.txt", "pg19/1/5.txt", "books3/0/5.txt", "books3/1/5.txt")
    ]
    assert len(set(ours)) == 4


PARTS = st.lists(st.sampled_from(["a", "old", "98", "98-0", "x y", "ä", "..", "_98"]), min_size=1)


@settings(max_examples=100, deadline=None)
@given(st.lists(PARTS.map(lambda p: "/".join(p) + ".txt"), unique=True, max_size=20))
def test_different_places_have_different_ids(places: list[str]) -> None:
    ids = {document_id(book_name(p), book_name(p).number, p) for p in places}
    assert len(ids) == len(places)
    assert all(i.startswith("books/") and " " not in i for i in ids)


def test_ids_depend_on_the_place_below_the_input_only() -> None:
    def id_of(root: str) -> str:
        reader = BooksReader(BooksSettings(), root)
        (book,) = reader(io.BytesIO(LONG.encode()), f"{root}/shelf/a.txt", Tally())
        assert isinstance(book, Document)
        return book.id

    assert id_of("/one") == id_of("/some/where/else")


@pytest.mark.parametrize(
    ("place", "container", "number", "code", "old"),
    [
        ("98-0.txt", "9/98/98-0.zip", 98, "0", False),
        ("98.txt", "9/98/98.zip", 98, "", False),
        ("9/98/98-8.txt", "", 98, "8", False),
        ("2city12.txt", "9/98/old/2city12.zip", 98, "", True),
        ("old/2city12.txt", "A-Tale_98.zip", 98, "", True),
        ("old/20040925-98.txt", "A-Tale_98.zip", 98, "", True),
        ("old/2011-05-03-76.txt", "H_76.zip", 76, "", True),
        ("cache/epub/98/pg98.txt.utf8", "", 98, "0", False),
        ("cache/epub/98/pg98-images.epub", "", 98, "images", False),
        ("books3/1984.txt", "", None, "", False),
        ("books3/Catch 22-8.txt", "", None, "", False),
        ("a/Title.epub.txt", "books3.tar", None, "", False),
    ],
)
def test_names(place: str, container: str, number: int | None, code: str, old: bool) -> None:
    name = book_name(place, container)
    assert (name.number, name.code, name.old) == (number, code, old)


def test_families_join_the_forms_of_an_edition() -> None:
    forms = ["9/98/98-0.zip", "9/98/98-0.txt", "9/98/98-8.zip", "9/98/98.zip"]
    assert len({family(f)[0] for f in forms}) == 1
    assert [family(f)[1] for f in forms] == sorted(family(f)[1] for f in forms)
    assert family("9/98/old/98.zip")[0] != family("9/98/98.zip")[0]
    assert stem_of("A.B.epub.txt") == "A.B" and stem_of(".txt") == ".txt"


def test_common_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_text("x")
    root = str(tmp_path)
    assert common_folder([f"{root}/a"]) == f"{root}/a"
    assert common_folder([f"{root}/b/*.txt"]) == f"{root}/b"
    assert common_folder([f"{root}/b/x.txt"]) == f"{root}/b"
    assert common_folder([f"{root}/a", f"{root}/b/*.txt"]) == root
    assert common_folder(["memory://x/a/*.txt", "memory://x/b/*.txt"]) == "memory:///x"


# -- EPUB -----------------------------------------------------------------------------------------


def test_an_epub_is_read_in_the_order_of_its_spine() -> None:
    data = epub(
        {"b.xhtml": xhtml(f"<h1>Two</h1><p>{LONG}</p>"), "a.xhtml": xhtml("<p>One &amp; only</p>")},
        ["a.xhtml", "b.xhtml", "a.xhtml"],
        "<dc:title>The T</dc:title><dc:creator>A. Uthor</dc:creator>"
        "<dc:language>de-AT</dc:language><dc:date>2001-02-03</dc:date><dc:rights>CC BY</dc:rights>",
    )
    (book,) = documents(read(data, "x.epub"))
    assert book.text == f"One & only\n\nTwo\n\n{LONG}"
    assert (book.title, book.language, book.license) == ("The T", "de", "CC BY")
    assert book.created == "2001-02-03T00:00:00Z"
    assert book.meta and book.meta["author"] == "A. Uthor" and book.meta["form"] == "epub"


def test_gutenbergs_words_go_from_epubs_too() -> None:
    text = gutenberg(LONG, 98).split("\n")
    page = xhtml("".join(f"<p>{line}</p>" for line in text if line))
    (book,) = documents(read(epub({"a.xhtml": page}), "98/pg98.epub"))
    assert book.text == LONG and book.id.startswith("books/gutenberg/98.")


def test_empty_elements_do_not_swallow_the_rest() -> None:
    page = xhtml('<script src="x.js"/><style/><p>first<a id="p1"/></p><div/><p>last&nbsp;one</p>')
    assert xhtml_text(page.encode()).split() == ["first", "last", "one"]


def test_paths_of_an_epub_stay_inside_it() -> None:
    outside = epub({"a.xhtml": xhtml(LONG)}, more={"secret.xhtml": xhtml("secret")})
    data = outside.replace(b"OPS/a.xhtml", b"OPS/z.xhtml")
    assert errors(read(data, "x.epub")) == ["epub"]  # nothing of its spine is there
    climbing = {"../../../../etc/passwd": xhtml("no"), "%61.xhtml": xhtml("no")}
    book = epub(climbing, more={"OPS/a.xhtml": xhtml(LONG)})
    (document,) = documents(read(book, "x.epub"))
    assert document.text == LONG  # `%61.xhtml` names a.xhtml; the other one nothing
    assert document.meta is not None


def test_entities_are_not_expanded() -> None:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(30))
    doctype = f'<!DOCTYPE x [{laughs}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    page = f"{doctype}<html><body><p>{LONG} &l29; &f;</p></body></html>"
    metadata = "<dc:title>&l29;&f;T</dc:title>"
    for found in (
        read(epub({"a.xhtml": page}, metadata=metadata), "x.epub"),
        read(epub({"a.xhtml": page}, metadata=metadata, doctype=doctype), "x.epub"),
    ):
        assert len(found) == 1
        for document in documents(found):
            assert "haha" not in document.text and "root:" not in document.text
            assert "haha" not in (document.title or "")
    assert documents(read(epub({"a.xhtml": page}), "x.epub"))


def test_encrypted_books_are_rejected_scrambled_fonts_are_not() -> None:
    def rights(algorithm: str) -> str:
        return (
            '<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>'
            f'<e:EncryptionMethod Algorithm="{algorithm}"/></e:EncryptedData></encryption>'
        )

    def book(algorithm: str) -> bytes:
        more: dict[str, bytes | str] = {"META-INF/encryption.xml": rights(algorithm)}
        return epub({"a.xhtml": xhtml(LONG)}, more=more)

    assert reasons(read(book("http://www.w3.org/2001/04/xmlenc#aes128-cbc"), "x.epub")) == ["drm"]
    assert documents(read(book("http://www.idpf.org/2008/embedding"), "x.epub"))


@pytest.mark.parametrize(
    "members",
    [
        {"META-INF/container.xml": "<container/>"},
        {"META-INF/container.xml": "not xml"},
        {"META-INF/container.xml": ""},
        {"META-INF/container.xml": '<c><rootfile full-path="../../x"/></c>'},
        {"META-INF/container.xml": '<c><rootfile full-path="a.opf"/></c>', "a.opf": "<package/>"},
    ],
)
def test_broken_epubs_are_bad_records(members: dict[str, bytes | str]) -> None:
    found = read(zipped(members), "x.epub")
    assert len(found) == 1 and errors(found)[0] in ("epub", "xml")


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 200_000,
        f"<p a='{'x' * 2_000_000}'>",
        "<a/>" * 100_000,
        ("<" + "a" * 31 + " " + "x" * 1999) * 500,
        "&amp;" * 200_000,
        "<![CDATA[" * 50_000,
        "<!--" * 200_000,
        "<title/>" * 50_000,
        f"<p>{'x' * 1_000_000}</p>",
    ],
    ids=lambda page: page[:12],
)
def test_hostile_pages_take_bounded_work(page: str) -> None:
    found = read(epub({"a.xhtml": page, "b.xhtml": xhtml(LONG)}), "x.epub")
    assert len(found) == 1 and (documents(found) or errors(found) or reasons(found))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=120) | st.text("<>/a &;!-[]\"'=", max_size=80).map(str.encode))
def test_any_page_has_a_text_or_an_error(data: bytes) -> None:
    try:
        text = xhtml_text(data)
    except HtmlError:
        return
    assert text == text.strip() and "\n\n\n" not in text


def test_a_spine_of_more_documents_than_a_book_has_is_bad() -> None:
    many = [f"{i}.xhtml" for i in range(20_002)]
    data = zipped({"META-INF/container.xml": CONTAINER, "OPS/book.opf": package(many)})
    assert errors(read(data, "x.epub")) == ["epub"]
    again = epub({"a.xhtml": xhtml(LONG)}, ["a.xhtml"] * 50_000)
    (book,) = documents(read(again, "x.epub"))
    assert book.text == LONG


# -- archives -------------------------------------------------------------------------------------


def test_names_in_archives_are_keys_only(tmp_path: Path) -> None:
    names = ["../../up.txt", "/etc/x.txt", "a/./b/../c.txt", "C:\\w.txt"]
    as_zip = read(zipped({n: prose(n) for n in names}))
    as_tar = read(tarred([(n, prose(n).encode()) for n in names]), "a.tar")
    for found in (as_zip, as_tar):
        assert [d.text for d in documents(found)] == [prose(n) for n in names]
        assert len({d.id for d in documents(found)}) == 4


def test_a_name_that_is_no_text_costs_no_book() -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1"
    ) as archive:
        member = tarfile.TarInfo("caf\xe9.txt")
        member.size = len(LONG)
        archive.addfile(member, io.BytesIO(LONG.encode()))
    (book,) = documents(read(buffer.getvalue(), "a.tar"))
    assert (book.origin, book.text) == ("/in/a.tar#caf\\xe9.txt", LONG)
    assert (book.title or "").encode() and book.id.encode()


def test_a_name_that_is_there_twice_gives_two_places(tmp_path: Path) -> None:
    texts = [prose(i) for i in range(3)]
    as_tar = tarred([("b/a.txt", text.encode()) for text in texts])
    as_zip = io.BytesIO()
    with zipfile.ZipFile(as_zip, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in texts:
            archive.writestr("b/a.txt", text)
    for data, name in ((as_tar, "x.tar"), (as_zip.getvalue(), "x.zip")):
        found = documents(read(data, name, encodings="all"))
        assert len({d.id for d in found}) == 3
        assert [d.origin.partition("#")[2] for d in found] == ["b/a.txt", "b/a.txt#2", "b/a.txt#3"]
        assert [d.text for d in found] == texts
    # A tar is not cut where that would hide it.
    assert archives.tar_stretches(io.BytesIO(as_tar), 512) == [(0, None)]


def test_links_and_devices_of_a_tar_are_counted_and_not_followed() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"{kind.decode()}.txt")
            member.type, member.linkname = kind, "../../../etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("folder"))
        member = tarfile.TarInfo("a.txt")
        member.size = len(LONG)
        archive.addfile(member, io.BytesIO(LONG.encode()))
    found = read(buffer.getvalue(), "a.tar")
    assert [d.text for d in documents(found)] == [LONG]
    assert [o.kind for o in found if isinstance(o, Skipped)].count("link in a tar") == 4


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_of_texts_epubs_and_zips(mode: str) -> None:
    members = [
        ("books3/a.epub.txt", prose("a").encode()),
        ("books3/b.epub", epub({"x.xhtml": xhtml(prose("b"))})),
        ("books3/c.zip", zipped({"c.txt": prose("c")})),
        ("books3/d.jpg", b"\xff\xd8"),
    ]
    found = read(tarred(members, mode), "books3.tar.x")
    assert [d.text for d in documents(found)] == [prose("a"), prose("b"), prose("c")]
    assert documents(found)[2].origin == "/in/books3.tar.x#books3/c.zip/c.txt"
    assert [o.kind for o in found if isinstance(o, Skipped)] == ["file: jpg"]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.epub", b"\0" * 100 + epub({"a.xhtml": xhtml(LONG)})[100:], "zip"),
        ("a.epub", b"", "zip"),
        ("a.EPUB", b"<html>404", "zip"),
        ("a.zip", b"", "zip"),
        ("a.tar", b"hello", "tar"),
        ("a.tar.gz", b"hello", "gzip"),
        ("a.tar.gz", gzip.compress(b"hello", mtime=0), "tar"),
        ("a.tgz", gzip.compress(LONG.encode()), "tar"),
        ("a.txt.gz", LONG.encode(), "gzip"),
        ("a.txt.bz2", b"", "bzip2"),
        ("a.tar.xz", b"<html>", "xz"),
    ],
)
def test_a_file_that_is_not_what_its_name_promises_is_a_bad_record(
    name: str, data: bytes, kind: str
) -> None:
    assert read(data, name) == [Bad(f"/in/{name}", 0, f"archive: not a {kind} file")]
    inside = read(tarred([(name, data)]), "b.tar")
    if not name.endswith("gz") or not data.startswith(b"\x1f\x8b"):
        assert inside == [Bad("/in/b.tar", name, f"archive: not a {kind} file")]
        member = read(zipped({name: data, "b.txt": LONG}), "b.zip")
        assert len(documents(member)) == 1 and errors(member) == ["archive"]


def test_a_name_may_promise_another_container_than_the_file_is() -> None:
    assert documents(read(tarred([("a.txt", LONG.encode())]), "a.tar.gz"))
    assert documents(read(zipped({"a.txt": LONG}), "a.tar"))
    assert documents(read(gzip.compress(LONG.encode()), "a.txt"))
    assert documents(read(b"PK was his name. " + LONG.encode(), "a.txt"))
    packed = [o for o in read(gzip.compress(b"<svg>"), "a.svgz") if isinstance(o, Skipped)]
    assert [o.kind for o in packed] == ["file: svgz"]


def test_a_zip_in_a_zip_is_read_a_deeper_one_rejected() -> None:
    deep = zipped({"c.txt": prose("c")})
    inner = zipped({"b.txt": prose("b"), "deep.zip": deep})
    found = read(zipped({"a.txt": prose("a"), "in.zip": inner, "d.tar.gz": tarred([], "w:gz")}))
    assert [d.text for d in documents(found)] == [prose("a"), prose("b")]
    assert documents(found)[1].origin == "/in/a.zip#in.zip/b.txt"
    nested = [o for o in found if isinstance(o, Rejected)]
    assert [(o.reason, o.origin) for o in nested] == [
        ("nested", "/in/a.zip#in.zip/deep.zip"),
        ("nested", "/in/a.zip#d.tar.gz"),
    ]
    assert len(found) == 4
    assert reasons(read(tarred([("b.tgz", tarred([], "w:gz"))]), "a.tar")) == ["nested"]


def test_encodings_in_zips_of_a_zip_are_one_edition() -> None:
    text = gutenberg(LONG)
    inner = {code: zipped({f"77{code}.txt": text}) for code in ("", "-8", "-0")}
    found = read(zipped({f"77{code}.zip": data for code, data in inner.items()}))
    assert [d.origin for d in documents(found)] == ["/in/a.zip#77-0.zip/77-0.txt"]
    assert reasons(found) == ["other_encoding"] * 2


def test_zips_in_a_zip_share_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_FREE_BYTES", 1 << 20)
    inner = zipped({f"{i}.txt": b"boom " * 200_000 for i in range(9)})
    found = read(zipped({"in.zip": inner, "later.txt": LONG}), max_expansion=2)
    assert errors(found) == ["bomb"] and "later.txt" not in str(documents(found))
    big = zipped({"in.zip": zipped({"a.txt": LONG})})
    assert reasons(read(big, max_book_bytes=50)) == ["too_large"]
    locked = bytearray(zipped({"in.zip": b"x"}))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert errors(read(bytes(locked))) == ["encrypted"]


def test_any_stretches_of_a_tar_give_every_book_once() -> None:
    members = [(f"b/{'n' * (i * 30)}{i}.txt", prose(i).encode()) for i in range(12)]
    data = tarred(members)
    whole = documents(read(data, "a.tar"))
    assert len(whole) == 12
    for target in (2_000, 7_000, 1 << 20):
        stretches = archives.tar_stretches(io.BytesIO(data), target)
        parts = [d for s, e in stretches for d in documents(read(data, "a.tar", start=s, end=e))]
        assert [(d.id, d.text) for d in parts] == [(d.id, d.text) for d in whole]
    assert len(archives.tar_stretches(io.BytesIO(data), 7_000)) > 2


def test_a_gzipped_text() -> None:
    (book,) = documents(read(gzip.compress(LONG.encode()), "b.txt.gz"))
    assert book.text == LONG


def test_python_ends_a_damaged_tar_in_silence_ours_does_not() -> None:
    data = bytearray(tarred([(f"{i}.txt", prose(i).encode()) for i in range(3)]))
    second = data.index(b"1.txt")
    data[second : second + 300] = b"\x7f" * 300
    found = read(bytes(data), "a.tar")
    assert len(documents(found)) == 1 and errors(found) == ["archive"]
    text = prose(0).encode()
    cut = tarred([("0.txt", text)])[: 512 + -(-len(text) // 512) * 512]
    assert errors(read(cut, "a.tar")) == ["truncated"]


def test_members_that_need_a_password_are_bad_records() -> None:
    data = bytearray(zipped({"a.txt": LONG}))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    assert errors(read(bytes(data))) == ["encrypted"]


def test_bombs_are_found_by_their_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_FREE_BYTES", 1 << 20)
    data = b"boom " * 400_000
    assert reasons(read(zipped({"a.txt": data}), max_book_bytes=100_000)) == ["too_large"]
    assert errors(read(zipped({"a.txt": data}), max_expansion=2)) == ["bomb"]
    many = zipped({f"{i}.txt": data for i in range(30)})
    found = read(many, max_expansion=2)
    assert errors(found) == ["bomb"] and len(found) == 1
    assert errors(read(tarred([("a.txt", data)], "w:gz"), "a.tar.gz", max_expansion=2)) == ["bomb"]
    assert errors(read(gzip.compress(data), "a.txt.gz", max_expansion=2)) == ["bomb"]
    page = xhtml(f"<p>{'boom ' * 400_000}</p>")
    assert errors(read(epub({"a.xhtml": page}), "a.epub", max_expansion=2)) == ["bomb"]


def test_a_zip_that_lies_about_sizes() -> None:
    data = bytearray(zipped({"a.txt": LONG}))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 3)
    assert errors(read(bytes(data))) == ["archive"]
    end = data.index(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<I", 1 << 30)
    assert errors(read(bytes(data))) == ["bomb"]


def test_a_tar_header_that_claims_gigabytes_is_not_held() -> None:
    header = bytearray(tarred([("a.txt", LONG.encode())])[:512])
    header[156:157] = b"x"  # a pax header
    header[124:136] = b"77777777777\0"
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    found = read(bytes(header) + b"\0" * 4096, "a.tar")
    assert len(found) == 1 and errors(found) == ["archive"]


BOOK_FILES = {
    "zip": zipped({"77-0.txt": gutenberg(LONG), "a/b.txt": LONG}),
    "epub": epub({"a.xhtml": xhtml(LONG)}),
    "tar": tarred([("a.txt", LONG.encode()), ("b.txt", LONG.encode())]),
    "tar.gz": tarred([("a.txt", LONG.encode())], "w:gz"),
    "txt": gutenberg(LONG).encode(),
}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(BOOK_FILES)), st.data())
def test_damage_anywhere_is_an_outcome(kind: str, data: st.DataObject) -> None:
    whole = bytearray(BOOK_FILES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    read(bytes(whole), f"x.{kind}")
    read(bytes(whole[:cut]), f"x.{kind}")


def test_unusual_compression_is_a_bad_record() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", LONG)
    data = bytearray(buffer.getvalue())
    for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(magic)
        data[at + place] = 6  # implode, as PKZIP 1 had it
    assert errors(read(bytes(data))) == ["archive"]


# -- the stage ------------------------------------------------------------------------------------


def test_the_stage_balances_and_cuts_tars(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "books.tar").write_bytes(
        tarred([(f"b/{i}.txt", prose(i, 2000).encode()) for i in range(8)])
    )
    (folder / "x.epub").write_bytes(epub({"a.xhtml": xhtml(LONG)}))
    (folder / "y.zip").write_bytes(b"PK\x03\x04 damaged")
    layout = {"split_bytes": 40_000, "bundle_bytes": 10}
    step = Step("books", "books", str(tmp_path / "out"), {"input": [str(folder)]}, layout=layout)
    assert len(Books(step).units()) > 4
    manifest = run_step(step).manifest
    assert (manifest.counts.documents_out, manifest.counts.bad) == (9, 1)
    one = Step("books", "books", str(tmp_path / "one"), {"input": [str(folder)]})
    run_step(one)
    assert {r["id"] for r in read_rows(tmp_path / "out")} == {
        r["id"] for r in read_rows(tmp_path / "one")
    }
