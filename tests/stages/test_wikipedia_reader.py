"""Selection of pages, fields of a document, cited URLs, bare files, and the real sample data."""

from __future__ import annotations

import bz2
import io
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from stages.outcomes import Bad, Document, Rejected, SourceReader, Tally
from stages.wikipedia import REASONS, WikipediaReader, WikipediaSettings
from stages.wikipedia.chunks import Chunk
from stages.wikipedia.citations import cited_urls, clean_url
from stages.wikipedia.dump import PageScanner, RawPage
from stages.wikipedia.locales import LANGUAGES
from stages.wikipedia.wikitext import WikitextConverter
from tests.data_paths import SHARED_DATA, needs_shared_data
from tests.stages.wikipedia_dumps import documents, dump, errors, page, read, reasons, titles

WIKIPEDIA = SHARED_DATA / "wikipedia"


def test_a_document_has_all_fields() -> None:
    source = "'''Ünï''' is [[a]] {{convert|5|km}} {{odd}} wall.<ref>{{cite web|url=http://x.org/1}}</ref>"
    reader: SourceReader = WikipediaReader()
    path = "s3://b/frwiki-20230801-pages-articles.xml"
    data = dump(page(source, 12, "Ünï & co", time="2023-07-01T01:02:03Z"))
    (document,) = reader(io.BytesIO(data), path, Tally())
    assert document == Document(
        id="wikipedia/fr/12-765cc6",
        text="Ünï & co\n\nÜnï is a 5 km wall.",
        source="wikipedia",
        origin=f"{path}#12",
        url="https://fr.wikipedia.org/wiki/%C3%9Cn%C3%AF_%26_co",
        title="Ünï & co",
        language="fr",
        created="2023-07-01T01:02:03Z",
        license="CC BY-SA 4.0",
        meta={
            "revision_id": "7",
            "revisions": 1,
            "wikitext_chars": len(source),
            "cited_urls": 1,
            "templates_dropped": {"odd": 1},
            "templates_dropped_total": 1,
        },
        extra={"cited_urls": ["http://x.org/1"]},
    )


def test_licence_by_date_of_the_revision() -> None:
    for time, licence in (
        ("2023-06-06T23:59:59Z", "CC BY-SA 3.0"),
        ("2023-06-07T00:00:00Z", "CC BY-SA 4.0"),
        ("no date", "CC BY-SA"),
    ):
        (document,) = documents(read(dump(page("x", time=time))))
        assert document.license == licence


def test_title_and_length_are_settings() -> None:
    data = dump(page("Some text.", 1, "A"))
    assert documents(read(data, settings=WikipediaSettings(title_in_text=False)))[0].text == (
        "Some text."
    )
    assert reasons(read(data, settings=WikipediaSettings(min_chars=11))) == ["too_short"]
    assert reasons(read(data, settings=WikipediaSettings(min_chars=10))) == []


def test_pages_without_id_get_a_stable_one_from_their_title() -> None:
    data = dump(page("x", 1, "A").replace("<ns>0</ns><id>1</id>", "<ns>0</ns>"))
    (first,), (again,) = documents(read(data)), documents(read(data))
    (other,) = documents(read(data, "enwiki-other.xml"))
    assert first.id == again.id and first.id.startswith("wikipedia/en/t")
    # The same page of another dump is another document, and ids are unique.
    assert other.id != first.id and other.id.rsplit("-", 1)[0] == first.id.rsplit("-", 1)[0]
    assert first.origin.endswith(f"#{data.index(b'<page>')}")


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (page("x", title="Talk:A", ns=1), "namespace"),
        (page("x", title="Talk:A", ns=None), "namespace"),
        (page("x", title="Picture Room:A", ns=None), "namespace"),
        (page("x", extra='<redirect title="B" />'), "redirect"),
        (page("#REDIRECT [[B]]"), "redirect"),
        (page("{}", model="json"), "content_model"),
        (page("a{}", model="css"), "content_model"),
        (page("return x", model="Scribunto"), "content_model"),
        (page("{{Infobox|x=1}}[[Category:Y]]"), "empty"),
        (page("@").replace('<text xml:space="preserve">@</text>', '<text deleted="d" />'), "empty"),
    ],
)
def test_pages_that_are_no_articles(xml: str, reason: str) -> None:
    assert reasons(read(dump(xml))) == [reason]
    assert reason in REASONS


REDIRECTS = {
    "bg": "виж", "ca": "REDIRECCIÓ", "cs": "PŘESMĚRUJ", "da": "OMDIRIGERING",
    "de": "WEITERLEITUNG", "en": "redirect", "es": "REDIRECCIÓN", "fr": "REDIRECTION",
    "hr": "PREUSMJERI", "hu": "ÁTIRÁNYÍTÁS", "it": "RINVIA", "nl": "DOORVERWIJZING",
    "pl": "PATRZ", "pt": "REDIRECIONAMENTO", "ro": "REDIRECTEAZA", "ru": "ПЕРЕНАПРАВЛЕНИЕ",
    "sl": "PREUSMERITEV", "sr": "Преусмери", "sv": "OMDIRIGERING", "uk": "ПЕРЕНАПРАВЛЕННЯ",
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_redirects_in_the_words_of_each_wiki(language: str) -> None:
    word = REDIRECTS[language]
    data = dump(page(f"#{word} [[B]]"), page(f" # {word.lower()}: [[B]]"), page(f"#{word} text"))
    assert reasons(read(data, f"{language}wiki-x.xml")) == ["redirect", "redirect"]


def test_disambiguation_pages_are_marked_and_may_be_rejected() -> None:
    data = dump(page("'''X''' may be\n* a\n{{disambiguation}}", title="X"), page("y", title="Y"))
    marked = [(document.meta or {}).get("disambiguation") for document in documents(read(data))]
    assert marked == [True, None]
    rejecting = WikipediaSettings(disambiguation="reject")
    assert reasons(read(data, settings=rejecting)) == ["disambiguation"]


@pytest.mark.parametrize(
    ("path", "dbname", "options", "expected"),
    [
        ("d/svwiki-20220701-pages-articles.xml", "enwiki", {}, "sv"),
        ("dump.xml", "dewiki", {}, "de"),
        ("minidumps/it/wiki.xml", "enwiki", {"language_from_path": r"/([a-z]+)/wiki\.xml"}, "it"),
        ("other/it/x.xml", "nlwiki", {"language_from_path": r"/([a-z]+)/wiki\.xml"}, "nl"),
        ("svwiki-x.xml", "enwiki", {"language": "da"}, "da"),
        ("zh_yuewiki-x.xml", "enwiki", {}, None),
        ("simplewiki-x.xml", "enwiki", {}, None),
        ("dump.xml", "enwiktionary", {}, None),
        ("dump.xml", "commonswiki", {}, None),
    ],
)
def test_language_of_a_dump(
    path: str, dbname: str, options: dict[str, str], expected: str | None
) -> None:
    outcomes = read(dump(page("x"), dbname=dbname), path, WikipediaSettings.model_validate(options))
    assert [document.language for document in documents(outcomes)] == [expected] * bool(expected)
    assert reasons(outcomes) == ([] if expected else ["language"])


def test_language_without_dbname_comes_from_the_base_url() -> None:
    data = dump(page("x")).replace(b"<dbname>enwiki</dbname>", b"")
    assert documents(read(data, "d.xml"))[0].language == "en"
    other = data.replace(b"en.wikipedia.org", b"en.wiktionary.org")
    assert reasons(read(other, "d.xml")) == ["language"]


@pytest.mark.parametrize(
    "pattern", ["(", "no group", "(a)(b)", r"(\w+)+x(y)", "(" + "a" * 300 + ")"]
)
def test_the_path_pattern_is_checked(pattern: str) -> None:
    with pytest.raises(ValidationError, match="language_from_path"):
        WikipediaSettings(language_from_path=pattern)


@pytest.mark.parametrize(
    "name", ["Some_town%2C_X.wikitext", "x/Some town, X.txt", "Some town, X.wiki.bz2"]
)
def test_bare_wikitext_files_are_one_page(name: str) -> None:
    text = b"\xef\xbb\xbf'''Some town''' is [[here]]."
    data = bz2.compress(text) if name.endswith(".bz2") else text
    (document,) = documents(read(data, name, WikipediaSettings(language="en")))
    assert document.text == "Some town, X\n\nSome town is here."
    assert document.id.startswith("wikipedia/en/t") and document.license == "CC BY-SA"


def test_bare_files_follow_the_same_rules() -> None:
    english = WikipediaSettings(language="en", max_page_bytes=2000)
    assert reasons(read(b"#REDIRECT [[x]]", "redirect.txt", english)) == ["redirect"]
    assert reasons(read(b"x", "Talk:A.txt", english)) == ["namespace"]
    assert reasons(read(b"x", "A.txt")) == ["language"]
    assert reasons(read(b"x " * 2000, "A.txt", english)) == ["too_large"]
    assert errors(read(b"a\xff", "A.txt", english)) == ["encoding"]
    assert titles(read(dump(page("x", title="P")), "A.txt", english)) == ["P"]
    assert read(b"x", "A.txt", english, start=1) == []


def test_a_failing_conversion_is_a_counted_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: WikitextConverter, wikitext: str, title: str) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(WikitextConverter, "__call__", fail)
    (bad,) = read(dump(page("x")))
    assert isinstance(bad, Bad) and bad.error == "wikitext: RuntimeError: broken"


def test_cited_urls_come_from_everywhere_in_order_and_once() -> None:
    """RedPajama's regex sees `<ref>` only, and none with a name."""
    source = """
<ref>http://a.org/1</ref>
<ref name="n">{{cite web |url=https://B.org/x?q=1&amp;r=2#part |title=t}}</ref>
{{cite news|url=http://c.org/}}[http://d.org label] bare http://e.org/x. (http://f.org/a_(b)).
<!-- http://hidden.org --><nowiki>http://no.org</nowiki> [//g.org/p x] <ref name=n />
http://a.org/1 again, ''http://h.org/i'' [https://en.wikipedia.org/w/index.php?x own]
<ref group="x" name="y">[http://i.org:8080/ä b] http://[bad http://nohost http://k.org:99999/</ref>
"""
    assert cited_urls(source) == [
        "http://a.org/1",
        "https://b.org/x?q=1&r=2",
        "http://c.org/",
        "http://d.org/",
        "http://e.org/x",
        "http://f.org/a_(b)",
        "https://g.org/p",
        "http://h.org/i",
        "http://i.org:8080/ä",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://web.archive.org/web/20100101000000/http://example.org/a?b=c",
        "http://web.archive.org/web/20100101000000*/http://example.org/a?b=c",
        "https://web.archive.org/web/20100101id_/example.org/a?b=c",
        "https://archive.today/20120708/http://example.org/a?b=c",
        "https://archive.ph/2012.07.08-101112/http://example.org/a?b=c",
        "https://www.webcitation.org/5abc?url=http%3A%2F%2Fexample.org%2Fa%3Fb%3Dc",
        "https://web.archive.org/web/2011/http://archive.is/2012/http:/example.org/a?b=c",
    ],
)
def test_web_archives_are_unwrapped_by_a_setting(url: str) -> None:
    assert clean_url(url) == "http://example.org/a?b=c"
    kept = clean_url(url, unwrap_archives=False)
    assert kept is not None and ("archive" in kept or "webcitation" in kept)


def test_short_archive_links_stay_and_non_web_is_dropped() -> None:
    assert clean_url("https://archive.ph/abcde") == "https://archive.ph/abcde"
    assert clean_url("ftp://example.org/") is None
    assert clean_url("http://x.org/" + "a" * 3000) is None
    assert clean_url("http://user@example/") is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 64, 1000])
def test_pages_do_not_depend_on_how_the_bytes_arrive(size: int) -> None:
    data = dump(page("One."), page("Two.", 2).replace("<ns>", "<!-- <page> --><ns>"), page("3", 3))
    chunks = [Chunk(data[at : at + size], None, at) for at in range(0, len(data), size)]
    found = Counter[str]()
    items = list(PageScanner(chunks, lambda: found.update(["x"]), 4096, True))
    whole = list(PageScanner([Chunk(data, None, 0)], lambda: None, 4096, True))
    assert items == whole and len(items) == found["x"] == 3
    assert all(isinstance(item, RawPage) for item in items)


def _real(pattern: str) -> list[Path]:
    return sorted(path for path in WIKIPEDIA.glob(pattern) if path.is_file())


@needs_shared_data
def test_real_dumps_of_all_20_languages() -> None:
    settings = WikipediaSettings(language_from_path=r"minidumps/([a-z.-]+)/wiki\.xml")
    texts: dict[str, list[str]] = {}
    for path in _real("dbpedia-minidumps/dump/src/test/resources/minidumps/*/wiki.xml.bz2"):
        for outcome in read(path.read_bytes(), path.as_posix(), settings):
            assert not isinstance(outcome, Bad)
            if isinstance(outcome, Document):
                texts.setdefault(outcome.language or "", []).append(outcome.text)
                assert not any(mark in outcome.text for mark in ("[[", "'''", "<ref"))
            else:
                assert isinstance(outcome, Rejected) and outcome.reason in REASONS
    assert set(texts) == set(LANGUAGES)


@needs_shared_data
def test_real_files_of_other_projects_and_their_damage() -> None:
    counts: Counter[str] = Counter()
    for path in _real("pywikibot/tests/data/xml/*") + _real("lintool+wikiclean/**/*.xml"):
        for outcome in read(path.read_bytes(), path.as_posix()):
            counts[type(outcome).__name__] += 1
            if isinstance(outcome, Bad):
                assert path.name == "article-pyrus.xml_invalid.7z"
    assert counts["Bad"] == 1 and counts["Document"] > 20


@needs_shared_data
def test_real_values_that_strip_code_loses() -> None:
    """One sentence each from real articles: the value inside a template is in our text."""
    base = WIKIPEDIA / "dbpedia-minidumps/dump/src/test/resources/minidumps"
    settings = WikipediaSettings(language_from_path=r"minidumps/([a-z.-]+)/wiki\.xml")

    def article(language: str) -> str:
        path = base / language / "wiki.xml.bz2"
        found = documents(read(path.read_bytes(), path.as_posix(), settings))
        return "\n".join(document.text for document in found)

    assert "premières décennies du XXe siècle" in article("fr")
    assert "aproximativ 892 km²" in article("ro")
    assert "con 3.769.495 abitanti" in article("it")
