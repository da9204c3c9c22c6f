"""Finding rows in the bytes of dumps: damage, ranges, archives, hostile XML; what a row says."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.outcomes import Bad, Skipped, Tally
from stages.stackexchange.post import Post, license_of, post_of, tags, utc
from stages.stackexchange.reader import PostReader, Raw
from stages.stackexchange.rows import RowScanner, attributes
from stages.stackexchange.settings import StackExchangeSettings
from stages.stackexchange.sites import address, site_of
from stages.wikipedia.chunks import Chunk, Gap
from tests.stages.stackexchange_dumps import answer, posts_xml, question, row, seven_zip

PATH = "dump/x.example.com/Posts.xml"


def read(data: bytes, path: str = PATH, start: int = 0, end: int | None = None) -> list[Raw]:
    tally = Tally()
    found = list(PostReader()(io.BytesIO(data), path, tally, start, end))
    assert tally.records == len(found)
    return found


def ids(found: list[Raw]) -> list[int | str]:
    """Post numbers; the first word of what is bad; the kind of what is skipped."""
    return [
        o.id if isinstance(o, Post) else o.error.split(":")[0] if isinstance(o, Bad) else o.kind
        for o in found
    ]


def test_a_question_and_an_answer_have_all_fields() -> None:
    body = '<p>A &lt; B & "c"</p>\n\n<pre>x\n\ty</pre>'
    data = posts_xml(
        [
            question(
                7, body, Title=" A  & B? ", Tags="<c++><a-b>", Score="-12", AcceptedAnswerId=9
            ),
            answer(9, 7, 3, CreationDate="2020-01-01T00:00:00.000"),
        ]
    )
    first, second = read(data)
    assert first == Post(
        site="x.example.com",
        question=7,
        kind=1,
        id=7,
        score=-12,
        html=body,
        origin=f"{PATH}#{data.index(b'<row')}",
        title="A & B?",
        created="2015-01-02T03:04:05Z",
        license="CC BY-SA 3.0",
        tags=("c++", "a-b"),
        accepted=9,
    )
    assert isinstance(second, Post)
    assert (second.question, second.kind, second.id, second.score) == (7, 2, 9, 3)
    assert second.license == "CC BY-SA 4.0"


def test_other_kinds_of_posts_are_skipped_by_name() -> None:
    data = posts_xml([row(Id=n, PostTypeId=n) for n in (3, 4, 5, 6, 7, 8, 17)])
    assert ids(read(data)) == [
        "orphaned_tag_wiki", "tag_wiki_excerpt", "tag_wiki", "moderator_nomination",
        "wiki_placeholder", "privilege_wiki", "other_post_type",
    ]  # fmt: skip
    assert all(isinstance(o, Skipped) for o in read(data))


def test_rows_need_no_lines_and_may_have_an_end_tag() -> None:
    one_line = posts_xml([question(1), answer(2, 1)]).replace(b"\r\n", b"")
    with_end_tags = one_line.replace(b" />", b"></row>")
    commented = one_line.replace(b"<row", b"<!-- x --><row")
    assert ids(read(one_line)) == ids(read(with_end_tags)) == ids(read(commented)) == [1, 2]
    single = one_line.replace(b'"', b"'")
    assert ids(read(single)) == [1, 2]


@pytest.mark.parametrize(
    ("damaged", "word"),
    [
        ('<row Id="2" PostTypeId="1" Score="1" Body="&lt;p&gt;cut', "xml"),
        ('<row Id="2" PostTypeId="1" Score="1" Body="a < b" />', "xml"),
        ('<row Id="2" Id="2" PostTypeId="1" Score="1" />', "xml"),
        ('<row Id="2" PostTypeId="1" Score="1" Body="\xff\x00" />', "xml"),
        ('<row Id="2" PostTypeId="1" Score="1" Body="&undefined;" />', "xml"),
        ('<row Id="2" PostTypeId="1" Score="1" />garbage', "xml"),
        ('<row Id="2" PostTypeId="1" />', "row"),
        ('<row Id="2" PostTypeId="1" Score="many" />', "row"),
        ('<row Id="2" PostTypeId="1" Score="1.5" />', "row"),
        ('<row Id="x" PostTypeId="1" Score="1" />', "row"),
        ('<row Id="-2" PostTypeId="1" Score="1" />', "row"),
        ('<row Id="99999999999999999999" PostTypeId="1" Score="1" />', "row"),
        ('<row Id="2" PostTypeId="2" ParentId="one" Score="1" />', "row"),
        ('<row Id="2" Score="1" />', "row"),
    ],
)
def test_a_damaged_row_is_bad_with_its_offset_and_reading_goes_on(damaged: str, word: str) -> None:
    data = posts_xml([question(1), "DAMAGED\n", question(3)])
    data = data.replace(b"DAMAGED", damaged.encode("latin-1"))
    found = read(data)
    assert ids(found) == [1, word, 3]
    assert isinstance(found[1], Bad)
    assert found[1].offset == data.index(damaged.encode("latin-1"))


def test_references_to_characters_that_xml_lacks_are_left_out() -> None:
    assert attributes(b'<row Body="a&#x1;b&#0;c&#xD800;&#x1F600;&#10;" />') == {
        "Body": "abc\U0001f600\n"
    }


def test_a_file_that_is_cut_or_no_dump_says_so() -> None:
    data = posts_xml([question(1), question(2)])
    inside, after = data[: data.rindex(b"Body") + 3], data[: data.rindex(b"</posts>")]
    assert ids(read(inside)) == [1, "truncated"]
    assert ids(read(after)) == [1, 2, "truncated"]
    assert ids(read(b"")) == ids(read(b"hello")) == ["not_a_dump"]
    assert read(posts_xml([])) == []


def test_no_entity_is_ever_expanded() -> None:
    bomb = '<!ENTITY a0 "boom">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
    )
    outside = '<!ENTITY x SYSTEM "file:///etc/hostname">'
    data = posts_xml([question(1, "B1"), question(2, "B2"), question(3)])
    data = data.replace(b"<posts>", f"<!DOCTYPE posts [{bomb}{outside}]>\n<posts>".encode())
    data = data.replace(b"B1", b"&a9;").replace(b"B2", b"&x;")
    assert ids(read(data)) == ["xml", "xml", 3]


def test_a_row_of_many_megabytes_is_bad_and_not_held() -> None:
    flow = (
        [Chunk(b"<posts><row Id='1' Body='", None, 0)]
        + [Chunk(b"x" * 4096, None, 25 + 4096 * i) for i in range(2000)]
        + [Chunk(b"' /><row Id='2' /></posts>", None, 25 + 4096 * 2000)]
    )
    scanner = RowScanner(flow, lambda: None, 100_000, first=True)
    largest, found = 0, []
    for item in scanner:
        largest = max(largest, len(scanner._buffer))
        found.append(item)
    assert [getattr(i, "error", "")[:9] for i in found] == ["too_large", ""]
    assert largest < 120_000


def test_a_gap_ends_the_open_row_and_is_told_once() -> None:
    found: list[str] = []
    flow = [Chunk(b"<posts><row Id='1' /><row Id='2'", 0, 0), Gap("0+9", "compression: x")]
    items = list(RowScanner(flow, lambda: found.append("x"), 1000, first=True))
    assert [getattr(i, "error", "row") for i in items] == [
        "row", "truncated: compression: x", "compression: x",
    ]  # fmt: skip
    assert len(found) == 3


ROWS = [
    f'<row Id="{n}" PostTypeId="1" Score="{n}" Body="{"é" * (n % 7)}&lt;row " />'.encode()
    for n in range(1, 12)
]


def pieces(data: bytes, cuts: list[int]) -> Iterator[tuple[int, int | None]]:
    edges = [0, *sorted({c for c in cuts if 0 < c < len(data)})]
    yield from zip(edges, [*edges[1:], None], strict=True)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 900), max_size=6), st.integers(1, 60))
def test_ranges_of_a_file_give_each_row_once(cuts: list[int], chunk: int) -> None:
    data = b"<posts>\n" + b"\n".join(ROWS) + b"\n</posts>"
    found: list[Raw] = []
    for start, end in pieces(data, cuts):
        found += read(data, start=start, end=end)
    assert ids(found) == list(range(1, 12))
    # However the bytes come in.
    flow = [Chunk(data[i : i + chunk], None, i) for i in range(0, len(data), chunk)]
    items = list(RowScanner(flow, lambda: None, 10_000, first=True))
    assert [getattr(i, "key", 0) for i in items] == [data.index(r) for r in ROWS]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_accounted_for(data: st.DataObject) -> None:
    sound = b"<posts>\n" + b"\n".join(ROWS) + b"\n</posts>"
    raw = bytearray(sound)
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    read(bytes(raw))  # checks that each record has one outcome


def test_archives_are_read_for_their_posts_only() -> None:
    data = posts_xml([question(1), answer(2, 1)])
    other = posts_xml([row(Id=5, PostTypeId=1, Score=1)])
    archive = seven_zip({"Badges.xml": other, "Posts.xml": data, "PostHistory.xml": other})
    found = read(archive, "d/x.example.com.7z")
    assert ids(found) == [1, 2]
    assert isinstance(found[0], Post)
    assert (found[0].site, found[0].origin) == (
        "x.example.com", f"d/x.example.com.7z#0+{data.index(b'<row')}",
    )  # fmt: skip
    assert read(archive, "d/x.example.com.7z", start=5) == []


def test_other_packings() -> None:
    data = posts_xml([question(1), answer(2, 1)])
    half = len(data) // 2
    streams = bz2.compress(data[:half]) + bz2.compress(data[half:])
    assert ids(read(streams, "x.example.com/Posts.xml.bz2")) == [1, 2]
    assert ids(read(gzip.compress(data), "x.example.com/Posts.xml.gz")) == [1, 2]


def test_damaged_archives_are_bad_records() -> None:
    archive = seven_zip({"Posts.xml": posts_xml([question(n) for n in range(1, 400)])})
    assert "7z" not in ids(read(archive, "a.7z"))
    assert ids(read(archive[:-20], "a.7z")) == ["compression"]
    assert ids(read(b"not an archive", "a.7z")) == ["compression"]
    assert ids(read(seven_zip({"Users.xml": b"<users/>"}), "a.7z")) == ["not_a_dump"]
    flipped = bytearray(archive)
    flipped[len(archive) // 2] ^= 0xFF
    assert any(isinstance(o, Bad) for o in read(bytes(flipped), "a.7z"))


def test_names_in_an_archive_are_never_paths(tmp_path: object) -> None:
    data = posts_xml([question(1)])
    archive = seven_zip({"AAAAAAPosts.xml": data}).replace(
        "AAAAAAPosts.xml".encode("utf-16-le"), "../../Posts.xml".encode("utf-16-le")
    )
    # The checksum of the changed header is wrong, or the name is refused: bad, never written.
    assert all(isinstance(o, Bad) for o in read(archive, "a.7z"))


# -- what a row says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("created", "version"),
    [
        ("2008-07-31T21:42:52.667", "2.5"),
        ("2011-04-07T23:59:59.997", "2.5"),
        ("2011-04-08T00:00:00.000", "3.0"),
        ("2018-05-01T23:59:59.997", "3.0"),
        ("2018-05-02T00:00:00.000", "4.0"),
    ],
)
def test_licence_by_the_day_of_contribution(created: str, version: str) -> None:
    assert license_of(utc(created)) == f"CC BY-SA {version}"


def test_the_licence_that_a_row_states_goes_before_the_date() -> None:
    given = {"Id": "1", "PostTypeId": "1", "Score": "0", "CreationDate": "2010-01-01T00:00:00"}
    assert post_of({**given, "ContentLicense": "CC BY-SA 4.0"}, "s", "o").license == "CC BY-SA 4.0"
    assert post_of({**given, "ContentLicense": "other"}, "s", "o").license == "CC BY-SA 2.5"
    assert post_of({**given, "CreationDate": "never"}, "s", "o").license == "CC BY-SA"


def test_tags_of_older_and_newer_dumps() -> None:
    assert tags("<c#><.net>") == tags("|c#|.net|") == ("c#", ".net")
    assert tags("") == ()


@pytest.mark.parametrize(
    ("path", "site"),
    [
        ("/d/math.stackexchange.com.7z", "math.stackexchange.com"),
        ("/d/stackoverflow.com-Posts.7z", "stackoverflow.com"),
        ("stackoverflow.com-Users.7z", None),
        ("stackoverflow.com-PostHistory.7z", None),
        ("/d/My-Site.example.7z", "my-site.example"),
        ("gs://b/se/Ru.stackoverflow.com/Posts.xml", "ru.stackoverflow.com"),
        ("/d/stackoverflow.com-Posts/Posts.xml", "stackoverflow.com"),
        ("/d/a.b.com.7z/posts.XML.gz", "a.b.com"),
        ("/d/a.b.com/Users.xml", None),
        ("Posts.xml", ""),
        ("readme.txt", None),
    ],
)
def test_the_site_of_a_file(path: str, site: str | None) -> None:
    assert site_of(path) == site


def test_only_host_names_have_addresses() -> None:
    assert address("mathoverflow.net", "questions", 5) == "https://mathoverflow.net/questions/5"
    assert address("someone.ab0b", "questions", 5) is None
    assert address("no host", "a", 5) is None


def test_settings_refuse_what_cannot_work() -> None:
    with pytest.raises(ValueError, match=r"needs \{body\}"):
        StackExchangeSettings(answer_template="A:")
    with pytest.raises(ValueError, match=r"no field \{score\}"):
        StackExchangeSettings(question_template="{body} {score}")
    assert StackExchangeSettings(sites=["A.com", "a.com"]).sites == ("a.com",)
    assert StackExchangeSettings(sites={"A.com": 5}).sites == {"a.com": 5}
