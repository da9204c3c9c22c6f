from __future__ import annotations

import pytest

from trainer_min.config import TrainSettings
from trainer_min.schedule import learning_rate, schedule_table


def rate(step: int, **changes: float) -> float:
    seven = {"peak": 3e-4, "warmup": 2000, "steps": 238_419, "min_ratio": 0.1} | changes
    return learning_rate(step, **seven)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "wanted"),
    [(0, 0.0), (1, 1.5e-7), (1000, 1.5e-4), (2000, 3e-4), (238_419, 3e-5), (300_000, 3e-5)],
)
def test_the_7b_of_the_paper(step: int, wanted: float) -> None:
    assert rate(step) == pytest.approx(wanted, rel=1e-12)


def test_halfway_down_is_the_mean_of_peak_and_end() -> None:
    assert rate(2000 + 500, steps=3000) == pytest.approx((3e-4 + 3e-5) / 2)


def test_the_rate_never_rises_after_warm_up() -> None:
    rates = [rate(step, warmup=10, steps=100) for step in range(101)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10:].count(rates[-1]) == 1  # the floor is reached at the end, not before


@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_the_shortest_runs(warmup: int) -> None:
    assert rate(1, warmup=warmup, steps=1) > 0
    assert len(schedule_table(peak=1e-3, warmup=warmup, steps=1, min_ratio=0.1)) >= 2


def test_the_table_shows_peak_and_end() -> None:
    s = TrainSettings(corpus="c", out="o", model="7B")
    table = "\n".join(
        schedule_table(peak=s.lr, warmup=s.warmup, steps=s.steps, min_ratio=s.min_lr_ratio)
    )
    assert "  2,000  3.000e-04" in table
    assert "238,419  3.000e-05" in table
