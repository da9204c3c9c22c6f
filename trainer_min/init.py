"""Initial weights as a function of (seed, parameter name, element index).

The paper does not publish its initialisation; this one is our choice, after GPT-2: normal with
standard deviation 0.02, the two matrices that write to the residual stream (wo and w2) scaled
down by sqrt(2 layers), norms at one.

Each element is computed from its own counter, so a process fills just the rows that it holds,
and the whole is the same for every number of processes and every mesh. On other hardware the last
bit of a value may differ, since log and cos are the device's own.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from trainer_min.model import Transformer

STD = 0.02
_CHUNK = 1 << 24  # elements at a time: bounds the temporaries to a few hundred MB


def _shift_right(x: Tensor, by: int) -> Tensor:
    """Logical shift: torch's int64 shift drags the sign along."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(x: int) -> int:
    return x - (1 << 64) if x >= 1 << 63 else x


def _mix(x: Tensor) -> Tensor:
    """The splitmix64 finaliser (Steele et al. 2014) on int64 read as unsigned."""
    x = (x ^ _shift_right(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift_right(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift_right(x, 31)


def _key(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return _signed(int.from_bytes(digest[:8], "little"))


def standard_normal(seed: int, name: str, index: Tensor) -> Tensor:
    """Standard normal values of the named stream.

    Args:
        index: int64, any shape: which elements.

    Returns:
        float32, the shape of index, on its device. Box-Muller over the two 24-bit ends of a 64-bit
        hash, so nothing lies beyond 5.9 standard deviations.
    """
    bits = _mix(_mix(index + _key(seed, name)))
    high = (_shift_right(bits, 40).float() + 0.5) / (1 << 24)
    low = (bits & 0xFFFFFF).float() / (1 << 24)
    return torch.sqrt(-2.0 * torch.log(high)) * torch.cos(2.0 * math.pi * low)


def _held_rows(parameter: Tensor) -> tuple[Tensor, Tensor]:
    """This process's part of a parameter and the numbers of the rows in it."""
    rows = torch.arange(parameter.shape[0], device=parameter.device)
    if not isinstance(parameter, DTensor):
        return parameter, rows
    if any(p.is_shard() and not p.is_shard(dim=0) for p in parameter.placements):
        raise ValueError(f"only rows may be spread over processes, not {parameter.placements}")
    spread = distribute_tensor(
        rows, parameter.device_mesh, parameter.placements, src_data_rank=None
    )
    return parameter.to_local(), spread.to_local()


@torch.no_grad()
def initialise(model: nn.Module, layers: int, seed: int) -> None:
    """Fill every parameter of a model (sharded or not) in place.

    Raises:
        ValueError: a parameter is neither a norm's vector nor a matrix, or is spread by columns.
    """
    for name, parameter in model.named_parameters():
        local, rows = _held_rows(parameter)
        if parameter.dim() == 1:
            local.fill_(1.0)
            continue
        if parameter.dim() != 2:
            raise ValueError(f"no rule for the initial values of {name}, {parameter.dim()}-d")
        writes_residual = name.endswith(("attention.wo.weight", "feed_forward.w2.weight"))
        std = STD / math.sqrt(2 * layers) if writes_residual else STD
        columns = torch.arange(parameter.shape[1], device=local.device)
        step = max(1, _CHUNK // len(columns))
        for start in range(0, len(rows), step):
            index = rows[start : start + step, None] * len(columns) + columns
            local[start : start + step] = std * standard_normal(seed, name, index)


def initialise_transformer(model: Transformer, seed: int) -> None:
    """`initialise` with the model's own depth."""
    initialise(model, model.config.layers, seed)
