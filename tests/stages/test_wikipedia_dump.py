"""Reading dumps: any schema version, encoding and compression; damaged and hostile files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest

from stages.outcomes import Bad, Rejected, Tally
from stages.wikipedia import WikipediaReader, WikipediaSettings, compression
from tests.stages.wikipedia_dumps import (
    documents,
    dump,
    errors,
    header,
    page,
    read,
    reasons,
    revision,
    titles,
)

TWO = dump(page("First text é.", 1, "A"), page("Second text.", 2, "B"))


def seven_zip(data: bytes, *names: str) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        for name in names or ("dump.xml",):
            archive.writestr(data, name)
    return out.getvalue()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("", bytes),
        (".bz2", bz2.compress),
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
        (".7z", seven_zip),
        (".unknown", bz2.compress),
    ],
)
def test_all_compressions_give_the_same_pages(suffix: str, pack: Callable[[bytes], bytes]) -> None:
    outcomes = read(pack(TWO), f"enwiki-x.xml{suffix}")
    assert [document.text for document in documents(outcomes)] == [
        "A\n\nFirst text é.",
        "B\n\nSecond text.",
    ]
    assert len(outcomes) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_encodings(encoding: str) -> None:
    declared = {"latin-1": "iso-8859-1", "utf-8-sig": "utf-8"}.get(encoding, "UTF-16")
    xml = f'<?xml version="1.0" encoding="{declared}"?>\n' + TWO.decode()
    assert titles(read(xml.encode(encoding))) == ["A", "B"]
    assert documents(read(xml.encode(encoding)))[0].text.endswith("First text é.")


def test_an_encoding_that_is_no_text_encoding_is_refused() -> None:
    assert errors(read(b'<?xml version="1.0" encoding="unicode_escape"?>' + TWO)) == ["encoding"]


def test_old_schemas_have_neither_ns_nor_model() -> None:
    old = (
        b'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.3/" version="0.3" xml:lang="de">'
        b"<page><title>A</title><id>1</id><revision><id>2</id><timestamp>2005-01-01T00:00:00Z"
        b"</timestamp><text>Text.</text></revision></page>"
        b"<page><title>Talk:A</title><id>2</id><revision><text>x</text></revision></page>"
        b"<page><title>Datei:A</title><id>3</id><revision><text>x</text></revision></page>"
        b"<page><title>2001: A Film</title><id>4</id><revision><text>y</text></revision></page>"
        b"</mediawiki>"
    )
    outcomes = read(old, "dump.xml")
    assert titles(outcomes) == ["A", "2001: A Film"]
    assert reasons(outcomes) == ["namespace", "namespace"]
    assert documents(outcomes)[0].language == "de"


def test_schema_0_11_further_slots_are_not_the_text() -> None:
    slots = (
        "<page><title>A</title><ns>0</ns><id>1</id><revision><id>2</id><model>wikitext</model>"
        "<text>Main.</text><content><role>other</role><model>json</model><text>{}</text></content>"
        "</revision></page>"
    )
    assert documents(read(dump(slots)))[0].text == "A\n\nMain."


def test_of_a_full_history_the_newest_revision_counts() -> None:
    history = "<page><title>A</title><ns>0</ns><id>1</id>{}</page>"
    ordered = revision("old", 1, "2001-01-01T00:00:00Z") + revision(
        "new", 2, "2002-01-01T00:00:00Z"
    )
    reverse = revision("new", 2, "2002-01-01T00:00:00Z") + revision(
        "old", 1, "2001-01-01T00:00:00Z"
    )
    for revisions in (ordered, reverse):
        (document,) = documents(read(dump(history.format(revisions))))
        assert document.text == "A\n\nnew"
        assert document.meta is not None and document.meta["revisions"] == 2
    tied = revision("one", 1) + revision("two", 2)
    assert documents(read(dump(history.format(tied))))[0].text == "A\n\ntwo"


def test_entities_of_a_document_type_do_not_exist() -> None:
    """A billion laughs, and an external entity: both pages are broken, the others are read."""
    bomb = '<!DOCTYPE x [<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)
    )
    bomb += '<!ENTITY file SYSTEM "file:///etc/hostname">]>\n'
    laugh = page("L", 1, "L").replace(">L</text>", ">&a11;</text>")
    steal = page("S", 2, "S").replace(">S</text>", ">&file;</text>")
    inner = page("I", 3, "I").replace("<page>", "<page><!DOCTYPE x [<!ENTITY a 'b'>]>")
    data = bomb.encode() + dump(laugh, steal, inner, page("Good.", 4, "G"))
    outcomes = read(data)
    assert errors(outcomes) == ["xml", "xml", "xml"]
    assert titles(outcomes) == ["G"]


@pytest.mark.parametrize(("compress", "megabytes"), [(bytes, 50), (bz2.compress, 10)])
def test_a_page_over_the_limit_is_rejected_without_being_held(
    compress: Callable[[bytes], bytes], megabytes: int
) -> None:
    megabyte = "spam " * 200_000
    big = page("@@", 5, "Big").split("@@")
    data = compress(
        dump(page("One.", 1, "A"), big[0] + megabyte * megabytes + big[1], page("Two.", 2, "B"))
    )
    del megabyte
    tally = Tally()
    tracemalloc.start()
    settings = WikipediaSettings(max_page_bytes=1 << 20)
    outcomes = list(WikipediaReader(settings)(io.BytesIO(data), "enwiki-x.xml", tally))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert titles(outcomes) == ["A", "B"]
    assert tally.records == 3
    (rejected,) = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert (rejected.id, rejected.reason) == ("wikipedia/en/5-9c314e", "too_large")
    assert peak < 7 << 20, "the text was held whole"


def test_the_limit_is_exact_whatever_the_chunks() -> None:
    settings = WikipediaSettings(max_page_bytes=4096)
    kinds = set()
    for size in range(3600, 4200, 7):
        data = dump(page("x", 1, "A"), page("y" * size, 2, "B"))
        length = len(revision("y" * size).strip())
        outcomes = read(data, settings=settings)
        assert reasons(outcomes) == (["too_large"] if length > 4096 else [])
        assert reasons(read(bz2.compress(data), settings=settings)) == reasons(outcomes)
        kinds.add(tuple(reasons(outcomes)))
    assert len(kinds) == 2


def test_only_an_old_revision_is_too_large() -> None:
    big = revision("z" * 9000, 1, "2001-01-01T00:00:00Z")
    new = revision("new", 2, "2002-01-01T00:00:00Z")
    settings = WikipediaSettings(max_page_bytes=4096)
    for revisions, reason in ((big + new, []), (new + big, []), (new + big * 3, [])):
        data = dump(f"<page><title>A</title><ns>0</ns><id>1</id>{revisions}</page>")
        assert reasons(read(data, settings=settings)) == reason
    late = revision("z" * 9000, 3, "2003-01-01T00:00:00Z")
    data = dump(f"<page><title>A</title><ns>0</ns><id>1</id>{new}{late}</page>")
    assert reasons(read(data, settings=settings)) == ["too_large"]


def test_broken_bytes_in_one_page_cost_that_page_only() -> None:
    data = TWO.replace("First text é.".encode(), b"First \xff\xfe text.")
    outcomes = read(data)
    assert titles(outcomes) == ["B"] and errors(outcomes) == ["xml"]
    assert isinstance(outcomes[0], Bad) and outcomes[0].offset == data.index(b"<page>")
    control = TWO.replace(b"First", b"Fi\x00rst")
    assert titles(read(control)) == ["B"] and errors(read(control)) == ["xml"]
    utf16 = TWO.decode().encode("utf-16-le")
    broken = utf16.replace("First".encode("utf-16-le"), b"\x00\xd8F\x00")
    assert titles(read(broken)) == ["B"] and errors(read(broken)) == ["xml"]


def test_truncated_files_report_the_open_page_and_the_missing_end() -> None:
    cut = TWO[: TWO.index(b"Second") + 3]
    outcomes = read(cut)
    assert titles(outcomes) == ["A"] and errors(outcomes) == ["truncated", "truncated"]
    between = TWO[: TWO.rindex(b"<page>")]
    assert titles(read(between)) == ["A"] and errors(read(between)) == ["truncated"]
    assert errors(read(TWO)) == []


def test_a_page_without_its_end_tag_costs_that_page_only() -> None:
    data = TWO.replace(b"</page>", b"", 1)
    assert titles(read(data)) == ["B"] and errors(read(data)) == ["truncated"]


def test_tags_inside_comments_and_cdata_are_text() -> None:
    text = "<![CDATA[ </page> <page> x ]]>"
    data = dump(
        page("@", 1, "A").replace(">@<", f">{text}<").replace("<ns>", "<!-- </page> --><ns>")
    )
    assert documents(read(data))[0].text == "A\n\n</page> <page> x"
    assert len(read(data)) == 1


def test_fragments_without_a_root_are_read() -> None:
    fragment = page("Text.", 1, "A").encode()
    assert titles(read(fragment)) == ["A"] and errors(read(fragment)) == []


def test_files_that_are_no_dumps() -> None:
    assert errors(read(b"")) == ["not_a_dump"]
    assert errors(read(b"<html><body>404</body></html>")) == ["not_a_dump"]
    assert read(dump()) == []


@pytest.mark.parametrize("suffix", [".7z", ".bz2", ".gz", ".xz"])
def test_a_name_that_promises_a_compression_the_content_has_not(suffix: str) -> None:
    assert errors(read(b"This file is not an archive.\n", "a.xml" + suffix)) == ["compression"]


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress, lzma.compress, seven_zip])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_compression_gives_what_can_be_read(
    pack: Callable[[bytes], bytes], damage: str
) -> None:
    pages = [page("Some words. " + f"{i * 7919 % 1000003} " * 40, i, f"P{i}") for i in range(400)]
    packed = bytearray(pack(dump(*pages)))
    if damage == "cut":
        packed = packed[: len(packed) * 3 // 4]
    else:
        packed[len(packed) // 2] ^= 0x55
    outcomes = read(bytes(packed))
    assert errors(outcomes)[-1] == "compression" or "truncated" in errors(outcomes)
    assert all(int((title or "P0")[1:]) < 400 for title in titles(outcomes))


def _renamed(data: bytes, name: str, evil: str) -> bytes:
    """A .7z whose member has a name that no honest tool writes; checksums put right."""
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        archive.set_encoded_header_mode(False)
        archive.writestr(data, name)
    packed = out.getvalue()
    assert name.encode("utf-16-le") in packed
    packed = packed.replace(name.encode("utf-16-le"), evil.encode("utf-16-le"))
    offset, size = struct.unpack("<QQ", packed[12:28])
    names = zlib.crc32(packed[32 + offset : 32 + offset + size])
    start = packed[12:28] + struct.pack("<I", names)
    return packed[:8] + struct.pack("<I", zlib.crc32(start)) + start + packed[32:]


def test_archive_members_are_never_written_and_bad_names_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert titles(read(seven_zip(TWO, "a/b.xml", "c.xml"), "x.7z")) == ["A", "B", "A", "B"]
    assert list(tmp_path.iterdir()) == []
    outcomes = read(_renamed(TWO, "aa.xml", "../a.x"), "x.7z")
    assert titles(outcomes) == [] and errors(outcomes)[0] == "compression"


def test_bare_wikitext_in_an_archive() -> None:
    packed = seven_zip(b"Words ''here''.", "any.wikitext")
    outcomes = read(packed, "A page.wikitext.7z", WikipediaSettings(language="en"))
    assert [document.text for document in documents(outcomes)] == ["A page\n\nWords here."]


def test_a_reader_left_early_ends_its_archive_thread() -> None:
    many = dump(*[page("Text. " + "w " * 2000, i, f"P{i}") for i in range(1500)])
    before = threading.active_count()
    outcomes = WikipediaReader()(io.BytesIO(seven_zip(many)), "x.7z", Tally())
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_compression_bomb_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = bz2.compress(header().encode() + b" " * (20 << 20))
    monkeypatch.setattr(compression, "_BOMB_FREE_BYTES", 8 << 20)
    outcomes = read(zeros, settings=WikipediaSettings(max_expansion=100))
    assert errors(outcomes) == ["bomb"]
