from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import ledger
from tokenizer.ledger import Ledger, MixtureChange, Quarantine
from tokenizer.manifest import TokensManifest
from tokenizer.order import DataOrder, Slot

from .conftest import write_corpus

T = 8
WEIGHTS = {"a": 0.5, "b": 0.3, "c": 0.2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    write_corpus(folder, {"a": [[300]], "b": [[200]], "c": [[100]]}, WEIGHTS)
    return folder


def order(root: Path, *changes: tuple[int, dict[str, float]], seed: int = 1) -> DataOrder:
    entries = [MixtureChange(from_sequence=at, weights=w) for at, w in changes]
    return DataOrder(TokensManifest.load(root), root, seq_len=T, seed=seed, changes=entries)


def ranks(made: DataOrder, n: int) -> dict[str, list[tuple[int, int]]]:
    """(epoch, window) of each source's sequences, in the order of the run."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for g in range(n):
        source, epoch, window = made.slot(g)
        found[source].append((epoch, window))
    return found


def test_what_came_before_a_change_stays(root: Path) -> None:
    plain = order(root)
    for at in (1, 7, 10, 123):
        changed = order(root, (at, {"a": 1, "b": 8, "c": 1}))
        assert [changed.slot(g) for g in range(at)] == [plain.slot(g) for g in range(at)]
        assert [changed.slot(g) for g in range(at, at + 40)] != [
            plain.slot(g) for g in range(at, at + 40)
        ]


def test_megatron_lm_457_a_new_mixture_repeats_and_loses_nothing(root: Path) -> None:
    """The whole first epochs are seen, each window once, though the mixture changed inside."""
    made = order(root, (17, {"a": 1, "b": 8, "c": 1}), (53, WEIGHTS), (54, {"a": 1, "b": 1}))
    seen = [made.slot(g) for g in range(3000)]
    assert len(set(seen)) == len(seen)
    for source in "ab":
        epochs = Counter(slot.epoch for slot in seen if slot.source == source)
        assert len(epochs) > 10
        for epoch in sorted(epochs)[:-2]:
            assert epochs[epoch] == made.windows[source]


def test_the_new_shares_hold_exactly_from_the_change_on(root: Path) -> None:
    made = order(root, (23, {"a": 1, "b": 8, "c": 1}))
    for block in range(20):
        sources = Counter(made.slot(23 + block * 10 + i).source for i in range(10))
        assert sources == {"a": 1, "b": 8, "c": 1}


def test_a_source_that_leaves_and_comes_back_goes_on_where_it_was(root: Path) -> None:
    made = order(root, (30, {"a": 1, "b": 1}), (130, {"c": 1}))
    alone = DataOrder(TokensManifest.load(root), root, seq_len=T, seed=1, weights={"c": 1})
    before = [made.slot(g) for g in range(30) if made.slot(g).source == "c"]
    assert all(made.slot(g).source != "c" for g in range(30, 130))
    after = [made.slot(g) for g in range(130, 150)]
    assert set(before + after) == {alone.slot(g) for g in range(len(before) + 20)}


changes = st.lists(
    st.tuples(
        st.integers(1, 90),
        st.fixed_dictionaries({n: st.sampled_from([0, 1, 2, 7]) for n in "abc"}).filter(
            lambda w: any(w.values())
        ),
    ),
    max_size=6,
    unique_by=lambda c: c[0],
)


@settings(max_examples=80, deadline=None)
@given(changes, st.integers(0, 5))
def test_any_changes(
    root: Path, given_changes: list[tuple[int, dict[str, float]]], seed: int
) -> None:
    made = order(root, *sorted(given_changes, key=lambda c: c[0]), seed=seed)
    seen = [made.slot(g) for g in range(300)]
    assert len(set(seen)) == len(seen)
    for g in (*range(0, 300, 7), 10**9):
        assert made.inverse(made.slot(g)) == g
    # An epoch is used up before the next but one is touched.
    for source in "abc":
        epochs = Counter(slot.epoch for slot in seen if slot.source == source)
        if epochs:
            for epoch in range(max(epochs) - 1):
                assert epochs[epoch] == made.windows[source]
    many = made.slots(range(300))
    assert [Slot(made.names[s], int(e), int(w)) for s, e, w in zip(*many, strict=True)] == seen
    used = Counter(slot.source for slot in seen)
    for source, epochs_seen in made.epochs_after(300).items():
        assert abs(epochs_seen * made.windows[source] - used[source]) < 10 * (
            len(given_changes) + 1
        )


def test_a_window_that_never_comes_is_said_so(root: Path) -> None:
    made = order(root, (10, {"a": 1}))
    drawn = {made.slot(g).window for g in range(10) if made.slot(g).source == "c"}
    never = next(w for w in range(made.windows["c"]) if w not in drawn)
    with pytest.raises(ValueError, match=f"c: window {never} of epoch 0 never comes"):
        made.inverse(Slot("c", 0, never))


def test_changes_must_rise(root: Path) -> None:
    with pytest.raises(ValueError, match="rising"):
        order(root, (10, {"a": 1}), (10, {"b": 1}))
    with pytest.raises(ValueError, match="rising"):
        Ledger(
            mixture=(
                MixtureChange(from_sequence=5, weights={"a": 1}),
                MixtureChange(from_sequence=4, weights={"a": 1}),
            )
        )


def test_quarantine() -> None:
    made = Ledger()
    assert not made.quarantined(range(5)).any()
    for first, last in ((10, 12), (11, 20), (30, 30), (5, 6)):
        made = made.with_quarantine(Quarantine(first=first, last=last, reason="spike"))
    numbers = np.arange(40)
    expected = ((numbers >= 10) & (numbers <= 20)) | (numbers == 30) | np.isin(numbers, [5, 6])
    assert np.array_equal(made.quarantined(numbers), expected)
    assert made.with_quarantine(made.quarantine[0]) == made
    with pytest.raises(ValueError, match="empty"):
        Quarantine(first=3, last=2)


def test_what_a_checkpoint_is_compared_by() -> None:
    """Reasons, joined entries and what lies ahead make no difference; the past does."""
    one = Ledger(
        mixture=(MixtureChange(from_sequence=50, weights={"a": 1}, reason="x"),),
        quarantine=(Quarantine(first=10, last=19, reason="y"),),
    )
    same = Ledger(
        mixture=(
            MixtureChange(from_sequence=50, weights={"a": 1}),
            MixtureChange(from_sequence=100, weights={"b": 1}),
        ),
        quarantine=(
            Quarantine(first=10, last=14),
            Quarantine(first=15, last=19),
            Quarantine(first=100, last=200),
        ),
    )
    assert one.before(100) == same.before(100) != one.before(50)
    assert one.before(101) != same.before(101)
    assert one.before(0) == Ledger()


def test_ledger_files(tmp_path: Path) -> None:
    made = Ledger(quarantine=(Quarantine(first=1, last=2),))
    made.save(tmp_path / "x" / ledger.FILE_NAME)
    assert ledger.load(tmp_path / "x" / ledger.FILE_NAME) == made
    with pytest.raises(ValueError, match="no such ledger"):
        ledger.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"mixture": [{"from_sequence": 0, "weights": {}}]}')
    with pytest.raises(ValueError, match=r"bad\.json: mixture\.0\.from_sequence"):
        ledger.load(tmp_path / "bad.json")
