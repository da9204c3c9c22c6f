"""Documents are held out by cluster: no copy of a held-out document is trained on."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import held_out
from stages.documents import PartWriter
from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import InputError, Step
from stages.held_out import (
    HeldOutRule,
    _normalised_by_lines,
    _normalised_bytes,
    normalised,
    text_key,
)
from stages.outcomes import Document
from tokenizer.manifest import HeldOut, TokensManifest
from tokenizer.sample import hash64
from tokenizer.train import TokenizerSettings, train_tokenizer

CLUSTERS = pa.field("cluster", pa.string())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    lines = [f"the garden number {i} of the town has {i * 7} trees" for i in range(200)]
    train_tokenizer(lines, path, TokenizerSettings(vocab_size=320))
    return path


def tokens(folder: Path, model: Path, **settings: object) -> Manifest:
    step = Step(
        name="tokens",
        stage="tokens",
        output=str(folder / "tokens"),
        inputs={"input": [str(folder / "c4"), str(folder / "books")], "tokenizer": [str(model)]},
        settings={"valid_share": 0.4, **settings},
    )
    return run_step(step).manifest


def write(folder: Path, source: str, rows: list[tuple[str, str, str | None]]) -> None:
    with PartWriter(str(folder / source), "part-00000-of-00001.parquet", "s", [CLUSTERS]) as out:
        for name, text, cluster in rows:
            out.outcome(Document(name, text, source, f"f#{name}", extra={"cluster": cluster}))


def splits(folder: Path) -> dict[str, str]:
    found = {}
    for shard in TokensManifest.load(folder / "tokens").shards:
        path = folder / "tokens" / shard.path.replace(".bin", ".docs.parquet")
        for name in pq.read_table(path)["id"].to_pylist():
            found[name] = shard.split
    return found


def text(i: int) -> str:
    return f"The garden number {i}\nof the town has {i * 3} trees"


def test_copies_never_straddle_whatever_source_they_came_by(tmp_path: Path, model: Path) -> None:
    write(tmp_path, "c4", [(f"a{i}", text(i), None) for i in range(60)])
    write(tmp_path, "books", [(f"b{i}", f"  {text(i).upper()}\n", None) for i in range(60)])
    done = tokens(tmp_path, model)
    found = splits(tmp_path)
    assert [found[f"a{i}"] for i in range(60)] == [found[f"b{i}"] for i in range(60)]
    assert set(found.values()) == {"train", "valid"}
    assert "0 documents by the column 'cluster', 120 by their normalised text" in str(
        done.extra["notes"]
    )
    assert TokensManifest.load(tmp_path / "tokens").held_out == HeldOut(
        by="cluster", share=0.4, seed=0
    )


def test_documents_that_a_column_names_alike_stay_together(tmp_path: Path, model: Path) -> None:
    write(tmp_path, "c4", [(f"a{i}", text(i), f"c{i // 4}") for i in range(60)])
    write(tmp_path, "books", [("b", text(0), None)])
    done = tokens(tmp_path, model)
    found = splits(tmp_path)
    groups = [{found[f"a{i}"] for i in range(60) if i // 4 == g} for g in range(15)]
    assert all(len(g) == 1 for g in groups) and {"train"} in groups and {"valid"} in groups
    assert "60 documents by the column 'cluster', 1 by" in str(done.extra["notes"])


def test_by_text_the_column_says_nothing_and_by_id_neither(tmp_path: Path, model: Path) -> None:
    write(tmp_path, "c4", [(f"a{i}", text(i // 2), "one") for i in range(60)])
    write(tmp_path, "books", [(f"b{i}", text(i), "one") for i in range(30)])
    tokens(tmp_path, model, held_out_by="text")
    found = splits(tmp_path)
    assert all(found[f"a{i}"] == found[f"b{i // 2}"] for i in range(60))
    assert set(found.values()) == {"train", "valid"}
    tokens(tmp_path, model, held_out_by="id")
    found = splits(tmp_path)
    assert any(found[f"a{i}"] != found[f"a{i + 1}"] for i in range(0, 60, 2))
    bound = int(0.4 * 2**64)
    assert all((hash64(0, n, "valid") < bound) == (s == "valid") for n, s in found.items())
    with pytest.raises(InputError, match="held_out_by"):
        tokens(tmp_path, model, held_out_by="luck")


@given(st.text(max_size=40), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_what_counts_as_the_same_text(content: str, seed: int) -> None:
    other = f" {content.upper().lower()}\n\n"
    rule = HeldOutRule("cluster", seed)
    if normalised(other) == normalised(content):
        assert rule.number("x", content) == rule.number("y", other)
    assert rule.number("x", content, "c") == rule.number("y", content + "z", "c")
    assert rule.number("x", content) == HeldOutRule("text", seed).number("x", content, "c")
    assert text_key(content) != text_key(content + "q")


def test_the_bound_is_exact() -> None:
    half = HeldOut(by="id", share=0.5, seed=0)
    assert half.bound == 1 << 63
    assert (half.split_of((1 << 63) - 1), half.split_of(1 << 63)) == ("valid", "train")
    assert HeldOut(by="id", share=0.0, seed=0).split_of(0) == "train"


def plainly(text: str) -> bytes:
    return normalised(text).encode("utf-8", "surrogatepass")


needs_compiled = pytest.mark.skipif(
    held_out.spaced is None, reason="stages._mapped_text was not built (no C compiler)"
)
WAYS = [
    pytest.param(_normalised_bytes, id="whole", marks=needs_compiled),
    pytest.param(_normalised_by_lines, id="lines"),
]
Way = Callable[[str], bytes]


@pytest.mark.parametrize("way", WAYS)
def test_every_white_space_is_one_space_in_the_fast_ways_too(way: Way) -> None:
    blanks = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    assert len(blanks) > 25
    for blank in blanks:
        for text in (blank, f"a{blank}b", f"{blank}a {blank}\n{blank}B{blank}", f"\xe9{blank}\xdf"):
            assert way(text) == plainly(text), hex(ord(blank))


CHARACTERS = st.one_of(
    st.characters(),
    st.sampled_from(" \n\t\x85\u2028\xa0aA\u0301\ufb01\ufdfa\u1100\u1161\u11a8\uff76\uff9e\u0323"),
)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=200, deadline=None)
@given(st.text(CHARACTERS, max_size=40))
def test_the_fast_ways_normalise_as_the_plain_one(way: Way, text: str) -> None:
    assert way(text) == plainly(text)


@needs_compiled
def test_every_character_is_normalised_beside_others_as_in_the_plain_way() -> None:
    """Behind a letter that marks are composed with, and behind its like."""
    table = held_out._characters().arrays()
    joining = 0
    for code in range(0x110000):
        for text in (f"a{chr(code)}", f"{chr(code)}{chr(code)}"):
            done = held_out.spaced(text, *table)
            joining += done is None
            assert done is None or done == plainly(text), hex(code)
    assert 0 < joining < 2 * 1500


@needs_compiled
def test_no_two_characters_that_are_composed_are_taken_one_by_one() -> None:
    table = held_out._characters().arrays()
    composed = {unicodedata.normalize("NFD", chr(code)) for code in range(0x20000)}
    pairs = [
        text for text in composed if len(text) > 1 and text != unicodedata.normalize("NFC", text)
    ]
    assert len(pairs) > 10_000  # Hangul among them.
    assert all(held_out.spaced(text, *table) is None for text in pairs)


@needs_compiled
def test_compiled_code_refuses_what_is_no_table_and_no_text() -> None:
    table, bounds, pool = held_out._characters().arrays()
    with pytest.raises(ValueError, match="no sound table"):
        held_out.spaced("a", table[:-1].copy(), bounds, pool)
    wrong = table.copy()
    wrong[97] = 0x110001 + len(bounds) - 1
    with pytest.raises(ValueError, match="no sound table"):
        held_out.spaced("a", wrong, bounds, pool)
    wrong[97] = 0x110001
    backwards = bounds.copy()
    backwards[0] = backwards[1] + 1
    with pytest.raises(ValueError, match="no sound table"):
        held_out.spaced("a", wrong, backwards, pool)
    with pytest.raises(TypeError):
        held_out.spaced(b"a", table, bounds, pool)  # type: ignore[arg-type]


@needs_compiled
def test_a_text_that_grows_much() -> None:
    text = "\ufdfa" * 5000 + "\U0001d400" * 3  # 18 characters each
    assert _normalised_bytes(text) == plainly(text)
