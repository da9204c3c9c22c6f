"""Which of a step's sequences a process takes: used by the trainer and by whoever looks back."""

from __future__ import annotations


def share(batch: int, rank: int, world: int) -> range:
    """Rows (0 to batch - 1) of a step that process `rank` of `world` takes.

    Shares differ by at most one where the batch cannot be divided evenly.
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} is not below {world}, the number of processes")
    return range(rank * batch // world, (rank + 1) * batch // world)


def rank_of(row: int, batch: int, world: int) -> int:
    """The process whose share of a step holds `row`: `row in share(batch, rank_of(...), world)`."""
    if not 0 <= row < batch:
        raise ValueError(f"row {row} is not below {batch}, the sequences of a step")
    return ((row + 1) * world - 1) // batch
