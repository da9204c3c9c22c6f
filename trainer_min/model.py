"""The LLaMA decoder (arXiv 2302.13971, section 2.2, and the released code's numerics).

Pre-normalisation with RMSNorm, rotary embeddings on interleaved pairs, SwiGLU, no biases, an
untied output head. Normalisation statistics and rotations are computed in float32 whatever the
parameters' type.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from trainer_min.config import ModelConfig

Recompute = Literal["none", "linear", "full"]


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (Zhang & Sennrich 2019) over the last dimension."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        # Back to x's type before the weight, as the release does: in bf16 the order shows.
        return wide.type_as(x) * self.weight


def rotation(length: int, head_dim: int, theta: float, device: torch.device) -> Tensor:
    """Rotary angles (Su et al. 2021) as cosine and sine.

    Returns:
        float32, shape (2, length, 1, head_dim / 2); computed when needed rather than kept as a
        buffer, so that a model built on the meta device has nothing but parameters to fill.
    """
    steps = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    angles = torch.outer(
        torch.arange(length, device=device, dtype=torch.float32), 1.0 / theta**steps
    )
    return torch.stack((angles.cos(), angles.sin())).unsqueeze(2)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the pairs (x[2i], x[2i+1]) of each head of x (batch, length, heads, head_dim)."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = turn
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).type_as(x)


class Attention(nn.Module):
    """Causal multi-head attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.heads, config.head_dim
        self.wq = nn.Linear(config.dim, config.dim, bias=False)
        self.wk = nn.Linear(config.dim, config.dim, bias=False)
        self.wv = nn.Linear(config.dim, config.dim, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        split = (*x.shape[:2], self.heads, self.head_dim)
        q = rotate(self.wq(x).view(split), turn).transpose(1, 2)
        k = rotate(self.wk(x).view(split), turn).transpose(1, 2)
        v = self.wv(x).view(split).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.w2 = nn.Linear(config.hidden_dim, config.dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.hidden_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


_KEPT = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
}


def _keep_expensive(ctx: object, op: object, *args: object, **kwargs: object) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if op in _KEPT else CheckpointPolicy.PREFER_RECOMPUTE


class Block(nn.Module):
    """One decoder layer; may recompute its activations in the backward pass.

    Recomputation is inside the block, not a wrapper around it, so that parameter names are the
    same with and without it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.feed_forward = FeedForward(config)
        self.recompute: Recompute = "none"

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        if self.recompute == "none" or not torch.is_grad_enabled():
            return self.layer(x, turn)
        if self.recompute == "full":
            return checkpoint(self.layer, x, turn, use_reentrant=False)
        return checkpoint(
            self.layer,
            x,
            turn,
            use_reentrant=False,
            # A partial: torch.compile cannot look into a lambda here.
            context_fn=partial(create_selective_checkpoint_contexts, _keep_expensive),
        )

    def layer(self, x: Tensor, turn: Tensor) -> Tensor:
        h = x + self.attention(self.attention_norm(x), turn)
        return h + self.feed_forward(self.ffn_norm(h))


class Transformer(nn.Module):
    """Token ids (batch, length) int64 to logits (batch, length, vocab_size)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.output = nn.Linear(config.dim, config.vocab_size, bias=False)

    def blocks(self) -> list[Block]:
        """The decoder layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Block)]

    def forward(self, tokens: Tensor) -> Tensor:
        turn = rotation(
            tokens.shape[1], self.config.head_dim, self.config.rope_theta, tokens.device
        )
        h = self.tok_embeddings(tokens)
        for layer in self.layers:
            h = layer(h, turn)
        return self.output(self.norm(h))
