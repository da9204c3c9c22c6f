from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.manifest import Canary, Shard, TokensManifest, build
from tokenizer.order import ORDER_VERSION, DataOrder, Slot
from tokenizer.paper import PROPORTIONS
from tokenizer.permutation import key_of, keys_of, permute

from .conftest import VOCABULARY, write_corpus, write_shard

T = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources; `a` in three shards with one empty, windows cross from shard to shard."""
    folder = tmp_path_factory.mktemp("corpus")
    sources = {"a": [[30, 41], [], [3], [100, 0, 20]], "b": [[60], [35]], "c": [[50]]}
    write_corpus(folder, sources, {"a": 0.5, "b": 0.3, "c": 0.2})
    return folder


@pytest.fixture(scope="module")
def order(root: Path) -> DataOrder:
    return DataOrder(TokensManifest.load(root), root, seq_len=T, seed=1)


def stream(root: Path, source: str) -> list[int]:
    """A source's tokens, read with numpy alone."""
    shards = TokensManifest.load(root).select(source)
    parts = [np.fromfile(root / shard.path, dtype="<u2") for _, shard in shards]
    return np.concatenate(parts).tolist()


def test_windows_are_t_plus_1_tokens_at_stride_t(root: Path, order: DataOrder) -> None:
    tokens = {source: stream(root, source) for source in "abc"}
    assert len(tokens["a"]) == 200 and order.windows["a"] == (200 - 1) // T
    for g in range(80):
        source, _, window = order.slot(g)
        got = order.tokens(g)
        assert got.dtype == np.int64 and got.shape == (T + 1,)
        assert got.tolist() == tokens[source][window * T : window * T + T + 1]


def test_windows_cross_shards(order: DataOrder) -> None:
    crossing = [order.spans(g) for g in range(200) if len(order.spans(g)) > 1]
    assert crossing
    for spans in crossing:
        assert sum(span.n for span in spans) == T + 1
        for before, after in pairwise(spans):
            shard = order.manifest.shards[before.shard_index]
            assert before.token_offset + before.n == shard.tokens and after.token_offset == 0


def test_every_label_once_an_epoch_and_the_tail_counted(root: Path, order: DataOrder) -> None:
    for source in "abc":
        total = len(stream(root, source))
        labels = order.windows[source] * T
        assert labels + 1 + order.dropped_tokens[source] == total
        assert 0 <= order.dropped_tokens[source] < T


def test_tinyllama_83_no_padding(root: Path, order: DataOrder) -> None:
    for source in "abc":
        last = order.inverse(Slot(source, 0, order.windows[source] - 1))
        end = order.windows[source] * T + 1
        assert order.tokens(last).tolist() == stream(root, source)[end - T - 1 : end]


def test_every_window_once_an_epoch(order: DataOrder) -> None:
    slots = [order.slot(g) for g in range(1200)]
    assert len(set(slots)) == len(slots)
    seen = defaultdict(set)
    for source, epoch, window in slots:
        seen[source, epoch].add(window)
    for source, epochs in order.epochs_after(1200).items():
        assert int(epochs) > 2
        for epoch in range(int(epochs)):
            assert seen[source, epoch] == set(range(order.windows[source]))


def test_nanotron_237_epochs_have_their_own_order(order: DataOrder) -> None:
    windows = defaultdict(list)
    for g in range(1200):
        source, epoch, window = order.slot(g)
        windows[source, epoch].append(window)
    for source in "abc":
        assert windows[source, 0] != windows[source, 1] != windows[source, 2]
        assert windows[source, 0] != sorted(windows[source, 0])


def test_megatron_energon_266_sources_have_their_own_order(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"x": [[400]], "y": [[400]]})
    order = DataOrder(manifest, tmp_path, seq_len=T, seed=1)
    found: dict[str, list[int]] = {"x": [], "y": []}
    for g in range(60):
        found[order.slot(g).source].append(order.slot(g).window)
    assert found["x"] != found["y"]


def test_blocks_hold_the_weights_exactly(order: DataOrder) -> None:
    assert order.block == {"a": 5, "b": 3, "c": 2} and order.weights["b"] == 0.3
    arrangements = set()
    for block in range(40):
        sources = [order.slot(g).source for g in range(block * 10, block * 10 + 10)]
        assert Counter(sources) == {"a": 5, "b": 3, "c": 2}
        arrangements.add(tuple(sources))
    assert len(arrangements) > 30, "each block is mixed anew"


def test_the_papers_mixture(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {name: [[70]] for name in PROPORTIONS}, PROPORTIONS)
    order = DataOrder(manifest, tmp_path, seq_len=T, seed=0)
    assert order.block_size == 200
    names = list(order.block)
    sources, _, _ = order.slots(np.arange(2000))
    for block in range(10):
        counts = Counter(names[s] for s in sources[block * 200 : block * 200 + 200])
        assert counts == {
            "commoncrawl": 134,
            "c4": 30,
            "github": 9,
            "wikipedia": 9,
            "books": 9,
            "arxiv": 5,
            "stackexchange": 4,
        }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**15))
def test_inverse(order: DataOrder, g: int) -> None:
    assert order.inverse(order.slot(g)) == g


def test_many_at_once_are_as_one_by_one(order: DataOrder) -> None:
    numbers = [0, 7, 10**12, 3, 3, 999]
    sources, epochs, windows = order.slots(numbers)
    names = list(order.block)
    together = [
        Slot(names[s], int(e), int(w)) for s, e, w in zip(sources, epochs, windows, strict=True)
    ]
    assert together == [order.slot(g) for g in numbers]


def test_gpt_neox_984_nothing_else_enters(root: Path, order: DataOrder) -> None:
    """Not who asked before, not the order of sources in the file, not the process."""
    manifest = TokensManifest.load(root)
    shuffled = manifest.model_copy(
        update={"sources": dict(sorted(manifest.sources.items(), reverse=True))}
    )
    other = DataOrder(shuffled, str(root) + "/", seq_len=T, seed=1)
    copied = pickle.loads(pickle.dumps(order))
    for g in (500, 3, 10**9, 0):
        assert other.slot(g) == order.slot(g) == copied.slot(g)
        assert other.digest(g) == order.digest(g) == copied.digest(g)


def test_a_source_keeps_its_windows_when_others_come(root: Path, order: DataOrder) -> None:
    alone = DataOrder(
        TokensManifest.load(root), root, seq_len=T, seed=1, weights={"a": 1.0, "b": 0.0}
    )
    # 100 sequences of the mixture hold 50 of `a`: the same ones as the first 50 of `a` alone.
    mixed = {order.slot(g) for g in range(100) if order.slot(g).source == "a"}
    assert mixed == {alone.slot(g) for g in range(50)}


def test_seeds_give_other_orders(root: Path, order: DataOrder) -> None:
    other = DataOrder(TokensManifest.load(root), root, seq_len=T, seed=2)
    assert [other.slot(g) for g in range(50)] != [order.slot(g) for g in range(50)]


def paper_order(tokens: int, seq_len: int, seed: int) -> DataOrder:
    """An order over the paper's sources that is only asked for slots."""
    shards = [
        Shard(
            path=f"{name}/x.bin",
            split="train",
            source=name,
            tokens=tokens,
            documents=1,
            text_bytes=1,
            sha256="0" * 64,
        )
        for name in PROPORTIONS
    ]
    manifest = build(
        tokenizer_sha256="0" * 64,
        canary=Canary(text="", ids=()),
        vocab_size=VOCABULARY,
        proportions=PROPORTIONS,
        shards=shards,
    )
    return DataOrder(manifest, "/nowhere", seq_len=seq_len, seed=seed)


def test_against_the_definition_one_number_at_a_time() -> None:
    """Blocks of 200; place p of the block; rank of the source; epoch and window of the rank."""
    order, windows, seed = paper_order(10_001, 100, seed=3), 100, 3
    names = sorted(PROPORTIONS)
    counts = [5, 9, 30, 134, 9, 4, 9]
    assert list(order.block.items()) == list(zip(names, counts, strict=True))

    def key(base: int, number: int) -> np.ndarray:
        return keys_of(base, np.array([number]))

    for g in [*range(450), 10**9 + 1]:
        block, inside = divmod(g, 200)
        base = key_of(ORDER_VERSION, seed, "block")
        place = int(permute(np.array([inside]), 200, key(base, block))[0])
        source = 0
        while place >= counts[source]:
            place -= counts[source]
            source += 1
        epoch, rank = divmod(block * counts[source] + place, windows)
        base = key_of(ORDER_VERSION, seed, "source", names[source])
        window = int(permute(np.array([rank]), windows, key(base, epoch))[0])
        assert order.slot(g) == (names[source], epoch, window)


def test_the_order_never_changes_unnoticed() -> None:
    """If this fails, runs cannot be resumed: raise ORDER_VERSION, then take the new values."""
    order = paper_order(10_001, 100, seed=0)
    assert [tuple(order.slot(g)) for g in (0, 1, 2, 199, 200, 123_456_789)] == [
        ("commoncrawl", 0, 66),
        ("github", 0, 19),
        ("commoncrawl", 0, 61),
        ("c4", 0, 50),
        ("arxiv", 0, 37),
        ("c4", 185185, 0),
    ]


def test_digests(order: DataOrder) -> None:
    digests = [order.digest(g) for g in range(60)]
    assert len(set(digests)) == 60 and all(0 <= d < 1 << 64 for d in digests)
    assert order.digest(5) == DataOrder.digest_of(5, order.tokens(5))
    assert order.digest(5) != DataOrder.digest_of(6, order.tokens(5))


def test_batch(order: DataOrder) -> None:
    batch = order.batch(range(3, 7))
    assert batch.shape == (4, T + 1)
    assert np.array_equal(batch[2], order.tokens(5))


def test_which_documents_and_when_seen(order: DataOrder) -> None:
    for g in range(60):
        parts = order.documents(g)
        assert sum(part.length for _, part in parts) == T + 1
        for shard, part in parts:
            path = order.manifest.shards[shard].path
            assert part.id.startswith(path)
            window = order.slot(g).window
            assert window in order.windows_of(shard, part.start, part.length)
    exhaustive = {
        (slot.window, shard, part.id)
        for g in range(200)
        for slot in [order.slot(g)]
        for shard, part in order.documents(g)
    }
    for shard, entry in enumerate(order.manifest.shards):
        if entry.documents:
            for row in order._reader(shard).documents.to_pylist():
                windows = order.windows_of(shard, row["first_token"], row["length"])
                expected = {w for w, s, name in exhaustive if s == shard and name == row["id"]}
                assert set(windows) == expected


def test_a_source_without_a_window(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a": [[50]], "tiny": [[3]]})
    with pytest.raises(ValueError, match="'tiny' has a weight but only 4 train tokens"):
        DataOrder(manifest, tmp_path, seq_len=T, seed=0)
    order = DataOrder(manifest, tmp_path, seq_len=T, seed=0, weights={"a": 1, "tiny": 0})
    assert order.block == {"a": 1}
    with pytest.raises(ValueError, match="only 0 valid tokens"):
        DataOrder(manifest, tmp_path, seq_len=T, seed=0, split="valid")


def test_exactly_one_window(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a": [[T]]})
    order = DataOrder(manifest, tmp_path, seq_len=T, seed=0)
    assert order.windows == {"a": 1} and order.dropped_tokens == {"a": 0}
    assert [order.slot(g) for g in range(3)] == [Slot("a", e, 0) for e in range(3)]


def test_the_valid_split(tmp_path: Path) -> None:
    shards = [
        write_shard(tmp_path, "a/train-00000-of-00001.bin", [40]),
        write_shard(tmp_path, "a/valid-00000-of-00001.bin", [20]),
    ]
    manifest = build(
        tokenizer_sha256="0" * 64,
        canary=Canary(text="", ids=()),
        vocab_size=VOCABULARY,
        proportions={"a": 1.0},
        shards=shards,
    )
    order = DataOrder(manifest, tmp_path, seq_len=T, seed=0, split="valid")
    held_out = np.fromfile(tmp_path / shards[1].path, "<u2").tolist()
    assert order.windows == {"a": 2}
    for g in range(2):
        start = order.slot(g).window * T
        assert order.tokens(g).tolist() == held_out[start : start + T + 1]


def test_bad_arguments(root: Path, order: DataOrder) -> None:
    manifest = TokensManifest.load(root)
    with pytest.raises(ValueError, match="no source 'z' in the manifest, which has a, b, c"):
        DataOrder(manifest, root, seq_len=T, seed=0, weights={"z": 1.0})
    with pytest.raises(ValueError, match="seq_len 0"):
        DataOrder(manifest, root, seq_len=0, seed=0)
    with pytest.raises(ValueError, match="-1 is negative"):
        order.slot(-1)
    with pytest.raises(ValueError, match="-1 is negative"):
        order.slots([4, -1])
    for slot in (Slot("z", 0, 0), Slot("a", -1, 0), Slot("a", 0, 10**6)):
        with pytest.raises(ValueError, match="no "):
            order.inverse(slot)


def test_data_that_is_not_as_the_manifest_says(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a": [[50]]})
    path = tmp_path / manifest.shards[0].path
    content = bytearray(path.read_bytes())
    content[20:22] = (VOCABULARY).to_bytes(2, "little")
    path.write_bytes(content)
    order = DataOrder(manifest, tmp_path, seq_len=50, seed=0)
    with pytest.raises(ValueError, match=r"00001\.bin: id 1000 at token 10 is outside"):
        order.tokens(0)
    path.write_bytes(content[:-2])
    order = DataOrder(manifest, tmp_path, seq_len=50, seed=0)
    with pytest.raises(ValueError, match="50 tokens, but the manifest says 51"):
        order.tokens(0)


def test_megatron_795_start_up_builds_no_index(tmp_path: Path) -> None:
    """10,000 shards that are not even there: only the manifest is looked at."""
    shards = [
        Shard(
            path=f"a/train-{n:05d}-of-10000.bin",
            split="train",
            source="a",
            tokens=10**9,
            documents=10**6,
            text_bytes=4 * 10**9,
            sha256="0" * 64,
        )
        for n in range(10_000)
    ]
    manifest = build(
        tokenizer_sha256="0" * 64,
        canary=Canary(text="", ids=()),
        vocab_size=VOCABULARY,
        proportions={"a": 1.0},
        shards=shards,
    )
    order = DataOrder(manifest, tmp_path, seq_len=2048, seed=0)
    assert order.windows["a"] == (10**13 - 1) // 2048
    g = 10**9 + 7
    assert order.inverse(order.slot(g)) == g and sum(s.n for s in order.spans(g)) == 2049
