from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.paper import PROPORTIONS
from tokenizer.sample import SampleRule, SampleSettings, hash64, plan_rates

IDS = [f"commoncrawl:{number:06d}" for number in range(20_000)]


def test_the_share_kept_is_the_rate() -> None:
    for rate in (0.01, 0.25, 0.9):
        kept = sum(SampleRule(rate, 0).keep(name) for name in IDS)
        # Five standard deviations.
        assert abs(kept - rate * len(IDS)) < 5 * (rate * (1 - rate) * len(IDS)) ** 0.5


def test_all_and_none() -> None:
    assert all(SampleRule(1.0, 3).keep(name) for name in IDS)
    assert not any(SampleRule(0.0, 3).keep(name) for name in IDS)


@given(st.text(), st.floats(0, 1), st.floats(0, 1), st.integers())
def test_a_higher_rate_keeps_at_least_as_much(name: str, a: float, b: float, seed: int) -> None:
    low, high = sorted((a, b))
    assert SampleRule(high, seed).keep(name) or not SampleRule(low, seed).keep(name)


def test_the_hash_never_changes_unnoticed() -> None:
    # xxHash3 of b"tokenizer\0a" with seed 7
    assert hash64(7, "a", "tokenizer") == 0xE2E59379EF1C42D9


def test_seeds_and_purposes_draw_apart() -> None:
    """Held-out documents must not be just those that the tokenizer was trained on."""
    one = [SampleRule(0.5, 0).keep(name) for name in IDS]
    for other in (SampleRule(0.5, 1), SampleRule(0.5, 0, "valid")):
        same = sum(a == other.keep(name) for a, name in zip(one, IDS, strict=True))
        assert abs(same / len(IDS) - 0.5) < 0.02


def test_ids_that_are_no_unicode() -> None:
    assert SampleRule(1.0, 0).keep("\ud800")


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_that_are_none(rate: float) -> None:
    with pytest.raises(ValueError, match="sample rate"):
        SampleRule(rate, 0)


def test_rates_for_the_papers_proportions() -> None:
    plan = plan_rates(dict.fromkeys(PROPORTIONS, 10_000_000), PROPORTIONS, 1_000_000)
    assert plan["commoncrawl"].rate == pytest.approx(0.067)
    assert plan["stackexchange"].rate == pytest.approx(0.002)
    assert sum(p.expected_bytes for p in plan.values()) == pytest.approx(1_000_000)
    assert not any(p.capped for p in plan.values())


def test_a_source_with_too_little_is_taken_whole_and_said() -> None:
    plan = plan_rates({"a": 100, "b": 1_000, "none": 0}, {"a": 0.5, "b": 0.25, "none": 0.25}, 800)
    assert plan["a"].rate == 1 and plan["a"].capped and plan["a"].wanted_bytes == 400
    assert plan["b"].rate == pytest.approx(0.2) and not plan["b"].capped
    assert plan["none"].capped and plan["none"].expected_bytes == 0


def test_proportions_need_not_add_up_to_one() -> None:
    plan = plan_rates({"a": 100, "b": 100}, {"a": 3, "b": 1}, 40)
    assert plan["a"].rate == pytest.approx(0.3) and plan["b"].rate == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("sizes", "proportions", "budget", "message"),
    [
        ({"a": 1}, {"a": 1, "b": 1}, 1, "'b' needs both"),
        ({"a": 1, "b": 1}, {"a": 1}, 1, "'b' needs both"),
        ({"a": -1}, {"a": 1}, 1, "negative"),
        ({"a": 1}, {"a": 0}, 1, "all 0"),
        ({"a": 1}, {"a": 1}, 0, "above 0"),
    ],
)
def test_plans_that_cannot_be(
    sizes: dict[str, int], proportions: dict[str, float], budget: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_rates(sizes, proportions, budget)


def test_settings_say_why() -> None:
    assert all(field.description for field in SampleSettings.model_fields.values())
