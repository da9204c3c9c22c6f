"""The sample's raw files: true formats, the same bytes every time, every trap at its place."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import zlib
from collections import Counter
from pathlib import Path

import py7zr
import pytest
from lxml import etree
from warcio.archiveiterator import ArchiveIterator

from pipeline.sample import Key, Must, SampleInfo, Trap, build, read_key
from pipeline.sample.archives import gzip_member, gzip_repeated
from pipeline.sample.record_traps import BOMB
from pipeline.sample.texts import LANGUAGES

_WORDS = """# Stone {0}
The first stone of {0} lay at the river. Nobody knew who had brought it there, and few asked.

A second stone came later.

# Bridge {0}
The bridge of {0} was built of wood and burned down twice before it was built of stone.
@frames
"""
_LISTS = """
@name
Anna
Otto
Żaneta
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for language in LANGUAGES:
        frames = "".join(
            f"In {language} {{name}} counted {{number}} things of kind {i}, and {{name}} saw it.\n"
            for i in range(30)
        )
        content = _WORDS.format(language) + frames + _LISTS
        (folder / f"{language}.txt").write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> SampleInfo:
    return build(tmp_path_factory.mktemp("sample"), seed=3, scale=0.03, texts=texts)


@pytest.fixture(scope="module")
def key(info: SampleInfo) -> Key:
    return read_key(info.key)


def _digests(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(info: SampleInfo, texts: Path, tmp_path: Path) -> None:
    again = build(tmp_path, seed=3, scale=0.03, texts=texts)
    assert _digests(tmp_path) == _digests(info.root)
    assert again.files == info.files
    assert sorted(info.files) == sorted(_digests(info.root))


def test_another_seed_gives_other_texts_and_as_many_traps(
    info: SampleInfo, texts: Path, tmp_path: Path
) -> None:
    other = build(tmp_path, seed=4, scale=0.03, texts=texts)
    wet = next(name for name in info.files if name.endswith(".wet.gz"))
    assert _digests(tmp_path)[wet] != _digests(info.root)[wet]
    kinds = set(info.traps) - {"footer that differs in digits", "boilerplate line"}
    assert {k: other.traps[k] for k in kinds} == {k: info.traps[k] for k in kinds}


def _records(path: Path) -> list[tuple[str, str | None, int, bytes]]:
    found = []
    with path.open("rb") as stream:
        records = ArchiveIterator(stream)
        for record in records:
            text = record.content_stream().read()  # the offset call would read past it
            url = record.rec_headers.get_header("WARC-Target-URI")
            found.append((record.rec_type, url, records.get_record_offset(), text))
    return found


def _sound(info: SampleInfo, kind: str, last: int) -> list[Path]:
    """The archives without planted damage."""
    return sorted((info.root / "commoncrawl" / kind).iterdir())[:last]


def test_wet_files_are_warcinfo_and_conversions(info: SampleInfo) -> None:
    files = _sound(info, "wet", 4)
    assert len(files) == 4
    for path in files:
        first, *others = _records(path)
        assert first[0] == "warcinfo"
        assert {kind for kind, *_ in others} == {"conversion"}
        assert all(text.decode().strip() for *_, text in others)


def test_warc_files_pair_requests_and_responses(info: SampleInfo) -> None:
    files = _sound(info, "warc", 2)
    for path in files:
        records = _records(path)[1:]
        assert [kind for kind, *_ in records] == ["request", "response"] * (len(records) // 2)
        assert all(a[1] == b[1] for a, b in zip(records[::2], records[1::2], strict=True))
        assert all(body.strip().endswith(b"</html>") for *_, body in records[1::2])


def test_every_record_is_a_gzip_member_without_a_time(info: SampleInfo) -> None:
    for path in (*_sound(info, "wet", 4), *_sound(info, "warc", 2)):
        data = path.read_bytes()
        for _, _, offset, _ in _records(path):
            assert data[offset : offset + 8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def _dump_bytes(path: Path) -> bytes:
    if path.suffix == ".bz2":
        return bz2.decompress(path.read_bytes())
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".7z":
        with py7zr.SevenZipFile(path) as archive:
            factory = py7zr.io.BytesIOFactory(2**26)
            archive.extractall(factory=factory)
            (product,) = factory.products.values()
            return product.read()
    return path.read_bytes()


def _dumps(info: SampleInfo) -> dict[str, Path]:
    """The whole dump of each language."""
    damaged = ("-truncated", "-entities", "-external")
    return {
        path.name[:2]: path
        for path in (info.root / "wikipedia").iterdir()
        if not any(mark in path.name for mark in damaged)
    }


def test_each_of_the_20_wikipedias_is_valid_export_xml(info: SampleInfo) -> None:
    dumps = _dumps(info)
    assert set(dumps) == set(LANGUAGES)
    assert {path.suffix for path in dumps.values()} == {".bz2", ".gz", ".7z", ".xml"}
    for language, path in dumps.items():
        root = etree.fromstring(_dump_bytes(path))
        version = root.get("version")
        space = f"{{http://www.mediawiki.org/xml/export-{version}/}}"
        assert version in {"0.10", "0.11"}
        assert root.tag == f"{space}mediawiki"
        assert root.findtext(f"{space}siteinfo/{space}dbname") == f"{language}wiki"
        ids = [page.findtext(f"{space}id") for page in root.iter(f"{space}page")]
        assert len(ids) == len(set(ids)) > 5


def test_multistream_dumps_are_header_pages_footer(info: SampleInfo) -> None:
    rest = _dumps(info)["de"].read_bytes()
    streams = []
    while rest:
        packer = bz2.BZ2Decompressor()
        streams.append(packer.decompress(rest).decode())
        rest = packer.unused_data
    assert streams[0].startswith("<mediawiki ") and streams[0].endswith("</siteinfo>\n")
    assert all(s.startswith("  <page>") and s.endswith("</page>\n") for s in streams[1:-1])
    assert streams[-1] == "</mediawiki>\n"


def test_wikipedia_cites_pages_of_the_crawl(info: SampleInfo) -> None:
    urls = {
        url
        for kind, sound in (("wet", 4), ("warc", 2))
        for path in _sound(info, kind, sound)
        for _, url, *_ in _records(path)
    }
    text = _dump_bytes(_dumps(info)["fr"]).decode()
    assert any(url in text for url in urls if url)


def test_every_language_has_text_in_both_sources(info: SampleInfo) -> None:
    assert set(info.text_bytes) == set(LANGUAGES)
    hosts = Counter(
        url.split("/")[2]
        for k in ("wet", "warc")
        for path in _sound(info, k, 4 if k == "wet" else 2)
        for kind, url, *_ in _records(path)
        if url and kind != "request"
    )
    assert all(hosts[f"www.{language}-pages.example"] for language in LANGUAGES)


def _member(info: SampleInfo, trap: Trap) -> bytes:
    assert trap.offset is not None and trap.length is not None
    data = (info.root / trap.file).read_bytes()
    return data[trap.offset : trap.offset + trap.length]


def _unpacked(info: SampleInfo, trap: Trap) -> bytes:
    return zlib.decompressobj(31).decompress(_member(info, trap), 2**22)


def _of(key: Key, kind: str) -> list[Trap]:
    found = [trap for trap in key.traps if trap.kind == kind]
    assert found, kind
    return found


def test_the_key_counts_what_the_info_says(info: SampleInfo, key: Key) -> None:
    counts: Counter[str] = Counter()
    for trap in key.traps:
        counts[trap.kind] += trap.count
        assert (info.root / trap.file).is_file()
    assert dict(counts) == info.traps
    assert key.seed == 3


def test_records_named_in_the_key_lie_at_their_place(info: SampleInfo, key: Key) -> None:
    lacking = {"missing header"}
    placed = [
        t
        for t in key.traps
        if t.file.startswith("commoncrawl/")
        and t.offset is not None
        and t.url
        and t.kind not in lacking
    ]
    assert len(placed) > 80
    for trap in placed:
        assert trap.url is not None
        assert _unpacked(info, trap).startswith(b"WARC/1.0\r\n")
        assert trap.url.encode() in _unpacked(info, trap)


def test_damage_named_in_the_key_is_there(info: SampleInfo, key: Key) -> None:
    for trap in _of(key, "truncated gzip member"):
        unpacker = zlib.decompressobj(31)
        unpacker.decompress(_member(info, trap))
        assert not unpacker.eof
    for trap in _of(key, "missing header"):
        assert trap.note.encode() + b":" not in _unpacked(info, trap)
    for trap in _of(key, "invalid UTF-8"):
        with pytest.raises(UnicodeDecodeError):
            _unpacked(info, trap).decode()
    for trap in _of(key, "wrong Content-Length"):
        head, _, body = _unpacked(info, trap).partition(b"\r\n\r\n")
        said = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        assert said != len(body.removesuffix(b"\r\n\r\n"))
    for trap in _of(key, "reordered headers"):
        assert not _unpacked(info, trap).startswith(b"WARC/1.0\r\nWARC-Record-ID")
    for trap in _of(key, "bytes that are no record"):
        assert not _member(info, trap).startswith(b"\x1f\x8b")
    assert {t.url for t in _of(key, "invalid URL")} >= {"http://[x"}


def test_bombs_are_small_and_expand(info: SampleInfo, key: Key) -> None:
    (record,) = _of(key, "gzip bomb (record)")
    member = _member(info, record)
    assert len(member) < BOMB / 200
    assert int.from_bytes(member[-4:], "little") > 0.9 * BOMB
    (body,) = _of(key, "gzip bomb (body)")
    inner = _unpacked(info, body).split(b"\r\n\r\n", 2)[2].removesuffix(b"\r\n\r\n")
    assert int.from_bytes(inner[-4:], "little") > 0.9 * BOMB


def test_a_repeated_block_packs_as_the_whole_text_would() -> None:
    packed = gzip_repeated(b"head", b"block " * 100, 7)
    assert gzip.decompress(packed) == b"head" + b"block " * 700
    assert gzip.decompress(gzip_member(b"x")) == b"x"


def test_copies_and_shared_lines_are_there(info: SampleInfo, key: Key) -> None:
    pages: dict[str | None, list[str]] = {}
    for path in _sound(info, "wet", 4):
        for _, url, _, text in _records(path):
            pages.setdefault(url, []).append(text.decode())
    for trap in _of(key, "exact duplicate page"):
        texts = {text for url in trap.group for text in pages[url]}
        assert len(texts) == 1
        assert trap.count == len(trap.group) - 1 > 0
    for trap in _of(key, "recrawl: newest is kept"):
        (url,) = trap.group
        assert sorted(trap.any_of[0] in text for text in pages[url]) == [False, True]
    lines = Counter(line for texts in pages.values() for t in texts for line in set(t.splitlines()))
    for kind in ("near duplicate: shared lines", "boilerplate line"):
        for trap in _of(key, kind):
            assert trap.lines
            assert all(lines[line] >= 2 for line in trap.lines)


def test_articles_named_in_the_key_are_there(info: SampleInfo, key: Key) -> None:
    wiki = [t for t in key.traps if t.file.startswith("wikipedia/") and t.title]
    contents: dict[str, str] = {}
    for trap in wiki:
        if "-truncated.xml.bz2" in trap.file:
            continue
        if trap.file not in contents:
            contents[trap.file] = _dump_bytes(info.root / trap.file).decode(errors="replace")
        assert f"<title>{trap.title}</title>" in contents[trap.file]
        if trap.must is Must.TEXT_GONE:
            assert trap.any_of[0] in contents[trap.file]
    assert len({t.language for t in _of(key, "redirect")}) == 20


def test_damaged_dumps_are_damaged(info: SampleInfo, key: Key) -> None:
    (trap,) = _of(key, "truncated bz2")
    with pytest.raises((EOFError, ValueError)):
        bz2.decompress((info.root / trap.file).read_bytes())
    (trap,) = (t for t in _of(key, "truncated XML") if t.file.startswith("wikipedia/"))
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring((info.root / trap.file).read_bytes())
    for kind in ("entity bomb", "external entity"):
        (trap,) = (t for t in _of(key, kind) if t.file.startswith("wikipedia/"))
        assert b"<!ENTITY" in (info.root / trap.file).read_bytes()


def test_a_new_build_removes_the_old_key_first(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "KEY.json").write_text("old", encoding="utf-8")
    (tmp_path / "pydoc.json").mkdir()
    with pytest.raises(RuntimeError):
        build(tmp_path, scale=0.02, texts=texts)
    assert not (tmp_path / "KEY.json").exists()


def test_coded_bodies_decode_to_their_pages(info: SampleInfo, key: Key) -> None:
    path = sorted((info.root / "commoncrawl" / "warc").iterdir())[2]
    decoded = {url: text for kind, url, _, text in _records(path) if kind == "response"}
    for trap in _of(key, "coded body"):
        assert trap.url is not None
        if trap.note not in {"coding claimed, not used", "last chunk missing"}:
            assert trap.any_of[0].encode() in decoded[trap.url]
    for trap in _of(key, "charset"):
        assert trap.url is not None
        assert trap.any_of[0] in decoded[trap.url].decode(trap.note)
        with pytest.raises(UnicodeDecodeError):
            decoded[trap.url].decode()
