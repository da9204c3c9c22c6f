"""Learning rate as a pure function of the step (paper, section 2.3)."""

from __future__ import annotations

import math


def learning_rate(step: int, *, peak: float, warmup: int, steps: int, min_ratio: float) -> float:
    """Rate of the update that ends step `step` (1 to `steps`; 0 is the state before any update).

    Linear from 0 to `peak` over `warmup` steps, then half a cosine down to `min_ratio * peak`,
    reached exactly at `steps`.
    """
    if step <= warmup:
        return peak * step / warmup if warmup else peak
    if step >= steps:
        return peak * min_ratio
    progress = (step - warmup) / (steps - warmup)
    return peak * (min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))


def schedule_table(*, peak: float, warmup: int, steps: int, min_ratio: float) -> list[str]:
    """The schedule at its telling points, as lines to print before a run begins."""
    points = sorted({1, min(warmup, steps) or 1, (warmup + steps) // 2, steps})
    width = max(len("step"), len(f"{steps:,}"))
    lines = [f"{'step':>{width}}  learning rate"]
    for step in points:
        rate = learning_rate(step, peak=peak, warmup=warmup, steps=steps, min_ratio=min_ratio)
        lines.append(f"{step:>{width},}  {rate:.3e}")
    return lines
