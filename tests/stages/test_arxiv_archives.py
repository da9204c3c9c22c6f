"""Bulk tars and submissions: what is read, rejected, bad; hostile archives; units; real papers."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.arxiv import FAULTS, REASONS, ArxivReader
from stages.arxiv.encoding import decode
from stages.arxiv.identifiers import identify
from stages.arxiv.submission import clean_name
from stages.arxiv.tar import Member, SeekableInput, split, walk
from stages.outcomes import Bad, Document, Rejected, SourceReader, Tally
from stages.registry import create
from tests.data_paths import SHARED_DATA, needs_shared_data
from tests.stages import helpers
from tests.stages.arxiv_papers import latex, outcome, read, submission, tar_of, verdicts

ARXIV = SHARED_DATA / "arxiv"


def test_a_document_has_all_fields() -> None:
    reader: SourceReader = ArxivReader()
    data = tar_of([("1904", b""), ("1904/1904.00007v2.gz", submission(latex("Words.")))][1:])
    (document,) = reader(io.BytesIO(data), "s3://b/arXiv_src_1904_001.tar", Tally())
    assert document == Document(
        id="arxiv/1904.00007",
        text="\\section{One}\nWords.",
        source="arxiv",
        origin="s3://b/arXiv_src_1904_001.tar#0",
        url="https://arxiv.org/abs/1904.00007",
        title="A Title",
        created="2019-04-01T00:00:00Z",
        meta={
            "member": "1904/1904.00007v2.gz",
            "main": "paper.tex",
            "files": 1,
            "encodings": ["ascii"],
            "macro_calls": 0,
            "front_chars": document.meta["front_chars"],  # type: ignore[index,union-attr]
            "bibliography_chars": 0,
            "sections": True,
            "version": "v2",
        },
    )


@pytest.mark.parametrize(
    ("member", "name", "created"),
    [
        ("1904/1904.00001.gz", "1904.00001", "2019-04-01T00:00:00Z"),
        ("0704/0704.0001.pdf", "0704.0001", "2007-04-01T00:00:00Z"),
        ("9901/hep-th9901001.gz", "hep-th/9901001", "1999-01-01T00:00:00Z"),
        ("0212/math0212345.gz", "math/0212345", "2002-12-01T00:00:00Z"),
        ("9107/astro-ph9107001.tar.gz", "astro-ph/9107001", "1991-07-01T00:00:00Z"),
        ("x/1913.00001.gz", None, None),  # there is no thirteenth month
        ("x/readme.gz", None, None),
    ],
)
def test_identifiers(member: str, name: str | None, created: str | None) -> None:
    found = identify(member)
    assert (found.name, found.created) == (name, created)
    assert found.url == (f"https://arxiv.org/abs/{name}" if name else None)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"%PDF-1.4\n", "pdf_only"),
        ("a.gz", submission(b"%PDF-1.4\n..."), "pdf_only"),
        ("a.gz", submission({"a.pdf": b"%PDF-1.4\n", "b.txt": b"see the PDF"}), "pdf_only"),
        ("a.gz", submission(b"%!PS-Adobe-2.0\n"), "postscript_only"),
        ("a.gz", submission({"a.ps": b"%!PS-Adobe-2.0\n"}), "postscript_only"),
        ("a.gz", submission(b""), "withdrawn"),
        ("a.gz", submission(b"\n \n"), "withdrawn"),
        ("a.gz", submission(b"\n" * 5000), "withdrawn"),
        (
            "a.gz",
            submission("\\documentclass{a}\\begin{document}It has been withdrawn.\\end{document}"),
            "withdrawn",
        ),
        ("a.gz", submission("%auto-ignore\n\\documentclass{article}"), "withdrawn"),
        ("a.gz", submission({"x.tex": "%auto-ignore\nno"}), "withdrawn"),
        ("a.gz", submission("<!DOCTYPE html><html>"), "no_tex"),
        ("a.gz", submission({"data.csv": b"1,2\n"}), "no_tex"),
        ("a.gz", submission(bytes(range(256)) * 4), "no_tex"),
        ("a.gz", submission(b"\\section{x}" + b"y" * 9000), "too_large"),
        ("a.gz", submission({"a.tex": b"\\section{x}" + b"y" * 9000}), "too_large"),
        ("a.gz", submission("\\documentclass{a}\\begin{document}\\end{document}"), "empty"),
    ],
)
def test_what_is_no_paper(name: str, data: bytes, reason: str) -> None:
    found = outcome(data, name, max_file_bytes=8192)
    assert isinstance(found, Rejected) and found.reason == reason
    assert reason in REASONS


def test_a_paper_behind_many_blank_lines_is_read() -> None:
    found = outcome(submission("\n" * 5000 + latex("Words.")))
    assert isinstance(found, Document) and found.text.endswith("Words.")


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


_MAIN = ("main.tex", latex("Words.").encode())
_SPARSE = tarfile.TarInfo("s.tex")
_SPARSE.type = tarfile.GNUTYPE_SPARSE


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (submission(b"\\section{a}" + b"\0" * 10**6), "bomb"),
        (submission(b"\0" * 10**6), "bomb"),
        (gzip.compress(tar_of([_MAIN, ("fig.eps", bytes(10**6))])), "bomb"),
        (gzip.compress(tar_of([_MAIN, ("../main.tex", b"x")])), "traversal"),
        (gzip.compress(tar_of([_MAIN, ("a/../../b.tex", b"x")])), "traversal"),
        (gzip.compress(tar_of([_MAIN, ("/etc/b.tex", b"x")])), "traversal"),
        (gzip.compress(tar_of([_MAIN, ("C:\\b.tex", b"x")])), "traversal"),
        (gzip.compress(tar_of([_MAIN, _link("b.tex", "/etc/passwd")])), "link"),
        (gzip.compress(tar_of([_MAIN, _link("a/b.tex", "../../etc/passwd")])), "link"),
        (gzip.compress(tar_of([_MAIN, _link("b.tex", "../x", tarfile.LNKTYPE)])), "link"),
        (gzip.compress(tar_of([_MAIN, _link("b.tex", "", tarfile.FIFOTYPE)])), "special"),
        (gzip.compress(tar_of([_MAIN, _link("b.tex", "", tarfile.CHRTYPE)])), "special"),
        (gzip.compress(tar_of([(_SPARSE, b""), _MAIN])), "special"),
        (gzip.compress(tar_of((f"f{i}.tex", b"") for i in range(200))), "members"),
        (submission({"inner.tar": tar_of([_MAIN])}), "nested"),
        (submission({"inner.zip": b"PK\x03\x04"}), "nested"),
        (submission(latex("Words."))[:-9], "gzip"),
        (submission(latex("Words."))[:-8] + b"\0" * 8, "gzip"),
        (submission(latex("W"))[:20] + b"\xff" * 20, "gzip"),
        (gzip.compress(tar_of([_MAIN])[:600]), "truncated"),
        (gzip.compress(tar_of([_MAIN])[:1024] + b"x" * 512), "tar"),
        (submission(latex("\\a", "\\def\\a{\\a\\a}")), "macro_bomb"),
    ],
)
def test_hostile_and_damaged_submissions(data: bytes, fault: str) -> None:
    found = read(
        tar_of([("1904/1904.00001.gz", data), ("1904/1904.00002.gz", submission(latex("Next.")))]),
        max_unpacked_bytes=500_000,
        max_members=100,
    )
    assert verdicts(found) == [fault, "arxiv/1904.00002"]
    assert isinstance(found[0], Bad) and found[0].offset == 0
    assert fault in FAULTS


def test_links_inside_a_submission_are_other_names() -> None:
    data = gzip.compress(
        tar_of(
            [
                ("main.tex", latex("\\input{a}\\input{b}").encode()),
                _link("a.tex", "parts/x.tex"),
                _link("b.tex", "parts/x.tex", tarfile.LNKTYPE),
                ("parts/x.tex", b"x"),
            ]
        )
    )
    found = outcome(data)
    assert isinstance(found, Document) and found.text.endswith("xx")


def test_long_and_odd_names() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        deep = "d" * 90 + "/" + "é" * 60 + "/" + "x" * 120 + ".tex"
        inner = tar_of([(deep, latex("Words.").encode())], format=form)
        found = outcome(gzip.compress(inner), "1904/" + "n" * 200 + ".gz")
        assert isinstance(found, Document) and found.meta is not None
        assert found.meta["main"] == deep


def test_a_huge_extension_header_is_not_read() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 10**9
    found = outcome(gzip.compress(info.tobuf() + bytes(1024)))
    assert isinstance(found, Bad) and "extension header of 1000000000 bytes" in found.error


def test_names_are_cleaned() -> None:
    assert clean_name("./a//b/./c.tex") == "a/b/c.tex"
    assert clean_name("a/../b.tex") == "b.tex"
    assert clean_name("a/../../b.tex") is None


# -- bulk tars -------------------------------------------------------------------------------------


def _bulk(n: int = 6) -> bytes:
    return tar_of(
        [(f"1904/1904.{i:05}.gz", submission(latex(f"Words {i}. " * 50 * i))) for i in range(n)]
    )


def test_every_split_reads_the_same() -> None:
    data = _bulk()
    whole = read(data)
    assert len(whole) == 6
    for target in (1, 1500, 4000, 10**9):
        ranges = split(io.BytesIO(data), len(data), target)
        assert ranges[0][0] == 0 and ranges[-1][1] == len(data)
        assert [a for a, _ in ranges[1:]] == [b for _, b in ranges[:-1]]
        parts = [o for start, end in ranges for o in read(data, start=start, end=end)]
        assert parts == whole
    assert len(split(io.BytesIO(data), len(data), 1)) == 6


def test_a_damaged_tar_is_read_on() -> None:
    data = bytearray(_bulk(4))
    found = list(walk(SeekableInput(io.BytesIO(bytes(data)))))
    second = found[1][0]
    assert isinstance(second, Member)
    data[second.offset : second.offset + 512] = b"\xaa" * 512
    assert verdicts(read(bytes(data))) == ["arxiv/1904.00000", "tar", *_ids(2, 3)]
    assert [o.offset for o in read(bytes(data)) if isinstance(o, Bad)] == [second.offset]
    cut = _bulk(4)[: second.offset + 512 + 50]
    assert verdicts(read(cut)) == ["arxiv/1904.00000", "truncated"]
    assert verdicts(read(cut[: second.offset + 100])) == ["arxiv/1904.00000", "truncated"]


def _ids(*numbers: int) -> list[str]:
    return [f"arxiv/1904.{i:05}" for i in numbers]


def test_other_members_and_files() -> None:
    folder = tarfile.TarInfo("1904")
    folder.type = tarfile.DIRTYPE
    assert verdicts(read(tar_of([(folder, b""), _link("1904/a.gz", "b")]))) == ["folder", "symlink"]
    assert verdicts(read(b"a\tb\n", "arXiv.index.tsv")) == ["other file"]
    assert verdicts(read(submission(latex("x")), "in/1904.00009.gz")) == _ids(9)
    assert verdicts(read(latex("x").encode(), "in/1904.00009.tex")) == _ids(9)
    assert verdicts(read(b"%PDF-1.5", "in/1904.00009.pdf")) == ["pdf_only"]
    assert verdicts(read(b"", "arXiv_src_1904_001.tar")) == ["tar"]
    assert verdicts(read(b"nonsense" * 100, "arXiv_src_1904_001.tar")) == ["tar"]
    assert verdicts(read(_bulk(2) + _bulk(3))) == _ids(0, 1, 0, 1, 2)  # joined tars
    large = tar_of([("1904/1904.00001.gz", bytes(5000)), ("1904/1904.00002.pdf", b"%PDF-")])
    assert verdicts(read(large, max_member_bytes=4096)) == ["too_large", "pdf_only"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_crash_the_reader(data: st.DataObject) -> None:
    raw = bytearray(tar_of([("a.gz", submission({"main.tex": latex("x")})), ("b.pdf", b"%PDF-")]))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(raw)))
    for outcome_ in read(bytes(raw[:end])):
        assert not isinstance(outcome_, Bad) or outcome_.error.partition(":")[0] in FAULTS
        assert not isinstance(outcome_, Bad) or not outcome_.error.startswith("internal")


# -- encodings -------------------------------------------------------------------------------------


def test_encodings() -> None:
    assert decode("é\r\na\rb".encode()) == ("é\na\nb", "utf-8")
    assert decode(b"plain") == ("plain", "ascii")
    assert decode("„é“".encode("cp1252")) == ("„é“", "cp1252")
    assert decode(b"% -*- coding: koi8-r -*-\n" + "Да".encode("koi8-r"))[0].endswith("Да")
    assert decode("Ő".encode("iso8859-2"), "iso8859-2") == ("Ő", "iso8859-2")
    mixed = "viele Umlaute: äöüß".encode() + b" und \xe4"
    assert decode(mixed) == ("viele Umlaute: äöüß und ä", "utf-8+cp1252")
    assert decode("Größe é\rb\r".encode("mac_roman")) == ("Größe é\nb\n", "mac_roman")
    assert decode("Größe é\r\n".encode("cp1252")) == ("Größe é\n", "cp1252")
    assert decode(b"a\x00\x81\xe9")[0] == "aé"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_to_storable_text(data: bytes) -> None:
    text, _ = decode(data)
    assert "\r" not in text and "\0" not in text
    text.encode()


# -- the stage -------------------------------------------------------------------------------------


def test_the_stage_cuts_tars_at_members_only(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/arXiv_src_1904_001.tar").write_bytes(_bulk())
    (tmp_path / "raw/index.tsv").write_bytes(b"1904.00001\tx\n" * 1000)
    step = helpers.toy_step(tmp_path, "arxiv", inputs={"input": [str(tmp_path / "raw")]})
    whole = create(step).units()
    assert len(whole) == 1
    step = helpers.toy_step(
        tmp_path,
        "arxiv",
        inputs={"input": [str(tmp_path / "raw")]},
        layout={"split_bytes": 1, "bundle_bytes": 0},
    )
    pieces = [p for unit in create(step).units() for p in unit.pieces]
    tar = [p for p in pieces if p.path.endswith(".tar")]
    assert len(tar) == 6 and tar[-1].end is None and len(pieces) == 7


@needs_shared_data
def test_real_papers() -> None:
    found = [
        o
        for path in sorted(ARXIV.glob("*.tar"))
        for o in ArxivReader()(io.BytesIO(path.read_bytes()), str(path), Tally())
    ]
    kinds = Counter(type(o).__name__ for o in found)
    assert kinds == {"Document": 41, "Rejected": 2}
    for document in found:
        if isinstance(document, Document):
            assert document.text and "\\end{document}" not in document.text
