from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trainer_min.config import SIZES, ModelConfig
from trainer_min.init import initialise, initialise_transformer
from trainer_min.model import RMSNorm, Transformer, rotate, rotation

CONFIG = ModelConfig(
    dim=32, layers=2, heads=4, vocab_size=50, norm_eps=1e-5, rope_theta=10_000.0, multiple_of=16
)


def small_model() -> Transformer:
    model = Transformer(CONFIG)
    initialise(model, CONFIG.layers, seed=1)
    return model


def test_rms_norm_casts_before_the_weight() -> None:
    norm = RMSNorm(64, eps=1e-6).to(torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    norm.weight.data = torch.rand(64, generator=generator).to(torch.bfloat16)
    x = torch.randn(200, 64, generator=generator).to(torch.bfloat16)
    wide = x.float() / torch.sqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
    assert (norm(x) - wide.to(torch.bfloat16) * norm.weight).abs().max() <= 2**-6
    late = (wide * norm.weight.float()).to(torch.bfloat16)
    assert not torch.equal(norm(x), late)  # so the other order would be noticed
    assert norm(x).dtype == torch.bfloat16


def test_rotation_turns_interleaved_pairs_as_complex_numbers() -> None:
    x = torch.randn(2, 7, 3, 8, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, rotation(7, 8, 10_000.0, torch.device("cpu")))
    frequency = 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    angle = torch.outer(torch.arange(7.0), frequency)
    pairs = torch.view_as_complex(x.unflatten(-1, (4, 2)))
    wanted = torch.view_as_real(pairs * torch.polar(torch.ones(7, 4), angle)[None, :, None])
    torch.testing.assert_close(turned, wanted.flatten(-2))


def test_rotation_is_float32_for_half_inputs() -> None:
    x = torch.ones(1, 2000, 1, 8, dtype=torch.bfloat16)
    turn = rotation(2000, 8, 10_000.0, torch.device("cpu"))
    torch.testing.assert_close(rotate(x, turn), rotate(x.float(), turn).to(torch.bfloat16))
    assert rotate(x, turn).dtype == torch.bfloat16


def plain_forward(model: Transformer, tokens: Tensor) -> Tensor:
    """The model once more, written out over one sequence with an explicit mask."""
    weights = dict(model.named_parameters())
    length, heads, width = len(tokens), CONFIG.heads, CONFIG.head_dim

    def norm(x: Tensor, name: str) -> Tensor:
        scale = torch.rsqrt((x * x).mean(-1, keepdim=True) + CONFIG.norm_eps)
        return x * scale * weights[f"{name}.weight"]

    frequency = CONFIG.rope_theta ** (-torch.arange(0, width, 2) / width)
    angle = torch.polar(
        torch.ones(length, width // 2), torch.outer(torch.arange(length), frequency)
    )
    h = weights["tok_embeddings.weight"][tokens]
    for i in range(CONFIG.layers):
        at = f"layers.{i}."
        x = norm(h, at + "attention_norm")
        q, k, v = (
            (x @ weights[f"{at}attention.w{c}.weight"].T).view(length, heads, width) for c in "qkv"
        )
        q, k = (
            torch.view_as_real(
                torch.view_as_complex(t.reshape(length, heads, -1, 2)) * angle[:, None]
            ).flatten(-2)
            for t in (q, k)
        )
        scores = torch.einsum("qhd,khd->hqk", q, k) / width**0.5
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(length, -1)
        h = h + mixed @ weights[at + "attention.wo.weight"].T
        x = norm(h, at + "ffn_norm")
        gate = F.silu(x @ weights[at + "feed_forward.w1.weight"].T)
        up = x @ weights[at + "feed_forward.w3.weight"].T
        h = h + (gate * up) @ weights[at + "feed_forward.w2.weight"].T
    return norm(h, "norm") @ weights["output.weight"].T


def test_forward_equals_the_written_out_model() -> None:
    model = small_model()
    with torch.no_grad():  # larger than the start, so that every part shows
        for parameter in model.parameters():
            parameter.mul_(5 if parameter.dim() == 2 else 1.3)
    tokens = torch.arange(12) * 7 % 50
    torch.testing.assert_close(model(tokens[None])[0], plain_forward(model, tokens))


def test_no_position_sees_a_later_one() -> None:
    model = small_model()
    tokens = torch.arange(10)[None]
    changed = tokens.clone()
    changed[0, 6] = 40
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.equal(before[:, 6:], after[:, 6:])


class CountMatmuls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func is torch.ops.aten.mm.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("mode", "extra"), [("linear", 0), ("full", 6)])
def test_recomputation_changes_no_gradient(mode: str, extra: int) -> None:
    """`linear` keeps every product (the paper's way); `full` does a block's again, but for
    the last, whose inputs are all that is needed."""
    tokens = torch.arange(8)[None]
    gradients, products = [], []
    for recompute in ("none", mode):
        model = small_model()
        for block in model.blocks():
            block.recompute = recompute  # type: ignore[assignment]
        loss = model(tokens).square().mean()
        with CountMatmuls() as counted:
            loss.backward()
        products.append(counted.count)
        gradients.append([p.grad for p in model.parameters()])
    for with_all, with_less in zip(*gradients, strict=True):
        torch.testing.assert_close(with_less, with_all)
    assert products[1] - products[0] == extra * CONFIG.layers


def test_one_batch_can_be_learnt_by_heart() -> None:
    """What a model that trains at all can do."""
    config = SIZES["debug"].model(300)
    model = Transformer(config)
    initialise_transformer(model, 0)
    tokens = torch.randint(3, 300, (2, 25), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
    losses = []
    for _ in range(80):
        logits = model(tokens[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(math.log(300), abs=0.2)
    assert losses[-1] < 0.05
