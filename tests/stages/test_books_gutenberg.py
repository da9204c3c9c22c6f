"""Gutenberg's header, licence, credits and notes; what its header says."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.books.credits import without_credits, without_notes
from stages.books.gutenberg import Boundary, boundary, unwrap
from stages.books.header import charset_label, declared_charset, iso_day, parse_header
from stages.books.languages import language_code
from stages.books.settings import BooksSettings
from stages.books.text import clean_book, letter_share, plain_lines
from tests.data_paths import SHARED_DATA, needs_shared_data

BODY = "The first words.\n\nA tale is told here, line by line.\n\nThe last words."
STARTS = [
    "*** START OF THIS PROJECT GUTENBERG EBOOK MAX ***",
    "*** START OF THE PROJECT GUTENBERG EBOOK MAX ***",
    "***START OF THE PROJECT GUTENBERG EBOOK MAX***",
    "*** START OF THE PROJECT GUTENBERG EBOOK, MAX, OR\nTHE LONG TITLE ***",
    "*** START OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK MAX ***",
    "*** Start of the Project Gutenberg EBook of Max ***",
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
    "*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.10/04/01*END*",
    "**END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.08.01*END**",
    "*SMALL PRINT! Ver.03.17.02 FOR COPYRIGHT PROTECTED EBOOKS*END*",
    # Of the early nineties, and of editions in other languages.
    "*END*THE SMALL PRINT!",
    "* END * THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS * Ver.04.29.93 * END *",
    '["Small Print" V.12.08.93]',
    '****     SMALL PRINT! FOR __ COMPLETE WORKS     ****\n\n["Small Print" V.12.08.93]',
    "Beginning of this Project Gutenberg Etext of Max",
    "*** START OF PROJECT GUTENBERG EBOOK MAX ***",
    "**** START OF THE PROJECT GUTENBERG ETEXT OF MAX ****",
    "*** START OF THE PROJECT GUTENBERG-TM EBOOK MAX ***",
    "*** DÉBUT DE CE PROJET GUTENBERG EBOOK MAX ***",
    "*** ANFANG DIESES PROJEKT GUTENBERG ETEXTES ***",
]
ENDS = [
    "*** END OF THIS PROJECT GUTENBERG EBOOK MAX ***",
    "*** END OF THE PROJECT GUTENBERG EBOOK MAX ***",
    "***END OF THE PROJECT GUTENBERG EBOOK MAX***",
    "*** END OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK MAX ***",
    "End of Project Gutenberg's Max, by Nobody",
    "End of the Project Gutenberg EBook of Max, by\nNobody",
    "End of The Project Gutenberg Etext of Max",
    "End of this Project Gutenberg Etext of Max",
    "End of the Wiretap/Project Gutenberg Etext of\nMax",
    "End of Project Gutenberg’s Max",
    'Ende dieses Projekt Gutenberg Etextes "Max"',
    "Ende dieses Project Gutenberg Etextes Max",
    "Ende dieses Etextes Max",
    "Fin de Project Gutenberg's Max",
    "Einde van dit Project Gutenberg Etext",
    "This is the end of the Project Gutenberg etext",
    "END OF PROJECT GUTENBERG ETEXT MAX",
    "[End of Project Gutenberg Etext of Max]",
    "Ende dieses Project Gutenber Etextes",
    "Fin du Projet Gutenberg",
    "Fin del Proyecto Gutenberg",
    "Fine del Progetto Gutenberg",
    "Fim do Projecto Gutenberg",
    "Fim do Projeto Gutenberg",
    "Einde van het Project Gutenberg EBoek",
    "Slutt på Prosjekt Gutenberg",
    "Fino de Projekto Gutenberg",
    "Konec projektu Gutenberg",
    "*** FIN DE CE PROJET GUTENBERG EBOOK MAX ***",
    "*** START: FULL LICENSE ***",
    "Updated editions will replace the previous one--the old editions",
]


def cleaned(text: str, **more: str) -> str:
    return clean_book(text, BooksSettings.model_validate(more)).text


@pytest.mark.parametrize("start", STARTS)
def test_the_book_begins_after_every_known_marker(start: str) -> None:
    header = "The Project Gutenberg Etext of Max\n\nTitle: Max\n\nlegal words\n"
    assert cleaned(f"{header}{start}\n\n\n{BODY}") == BODY


@pytest.mark.parametrize("end", ENDS)
def test_the_book_ends_before_every_known_marker(end: str) -> None:
    text = f"x\n{STARTS[0]}\n\n{BODY}\n\n\n{end}\n\nFive lines of nothing.\n"
    assert cleaned(text) == BODY


def test_a_book_without_a_marker_of_its_end_stays_to_its_end() -> None:
    for start in STARTS:
        assert cleaned(f"The Project Gutenberg Etext of Max\n\n{start}\n\n{BODY}\n") == BODY


def test_a_small_print_that_lost_its_last_line_goes() -> None:
    legal = "\n".join(f"Legal words, line {i}." for i in range(150))
    small = (
        "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\n"
        f"{legal}\n\nThe Project gratefully accepts contributions of money, time,\n"
        "scanning machines, OCR software, public domain etexts, royalty\nfree licenses.\n"
    )
    header = "The Project Gutenberg Etext of Max\n\nSeptember, 1994 [Etext #77]\n\n"
    assert cleaned(f"{header}{small}\n\n{BODY}\n\n{ENDS[4]}\n") == BODY
    far = "\n".join(f"Line {i}." for i in range(900))
    assert cleaned(f"{far}\n{small}\n{BODY}").startswith("Line 0.")


@pytest.mark.parametrize("end", ["End of this Etext", "The End of the Etext of Max, by Nobody"])
def test_the_end_of_the_etext_is_no_line_of_it(end: str) -> None:
    assert cleaned(f"{STARTS[6]}\n\n{BODY}\n\n{end}\n") == BODY
    assert cleaned(f"{BODY}\n\n{end}\n").endswith(end)  # a book of other origin


def test_small_print_at_the_end_does_not_open_a_book() -> None:
    small = "\n".join(["**The Legal Small Print**", "legal " * 9, STARTS[6], "[a few words more]"])
    assert cleaned(f"{STARTS[1]}\n{BODY}\n{ENDS[1]}\n\n{small}") == BODY


def test_small_print_after_the_start_marker_goes() -> None:
    small = "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN EBOOKS**START***\nlegal\n" + STARTS[6]
    assert cleaned(f"{STARTS[0]}\n\n{small}\n\n{BODY}\n\n{ENDS[0]}") == BODY


def test_all_books_of_a_collected_edition_stay() -> None:
    one = f"{STARTS[0]}\n\nFirst book.\n\n{ENDS[4]}\n\n{ENDS[0]}\nlicence\n"
    two = f"Title: Two\n{STARTS[1]}\n\nSecond book.\n\n{ENDS[1]}\nlicence\n"
    assert cleaned(one + two).split() == ["First", "book.", "Second", "book."]


def test_a_farewell_in_the_middle_takes_only_itself() -> None:
    volumes = "\n".join(f"Line {i} of volume two." for i in range(40))
    text = cleaned(f"{STARTS[0]}\n\nVolume one.\n\n{ENDS[5]}\n\n{volumes}\n\n{ENDS[0]}")
    assert "Gutenberg" not in text and "Nobody" not in text
    assert text.startswith("Volume one.") and text.endswith("Line 39 of volume two.")


def test_the_notices_of_the_collected_shakespeare_go() -> None:
    notice = "<<THIS ELECTRONIC VERSION OF THE COMPLETE WORKS IS\nCOPYRIGHT, NOT FOR SALE.>>"
    text = f"{STARTS[6]}\n\nACT I\n\n{notice}\n\nACT II\n\n{notice}\n"
    assert cleaned(text).split() == ["ACT", "I", "ACT", "II"]


def test_french_quotation_marks_are_no_notice() -> None:
    text = "<<Bonjour>>, dit-il.\n\n<<This electronic age>> is not that."
    assert cleaned(text) == text


def test_a_file_without_start_marker_loses_its_opening_lines() -> None:
    head = "The Project Gutenberg EBook of Max, by Nobody\n\nTitle: Max\n\n[EBook #12]\n\n"
    assert cleaned(f"{head}{BODY}\n\n{ENDS[0]}\nlicence") == BODY


def test_words_about_gutenberg_in_other_books_stay() -> None:
    text = "Gutenberg printed the Bible.\n\nThe end of Gutenberg came in 1468."
    assert cleaned(text) == text


@pytest.mark.parametrize(
    "credit",
    [
        "Produced by Judith Boss.  HTML version by Al Haines.",
        "Produced by Marc D'Hooghe.",
        "E-text prepared by Juliet Sutherland\nand the Online Distributed Proofreading Team",
        "This eBook was produced by David Price, email someone@somewhere.example",
        "This etext was prepared from the 1897 Service & Paton edition\nby David Price",
        "Etext reformatted by Michael Pullen",
        "Transcribed from the 1897 edition by David Price",
        "(This file was produced from images generously made\navailable by The Internet Archive)",
        "Prepared by David Reed",
        "The INTERNET WIRETAP First Electronic Edition of",
        "[Portions of this header are copyright (C) 2001\nand may be reprinted]",
        "Dieses Buch wurde uns vom 'Gutenberg Projekt-DE'\nzur Verfuegung gestellt.",
    ],
)
def test_credits_go_and_can_stay(credit: str) -> None:
    text = f"{STARTS[0]}\n\n{credit}\n\n{BODY}\n\n{ENDS[0]}"
    assert cleaned(text) == BODY
    assert cleaned(text, credits="keep") == f"{credit}\n\n{BODY}"


@pytest.mark.parametrize("gap", ["\n", "\n\n\n"])
def test_the_author_s_line_goes_with_the_project_s_title_line(gap: str) -> None:
    title = f"     The Project Gutenberg Etext of The Wide Sea{gap}          by A. Sailor\n\n"
    text = f"{STARTS[6]}\n\n{title}Contents\n\n{BODY}\n\n{ENDS[6]}"
    assert cleaned(text) == f"Contents\n\n{BODY}"
    own = f"THE WIDE SEA\n\nby A. Sailor\n\n{BODY}"
    assert cleaned(f"{STARTS[6]}\n\n{own}\n\n{ENDS[6]}") == own


def test_the_title_of_a_line_that_goes_is_kept_as_metadata() -> None:
    line = "The Project Gutenberg Etext of The Wide Sea"
    text = f"**{line}**\n\nlegal\n{STARTS[6]}\n\n{line}\n\nby A. Sailor\n\n{BODY}"
    assert clean_book(text, BooksSettings()).header.title == "The Wide Sea"


@pytest.mark.parametrize("mark", ["***End***", "***", "   ***", "*** THE END ***", "***\n\n***"])
def test_asterisks_at_the_very_end_go_from_gutenberg_s_books_only(mark: str) -> None:
    assert cleaned(f"{STARTS[6]}\n\n{BODY}\n\n{mark}\n\n\n{ENDS[6]}") == BODY
    assert cleaned(f"{STARTS[6]}\n\n{mark}\n\n{BODY}\n\n* * *").endswith("* * *")
    assert cleaned(f"{BODY}\n\n{mark}").endswith(mark)


def test_the_title_page_is_no_credit() -> None:
    page = "THE PLAY\n\nEdited by A. Scholar\n\nTranslated by B. Friend\n\nLondon\n\n"
    assert cleaned(f"{STARTS[0]}\n\n{page}{BODY}\n\n{ENDS[0]}") == page + BODY


def test_produced_by_stays_in_other_books_and_in_the_middle() -> None:
    assert cleaned(f"Produced by the theatre.\n\n{BODY}").startswith("Produced")
    middle = "\n\n".join([*(f"Paragraph {i}." for i in range(20)), "Produced by hand.", BODY])
    assert "Produced by hand." in cleaned(f"{STARTS[0]}\n\n{middle}\n\n{ENDS[0]}")


def test_transcribers_notes_go_and_can_stay() -> None:
    inline = "A wrod [Transcriber's Note: [sic], so in the original] stands here."
    head = "Transcriber's Note: Errors were\ncorrected.\n\nMore of it."
    tail = "TRANSCRIBER'S NOTES\n\nPage 3: wrod\n\nPage 4: too"
    text = f"{STARTS[0]}\n\n{head}\n\n\n\nTITLE\n\n{inline}\n\n{BODY}\n\n{tail}\n\n{ENDS[0]}"
    assert cleaned(text) == f"TITLE\n\nA wrod  stands here.\n\n{BODY}"
    kept = cleaned(text, transcriber_notes="keep")
    assert "Errors were" in kept and "[sic]" in kept and kept.endswith("too")


def test_an_unclosed_note_takes_nothing() -> None:
    text = f"{STARTS[0]}\n\nTITLE\n\n[Transcriber's Note: never closed\n\n{BODY}\n\n{ENDS[0]}"
    assert cleaned(text).endswith(BODY)


LINES = st.sampled_from(
    [*STARTS, *ENDS, "", "", "some words of the book", "Produced by A", "[Transcriber's Note: x]",
     "Title: T", "[EBook #3]", "<<THIS ELECTRONIC VERSION OF", ">>", "Transcriber's Note",
     "***START**THE SMALL PRINT!", "The Project Gutenberg Etext of Z", "***", "* * *", "\x1a\x0c"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES | st.text(max_size=30), max_size=40))
def test_cleaning_is_a_fixed_point_and_never_fails(lines: list[str]) -> None:
    once = cleaned("\n".join(lines))
    assert cleaned(once) == once


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=400))
def test_any_text_can_be_cleaned(text: str) -> None:
    book = clean_book(text, BooksSettings())
    assert "\r" not in book.text and "\0" not in book.text


@settings(max_examples=100, deadline=None)
@given(st.lists(LINES | st.text(max_size=30).map(lambda t: t.replace("\n", " ")), max_size=40))
def test_each_cleaner_is_a_fixed_point_of_its_own(given_lines: list[str]) -> None:
    lines = plain_lines("\n".join(given_lines))
    for cleaner in (without_credits, without_notes):
        once = cleaner(lines)
        assert cleaner(once) == once
        assert len(once) <= len(lines)
        text = "\n".join(lines)
        assert all(line in text for line in once if "[" not in text)  # nothing is made up


@settings(max_examples=100, deadline=None)
@given(st.lists(LINES | st.text(max_size=60), max_size=30), st.binary(max_size=200))
def test_any_header_is_read(lines: list[str], data: bytes) -> None:
    header = parse_header(lines)
    assert header.created is None or header.created.endswith("T00:00:00Z")
    assert declared_charset(b"Character set encoding: " + data) is None or data


HOSTILE = [
    "*" * 400_000,
    "End of " * 60_000,
    "\n".join(STARTS[6:] * 4_000),
    "[Transcriber's Note: " * 9_000,
    "\n".join(["***START**THE SMALL PRINT!", "<<THIS ELECTRONIC VERSION OF"] * 10_000),
    "\n\n".join(["Produced by A"] * 20_000),
    "Title: " + " " * 400_000,
    "a@" * 150_000,
    "[" * 300_000,
    "a" * 1_000_000,
    "*** START OF THE PROJECT GUTENBERG\n*** END OF THE PROJECT GUTENBERG\n" * 10_000,
    ("End of" + " " * 380 + "\n") * 2_000,
    "\r" * 300_000,
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_take_linear_time(hostile: str) -> None:
    for start in ("", f"{STARTS[0]}\n", f"{STARTS[6]}\n"):  # quadratic would take minutes
        assert len(clean_book(start + hostile, BooksSettings()).text) <= len(hostile)
    parse_header(hostile.split("\n"))


def test_boundaries_are_whole_lines_at_their_beginning() -> None:
    assert boundary("*** START OF THIS PROJECT GUTENBERG EBOOK X ***") is Boundary.START
    assert boundary("He said: *** START OF THIS PROJECT GUTENBERG EBOOK") is None
    assert boundary("*** END OF THE PROJECT " + "x" * 500) is None


# -- the header -----------------------------------------------------------------------------------


def test_header_fields_of_today() -> None:
    header = parse_header(
        [
            "The Project Gutenberg EBook of Max Havelaar, by Multatuli",
            "",
            "Title: Max Havelaar",
            "       Of de koffiveilingen",
            "",
            "Author: Multatuli",
            "",
            "Release Date: February 10, 2004 [EBook #11024]",
            "Last Updated: August 4, 2016",
            "Language: Dutch",
            "Character set encoding: ISO Latin-1",
        ]
    )
    assert header.title == "Max Havelaar Of de koffiveilingen"
    assert (header.author, header.language, header.number) == ("Multatuli", "Dutch", 11024)
    assert header.created == "2004-02-10T00:00:00Z"
    assert not header.copyrighted


@pytest.mark.parametrize(
    ("lines", "title", "author", "created"),
    [
        (
            ["**The Project Gutenberg Etext of Frankenstein by Mary Shelley**",
             "Official release date October 31, 1993"],
            "Frankenstein", "Mary Shelley", "1993-10-31T00:00:00Z",
        ),
        (
            ["*Project Gutenberg's The Picture of Dorian Gray by Oscar Wilde*",
             "October, 1994  Etext #174"],
            "The Picture of Dorian Gray", "Oscar Wilde", "1994-10-01T00:00:00Z",
        ),
        (
            ["**The Project Gutenberg Etext of Frankenstein by Mary Shelley**",
             "*****This file should be named frank10a.txt****", "", "October 31, 1993"],
            "Frankenstein", "Mary Shelley", "1993-10-31T00:00:00Z",
        ),
        (["Project Gutenberg will release an edition"], None, None, None),
        (["Project Gutenberg", "Written in October 31, 1993, it says"], None, None, None),
    ],
)  # fmt: skip
def test_headers_of_the_nineties(
    lines: list[str], title: str | None, author: str | None, created: str | None
) -> None:
    header = parse_header(lines)
    assert (header.title, header.author, header.created) == (title, author, created)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("March 8, 1994", "1994-03-08"),
        ("June, 1998", "1998-06-01"),
        ("Jun, 1998", "1998-06-01"),
        ("2004-05-06", "2004-05-06"),
        ("2001", "2001-01-01"),
        ("February 31, 2004", None),
        ("whenever", None),
    ],
)
def test_dates(value: str, day: str | None) -> None:
    assert iso_day(value) == (f"{day}T00:00:00Z" if day else None)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("ISO Latin-1", "iso-8859-1"),
        ("ISO-8859-1", "iso-8859-1"),
        ("ISO-646-US (US-ASCII)", "us-ascii"),
        ("Unicode UTF-8", "utf-8"),
        ("ISO-8859-2", "iso-8859-2"),
        ("Windows Code-Page 1252", "windows-1252"),
        ("CP-1251", "windows-1251"),
        ("MIDI, Lilypond", None),
        (None, None),
    ],
)
def test_charsets_by_the_words_of_headers(value: str | None, label: str | None) -> None:
    assert charset_label(value) == label
    if value:
        head = f"x\r\nCharacter set encoding: {value}\r\ny"
        assert declared_charset(head.encode()) == label


@pytest.mark.parametrize(
    ("value", "code"),
    [("English", "en"), ("en-GB", "en"), ("eng", "en"), ("French and Dutch", "fr"), ("", None),
     ("Middle English", "enm"), ("und", None), ("a language", None), (None, None)],
)  # fmt: skip
def test_language_names(value: str | None, code: str | None) -> None:
    assert language_code(value) == code


def test_letters_are_judged_by_samples_of_the_whole() -> None:
    assert letter_share("12 34 ab") == pytest.approx(2 / 6)
    assert letter_share("a" * 500_000 + "1" * 500_000) == pytest.approx(0.5, abs=0.02)
    assert letter_share("") == 0.0


# -- real files -----------------------------------------------------------------------------------


@needs_shared_data
def test_every_real_edition_is_freed_of_gutenberg() -> None:
    seen = 0
    for path in sorted((SHARED_DATA / "books").glob("*.zip"))[::4]:
        for name, text in _texts(path):
            book = clean_book(text, BooksSettings())
            if not book.found:
                continue  # a list of files, a licence
            seen += 1
            edges = book.text[:3000] + book.text[-3000:]
            for word in ("Project Gutenberg", "SMALL PRINT", "Distributed Proofread", "*** E"):
                assert word.lower() not in edges.lower(), (path.name, name, word)
            # Nothing else went: header and licence have 10 to 25 thousand characters.
            assert len(text) - len(book.text) < 60_000, (path.name, name)
            assert unwrap(book.text.split("\n")).found == (), (path.name, name)
    assert seen > 15


def _texts(path: Path) -> list[tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        return [
            (
                name,
                archive.read(name).decode("utf-8" if "-0" in name else "windows-1252", "replace"),
            )
            for name in archive.namelist()
            if name.endswith(".txt")
        ]
