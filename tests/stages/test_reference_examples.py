"""Choosing what is trained on: no copies, no class that shows by length, tool or domain."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reference.evaluate import leaks, length_leak_before, untrained
from stages.reference.examples import (
    Pages,
    capped,
    choose,
    distinct,
    domain_scores,
    length_bin,
    matched,
    split_of,
)


def pages(n: int, **given: Any) -> Pages:
    """Pages that differ in all; `given` sets whole columns."""
    columns: dict[str, Any] = {
        "key": np.arange(n, dtype=np.uint64),
        "reference": np.arange(n) % 2 == 0,
        "url": np.arange(n, dtype=np.uint64),
        "content": np.arange(n, dtype=np.uint64),
        "chars": np.full(n, 1000),
        "domain": np.arange(n),
        "host": np.arange(n),
        "tool": np.zeros(n, np.int64),
        "language": np.zeros(n, np.int64),
        "split": np.zeros(n, np.int64),
    }
    return Pages(**{name: np.asarray(given.get(name, value)) for name, value in columns.items()})


def names(n: int) -> list[str]:
    return [f"host{i}.example" for i in range(n)]


def test_references_are_deduplicated_which_redpajama_meant_to_do() -> None:
    some = pages(
        4, content=np.array([1, 1, 1, 2], np.uint64), url=np.array([7, 8, 9, 9], np.uint64)
    )
    rows, left = distinct(some)
    # Page 0 stands for its text; page 3 shares its URL with page 2, which comes first.
    assert rows.tolist() == [0]
    assert left == {"same_url": 1, "same_text": 2}


def test_no_text_is_taught_as_both_classes() -> None:
    some = pages(
        2, key=np.array([1, 2], np.uint64), reference=[False, True], content=np.zeros(2, np.uint64)
    )
    rows, _ = distinct(some)
    assert rows.tolist() == [1]


def test_a_domain_gives_only_so_many_references_but_any_number_of_random_pages() -> None:
    some = pages(9, reference=[True] * 6 + [False] * 3, domain=[0] * 5 + [1] + [0] * 3)
    rows, over = capped(some, np.arange(9), 2)
    assert over == 3
    assert rows.tolist() == [0, 1, 5, 6, 7, 8]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(1, 5000),
            st.integers(0, 1),
            st.integers(0, 1),
            st.integers(0, 2),
        ),
        max_size=120,
    ),
    st.integers(1, 3),
)
def test_both_classes_have_the_same_shares_of_every_kind(
    given_: list[tuple[bool, int, int, int, int]], ratio: int
) -> None:
    columns = list(zip(*given_, strict=True)) or [(), (), (), (), ()]
    reference, chars, tool, language, split = (np.array(c, np.int64) for c in columns)
    some = pages(
        len(given_),
        reference=reference.astype(np.bool_),
        chars=chars,
        tool=tool,
        language=language,
        split=split,
    )
    rows, left = matched(some, np.arange(len(given_)), ratio)
    kinds: dict[Any, list[int]] = {}
    for row in rows.tolist():
        kind = (tool[row], language[row], split[row], int(length_bin(chars)[row]))
        kinds.setdefault(kind, [0, 0])[int(reference[row])] += 1
    assert all(others == ratio * references for others, references in kinds.values())
    assert len(rows) + sum(left.values()) == len(given_)


def test_length_tells_the_class_where_only_references_must_be_long_and_not_after_matching() -> None:
    """RedPajama asked for 1000 characters of references and none of random pages."""
    rng = np.random.default_rng(0)
    n = 4000
    reference = rng.random(n) < 0.5
    chars = np.where(reference, rng.integers(1000, 5000, n), rng.integers(50, 5000, n))
    some = pages(n, reference=reference, chars=chars, split=np.where(rng.random(n) < 0.5, 0, 2))
    before = length_leak_before(some)
    assert before is not None and before["auc"] > 0.55
    choice = choose(some, 300, 100, 1)
    after = leaks(some.take(choice.rows), names(n))["length_only"]
    assert abs(after["auc"] - 0.5) < 0.05


def test_domains_are_dealt_whole_so_that_none_of_them_is_known_in_the_test() -> None:
    names = [f"site{i}.example" for i in range(300)]
    splits = [split_of(name, (0.1, 0.2), 0) for name in names]
    shares = [splits.count(i) / len(splits) for i in range(3)]
    assert 0.6 < shares[0] < 0.8 and 0.05 < shares[1] < 0.17 and 0.12 < shares[2] < 0.28
    assert splits == [split_of(name, (0.1, 0.2), 0) for name in names]
    assert splits != [split_of(name, (0.1, 0.2), 1) for name in names]


def test_the_domain_alone_tells_nothing_of_unseen_ones_and_much_if_pages_are_dealt() -> None:
    # Each domain is all references or all random: RedPajama's model could learn just that.
    domain = np.repeat(np.arange(100), 10)
    some = pages(1000, domain=domain, reference=domain % 2 == 0, split=np.where(domain < 70, 0, 2))
    found = leaks(some, names(1000))
    assert found["domain_only"]["auc"] == 0.5
    assert found["domain_only_by_page"]["auc"] == 1.0
    seen = domain_scores(some.take(np.arange(10)), some.take(np.arange(990, 1000)))
    assert set(seen.tolist()) == {0.5}


def test_the_name_of_an_unseen_host_tells_the_class_where_names_have_a_pattern() -> None:
    host = np.repeat(np.arange(200), 5)
    telling = [f"{('annals', 'deals')[i % 2]}{i}.example" for i in range(200)]
    rng = np.random.default_rng(3)
    neutral = ["".join(rng.choice(list("abcdefgh"), 9)) + ".example" for _ in range(200)]
    some = pages(
        1000, domain=host, host=host, reference=host % 2 == 0, split=np.where(host < 140, 0, 2)
    )
    found = leaks(some, telling)["domain_name_only"]
    assert found["auc"] == 1.0 and found["accuracy"] == 1.0
    found = leaks(some, neutral)["domain_name_only"]
    # The error is that of sixty hosts, not of three hundred pages.
    assert abs(found["auc"] - 0.5) < 3 * found["auc_standard_error"]
    assert 0.06 < found["auc_standard_error"] < 0.09
    by_length = leaks(some, neutral)["length_only"]
    assert by_length["auc"] == 0.5 and 0.02 < by_length["auc_standard_error"] < 0.05


def test_a_model_is_as_good_as_none_where_scores_or_classes_hardly_differ() -> None:
    spread = np.linspace(0.1, 0.9, 200)
    good = {"auc": 0.7, "auc_standard_error": 0.05}
    assert untrained(good, spread) is None
    assert "need more epochs" in str(untrained(good, 0.4999 + spread / 1000))
    assert "no better than chance" in str(untrained({**good, "auc": 0.59}, spread))
    assert "no better than chance" in str(untrained({**good, "auc": 0.2}, spread))
    assert untrained({"auc": None, "auc_standard_error": None}, spread) is None


def test_every_page_that_is_not_chosen_has_a_reason() -> None:
    rng = np.random.default_rng(1)
    some = pages(
        500,
        chars=rng.integers(1, 4000, 500),
        domain=rng.integers(0, 5, 500),
        content=rng.integers(0, 400, 500).astype(np.uint64),
    )
    choice = choose(some, 300, 10, 1)
    assert len(choice.rows) + sum(choice.left_out.values()) == 500
    assert set(choice.left_out) == {
        "too_short",
        "same_url",
        "same_text",
        "over_the_domain_cap",
        "unmatched_references",
        "unmatched_random",
    }
    assert choose(pages(0), 300, 10, 1).rows.tolist() == []
