from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from trainer_min.config import SIZES, TrainSettings
from trainer_min.model import Transformer

PAPER = {  # parameters, feed-forward width, eps, lr, steps at 4,194,304 tokens
    "7B": (6_738_415_616, 11_008, 1e-6, 3e-4, 238_419),
    "13B": (13_015_864_320, 13_824, 1e-6, 3e-4, 238_419),
    "33B": (32_528_943_616, 17_920, 1e-6, 1.5e-4, 333_786),
    "65B": (65_285_660_672, 22_016, 1e-5, 1.5e-4, 333_786),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_sizes_of_the_paper(name: str) -> None:
    parameters, hidden, eps, lr, steps = PAPER[name]
    config = SIZES[name].model(32_000)
    with torch.device("meta"):
        model = Transformer(config)
    assert sum(p.numel() for p in model.parameters()) == parameters == config.parameters()
    assert (config.hidden_dim, config.head_dim) == (hidden, 128)
    assert {m.eps for m in model.modules() if hasattr(m, "eps")} == {eps}
    settings = TrainSettings(corpus="c", out="o", model=name)
    assert (settings.lr, settings.steps, settings.warmup) == (lr, steps, 2000)
    assert settings.batch * settings.seq_len == 4_194_304


@pytest.mark.parametrize("name", sorted(set(SIZES) - set(PAPER)))
def test_small_sizes_count_by_the_same_formula(name: str) -> None:
    config = SIZES[name].model(32_000)
    with torch.device("meta"):
        counted = sum(p.numel() for p in Transformer(config).parameters())
    assert counted == config.parameters()


@pytest.mark.parametrize(("name", "millions"), [("134M", 134), ("374M", 374), ("1.3B", 1262)])
def test_small_sizes_are_what_their_names_say(name: str, millions: int) -> None:
    assert round(SIZES[name].model(32_000).parameters() / 1e6) == millions


def test_no_bias_and_an_untied_head() -> None:
    model = Transformer(SIZES["debug"].model(300))
    assert not [name for name, _ in model.named_parameters() if "bias" in name]
    assert model.output.weight is not model.tok_embeddings.weight


def test_what_is_given_wins_over_the_size() -> None:
    settings = TrainSettings(corpus="c", out="o", model="134M", lr="1e-3", batch="5")
    assert (settings.lr, settings.batch, settings.seq_len) == (1e-3, 5, 2048)


def test_a_short_run_of_a_big_size_reaches_its_peak() -> None:
    assert TrainSettings(corpus="c", out="o", model="7B", steps="50").warmup == 5


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"model": "8B"}, {"lr": float("nan")}, {"batches": 3}, {"steps": "x"}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainSettings(**{"corpus": "c", "out": "o"} | wrong)


def test_mixture() -> None:
    settings = TrainSettings(corpus="c", out="o", weights="c4=0.75, books=0.25")
    assert settings.mixture() == {"c4": 0.75, "books": 0.25}
    assert TrainSettings(corpus="c", out="o").mixture() is None


@pytest.mark.parametrize("text", ["", "c4", "c4=x", "c4=-1", "c4=nan", "c4=1,c4=1", "c4=1, c4=2"])
def test_mixtures_that_say_nothing_clear(text: str) -> None:
    with pytest.raises(ValueError):
        TrainSettings(corpus="c", out="o", weights=text).mixture()
