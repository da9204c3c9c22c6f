"""The sample's cited pages: the join finds every one, and traps stand on sites of their own."""

from __future__ import annotations

from pipeline.sample import references
from pipeline.sample.traps import Must
from stages.reference.domains import registered_domain
from stages.reference.pages import url_hash
from stages.wikipedia.citations import cited_urls


def test_every_cited_page_is_named_by_an_article_and_no_other_page_is() -> None:
    named = {
        url_hash(url)
        for article in references.citing_articles(0)
        for url in cited_urls(article.text or "")
    }
    pages = references.cited_pages(0)
    assert {url_hash(page.url) for page in pages} == named
    assert len({page.url for page in pages}) == references.CITED
    others = [p for group in references.planted_pages(0) for p in group.pages]
    assert sum(url_hash(page.url) in named for page in others) == references.CITED


def test_urls_are_not_written_in_articles_as_the_crawl_has_them() -> None:
    wikitext = "".join(article.text or "" for article in references.citing_articles(0))
    written = [page.url for page in references.cited_pages(0) if f"[{page.url} " in wikitext]
    assert 0 < len(written) < references.CITED / 2
    sites = {page.url.split("/")[2].removeprefix("www.") for page in references.cited_pages(0)}
    assert "web.archive.org" in wikitext
    assert any(f"http://{site}/" in wikitext for site in sites)


def test_traps_stand_on_sites_that_nothing_is_learnt_from() -> None:
    groups = list(references.planted_pages(0))
    trapped = {registered_domain(p.url) for g in groups if g.traps for p in g.pages}
    plain = {registered_domain(p.url) for g in groups if not g.traps for p in g.pages}
    assert not trapped & plain
    assert len(trapped) == 2 * references.TRAPS
    musts = [trap.must for group in groups for trap in group.traps]
    assert musts.count(Must.CITED) == musts.count(Must.NOT_CITED) == references.TRAPS


def test_the_name_of_a_site_does_not_tell_its_kind() -> None:
    """Names such as annals7 and deals7 would let a classifier that reads no word pass."""
    cited = {page.url.split("/")[2] for page in references.cited_pages(0)}
    others = {p.url.split("/")[2] for g in references.planted_pages(0) for p in g.pages} - cited
    assert len(cited) == 40 and len(others) == 40 + 2 * references.TRAPS
    first = {name.removeprefix("www.")[:4] for name in cited}
    assert sum(name.removeprefix("www.")[:4] in first for name in others) > 0.9 * len(others)


def test_the_same_seed_plants_the_same_pages() -> None:
    assert references.cited_pages(1) == references.cited_pages(1)
    assert references.cited_pages(1) != references.cited_pages(2)
