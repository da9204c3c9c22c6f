from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenizer.inputs import Text, expand, read_texts


def test_three_kinds_and_compression(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo ü", encoding="utf-8")
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as stream:
        stream.write(b'{"text": "three", "id": "x"}\n\n{"text": "fo\\nur"}\n')
    table = {"text": ["five", None, "six"], "id": ["p", "q", "r"], "other": [1, 2, 3]}
    pq.write_table(pa.table(table), tmp_path / "c.parquet")
    paths = expand([str(tmp_path / "*")])
    assert list(read_texts(paths)) == [
        Text("a.txt#0", "one"),
        Text("a.txt#1", ""),
        Text("a.txt#2", "two ü"),
        Text("x", "three"),
        Text("b.jsonl.gz#2", "fo\nur"),
        Text("p", "five"),
        Text("r", "six"),
    ]


def test_another_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["a"], "n": [1]}), tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    assert list(read_texts([path], "content")) == [Text("a.parquet#0", "a")]
    with pytest.raises(ValueError, match="no column 'text'; there are content, n"):
        list(read_texts([path]))
    with pytest.raises(ValueError, match="holds no strings"):
        list(read_texts([path], "n"))


def test_order_is_by_name(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(name)
    assert [t.text for t in read_texts(expand([str(tmp_path / "*.txt")]))] == ["a", "b", "c"]


def test_no_match(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        expand([str(tmp_path / "*.txt")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"ok\n\xff", "line 2 is not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text', "line 2 is no JSON"),
        ("a.jsonl", b'["a"]\n', "line 1 has no string under 'text'"),
        ("a.jsonl", b'{"text": 5}\n', "line 1 has no string under 'text'"),
        ("a.parquet", b"PAR1", r"a\.parquet: "),
        ("a.txt.gz", b"no gzip", r"a\.txt\.gz: "),
        ("a.txt.gz", gzip.compress(b"a" * 1000, mtime=0)[:20], r"a\.txt\.gz: "),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        list(read_texts([str(tmp_path / name)]))
    assert "\n" not in str(caught.value)
