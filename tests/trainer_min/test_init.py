from __future__ import annotations

import pytest
import torch

from trainer_min.config import SIZES
from trainer_min.init import STD, initialise, standard_normal
from trainer_min.model import Transformer

GOLDEN = [-0.382936, 1.415635, -1.923563, -0.185218]


def test_the_stream_is_fixed_for_good() -> None:
    """A changed function would break the resuming and comparing of runs: these values stay."""
    values = standard_normal(0, "output.weight", torch.arange(4))
    torch.testing.assert_close(values, torch.tensor(GOLDEN), rtol=1e-5, atol=1e-6)


def test_a_part_is_the_same_alone_as_in_the_whole() -> None:
    whole = standard_normal(3, "w", torch.arange(1000))
    assert torch.equal(standard_normal(3, "w", torch.arange(400, 700)), whole[400:700])


def test_values_are_standard_normal_and_uncorrelated() -> None:
    x = standard_normal(0, "w", torch.arange(1 << 20)).double()
    assert abs(x.mean()) < 0.004
    assert abs(x.std() - 1) < 0.003
    assert abs((x**4).mean() - 3) < 0.05
    assert abs((x[1:] * x[:-1]).mean()) < 0.004
    assert 4.2 < x.abs().max() < 5.9


def test_streams_differ_by_seed_and_name() -> None:
    index = torch.arange(100_000)
    base = standard_normal(0, "a", index)
    for other in (standard_normal(1, "a", index), standard_normal(0, "b", index)):
        assert abs((base * other).mean()) < 0.02


def test_the_model_starts_as_documented() -> None:
    model = Transformer(SIZES["debug"].model(1000))
    initialise(model, 4, seed=0)
    spread = {name: float(p.detach().std()) for name, p in model.named_parameters() if p.dim() == 2}
    for name, std in spread.items():
        writes_residual = "wo" in name or "w2" in name
        assert std == pytest.approx(STD / 8**0.5 if writes_residual else STD, rel=0.03), name
    assert all(torch.equal(p, torch.ones_like(p)) for p in model.parameters() if p.dim() == 1)
    again = Transformer(SIZES["debug"].model(1000))
    initialise(again, 4, seed=1)
    assert not torch.equal(model.output.weight, again.output.weight)


def test_initialising_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [Transformer(SIZES["debug"].model(300)) for _ in range(2)]
    initialise(models[0], 4, seed=0)
    monkeypatch.setattr("trainer_min.init._CHUNK", 1000)
    initialise(models[1], 4, seed=0)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_no_rule_no_values() -> None:
    with pytest.raises(ValueError, match="no rule"):
        initialise(torch.nn.Conv1d(2, 2, 3, bias=False), 1, seed=0)
