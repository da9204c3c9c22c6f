"""Work per token, and what devices can do: for MFU, with formula and peak named."""

from __future__ import annotations

import re

from trainer_min.config import ModelConfig

FORMULA = "6 N_mat + 12 L d T"
"""Forward and backward matrix products per token, attention without the causal discount
(PaLM, appendix B); N_mat are the parameters without the embedding."""

# Dense bf16 FLOP/s of tensor cores, from the makers' data sheets (without sparsity).
PEAKS: dict[str, float] = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "A10G": 70e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}


def per_token(config: ModelConfig, seq_len: int) -> float:
    """Floating-point operations of training on one token at sequence length `seq_len`."""
    return 6 * config.matrix_parameters() + 12 * config.layers * config.dim * seq_len


def peak(device: str) -> float | None:
    """FLOP/s of a device by its name as the driver gives it; None if it is not in the table.

    Whole words only, and no laptop's: an A1000 is no A100.
    """
    words = re.sub(r"[^a-z0-9]+", " ", device.lower())
    named = [known for known in PEAKS if f" {known.lower()} " in f" {words} "]
    return PEAKS[max(named, key=len)] if named and "laptop" not in words else None


def utilisation(
    tokens_per_s: float, config: ModelConfig, seq_len: int, device: str
) -> float | None:
    """Model FLOPs utilisation of one device that trains on so many tokens a second.

    None for a device whose peak is not known: a wrong figure would be worse.
    """
    most = peak(device)
    return None if most is None else tokens_per_s * per_token(config, seq_len) / most
