from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import names as module
from tokenizer.files import AtomicFile
from tokenizer.names import Names, hash_of


def write(url: str | Path, entries: list[tuple[int, int]]) -> Names:
    hashes, rows = zip(*entries, strict=True) if entries else ((), ())
    with AtomicFile(url) as stream:
        module.write(stream, np.array(hashes, np.uint64), np.array(rows, np.uint32))
    return Names(url)


def test_the_layout(tmp_path: Path) -> None:
    write(tmp_path / "n", [(7, 1), (2**64 - 1, 0), (7, 0)])
    content = (tmp_path / "n").read_bytes()
    assert np.frombuffer(content[:24], "<u8").tolist() == [7, 7, 2**64 - 1]
    assert np.frombuffer(content[24:], "<u4").tolist() == [0, 1, 0]


def test_every_name_is_found_at_a_few_rows(tmp_path: Path) -> None:
    known = write(tmp_path / "n", [(hash_of(f"n{i}"), i) for i in range(5000)])
    assert len(known) == 5000
    assert all(known.rows([f"n{i}"]) == [i] for i in range(5000))
    assert not any(known.rows([f"m{i}"]) for i in range(1000))
    assert known.rows(["n9", "n3", "m0", "n3"]) == [3, 9]


def test_remote_sidecars_are_read_in_part(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/n"
    known = write(url, [(hash_of(f"n{i}"), i) for i in range(5000)])
    assert known.rows(["n17"]) == [17] and known.rows(["other"]) == []
    with pytest.raises(ValueError, match="no such file"):
        Names(url + "x")


def test_an_empty_sidecar(tmp_path: Path) -> None:
    assert write(tmp_path / "n", []).rows(["a"]) == []


def test_a_name_that_many_share(tmp_path: Path) -> None:
    """More than the first look reaches to either side."""
    entries = [(hash_of("shared"), i) for i in range(3000)] + [(hash_of("own"), 3000)]
    known = write(tmp_path / "n", entries)
    assert known.rows(["shared"]) == list(range(3000)) and known.rows(["own"]) == [3000]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 40), st.integers(0, 9))))
def test_hashes_that_are_not_even_are_found_all_the_same(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[int, int]]
) -> None:
    known = write(tmp_path_factory.mktemp("names") / "n", entries)
    for wanted in {h for h, _ in entries} | {0, 1, 2**64 - 1}:
        assert sorted(known._rows(wanted)) == sorted(r for h, r in entries if h == wanted)


def test_a_damaged_sidecar(tmp_path: Path) -> None:
    (tmp_path / "n").write_bytes(b"\0" * 13)
    with pytest.raises(ValueError, match="13 bytes are no whole number of names"):
        Names(tmp_path / "n")
    with pytest.raises(ValueError, match="No such file"):
        Names(tmp_path / "missing")
