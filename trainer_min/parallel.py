"""The only place that knows how many processes there are.

One process without a launcher is a world of one over the same code path, so that what is tested
small is what runs large. The paper used model and sequence parallelism; fully sharded data
parallelism (FSDP2) is our substitution.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from tokenizer.share import share
from trainer_min.config import ModelConfig, TrainSettings
from trainer_min.errors import RefusedError
from trainer_min.init import initialise
from trainer_min.model import Transformer

_HALF = 1 << 32
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among its peers."""

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh
    background: dist.ProcessGroup
    """For what other threads say to each other (checkpoints), apart from the steps' own talk."""

    @property
    def first(self) -> bool:
        """Whether this process writes logs and decides for all."""
        return self.rank == 0

    @property
    def device_name(self) -> str:
        """The device's name as its driver gives it; `cpu` for a CPU."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def share(self, batch: int, rank: int | None = None) -> range:
        """Which of a step's sequences (0 to batch - 1) a process takes.

        Shares differ by at most one where the batch cannot be divided evenly.
        """
        return share(batch, self.rank if rank is None else rank, self.size)

    def total(self, *numbers: float | Tensor) -> list[float]:
        """Sums over all processes, in float64 so that token counts stay exact."""
        values = torch.tensor([float(x) for x in numbers], dtype=torch.float64)
        dist.all_reduce(values)
        return values.tolist()

    def largest(self, number: float | Tensor) -> float:
        """The largest of all processes' numbers; NaN if one of them is."""
        value = torch.tensor([float(number)], dtype=torch.float64)
        unknown = torch.isnan(value)
        value = torch.where(unknown, -math.inf, value)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return math.nan if self.total(unknown[0])[0] else float(value)

    def any(self, here: bool) -> bool:
        """Whether it is so on one process at least."""
        return self.total(here)[0] > 0

    def total_mod_2_64(self, number: int) -> int:
        """Sum of unsigned 64-bit numbers over all processes, mod 2^64."""
        low, high = self.total(number % _HALF, number // _HALF)  # exact up to 2^21 processes
        return (int(low) + int(high) * _HALF) % (1 << 64)

    def all_of(self, mine: T | None) -> list[T]:
        """What the processes have to say, in their order, without those that have nothing."""
        said: list[T | None] = [None] * self.size
        dist.all_gather_object(said, mine)
        return [thing for thing in said if thing is not None]

    def agree(self, decision: object) -> object:
        """The first process's object, on every process."""
        box = [decision]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def barrier(self) -> None:
        """Waits for every process."""
        dist.barrier()


def _threads(asked: int, processes: int) -> int:
    # torchrun sets OMP_NUM_THREADS=1, which would leave most cores of a machine idle.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return asked or max(1, (cores or 1) // processes)


@contextmanager
def open_world(device: str = "auto", threads: int = 0, replicas: int = 1) -> Iterator[World]:
    """Joins the processes that torchrun started, or makes a world of one; leaves it at the end.

    Args:
        device: auto, cpu or cuda.
        threads: CPU threads of this process; 0 shares the machine's cores evenly.
        replicas: copies of the model, each spread over an equal part of the processes (HSDP):
            between copies only gradients travel, so they may lie on either side of a slow network.

    Raises:
        RefusedError: cuda was asked for and is not there, or the processes cannot be divided so.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RefusedError("--device cuda: torch finds no CUDA device here")
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    torch.set_num_threads(_threads(threads, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    # Both kinds: small facts travel as CPU tensors also where the model is on a GPU.
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    chosen = torch.device("cpu")
    if cuda:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    if "RANK" in os.environ:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        size = dist.get_world_size()
        if size % replicas:
            raise RefusedError(f"--replicas {replicas}: {size} processes cannot be divided so")
        shape = (size,) if replicas == 1 else (replicas, size // replicas)
        names = ("shard",) if replicas == 1 else ("replicate", "shard")
        mesh = init_device_mesh(chosen.type, shape, mesh_dim_names=names)
        background = dist.new_group(backend="gloo")
        yield World(dist.get_rank(), size, chosen, mesh, background)
    finally:
        dist.destroy_process_group()


def build_model(config: ModelConfig, settings: TrainSettings, world: World) -> Transformer:
    """The model, spread over the world and initialised; no process ever holds it whole.

    Order matters: shape on the meta device, recomputation, compilation, sharding, memory, values.
    Parameters are float32; on CUDA they are gathered and multiplied as bfloat16 while gradients
    are reduced in float32. On CPU all is float32.
    """
    with torch.device("meta"):
        model = Transformer(config)
    for layer in model.blocks():
        layer.recompute = settings.activation_checkpoint
        if settings.compile:
            layer.compile()  # in place: a wrapper would change the parameters' names
    policy = MixedPrecisionPolicy(cast_forward_inputs=False)  # the rotary angles stay float32
    if world.device.type == "cuda":
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    for layer in model.blocks():
        fully_shard(layer, mesh=world.mesh, mp_policy=policy)
    # Used last in the forward and first in the backward pass: not worth freeing in between.
    fully_shard(
        [model.norm, model.output],
        mesh=world.mesh,
        mp_policy=policy,
        reshard_after_forward=False,
    )
    fully_shard(model, mesh=world.mesh, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Gradients are summed: the loss is already divided by the tokens of all processes.
            # A plain sum, since gloo has no pre-multiplied one.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    model.to_empty(device=world.device)
    initialise(model, config.layers, settings.seed)
    return model


def reduce_gradients(model: Transformer, now: bool) -> None:
    """Whether the next backward pass sums gradients over the world or keeps them for later."""
    assert isinstance(model, FSDPModule)
    model.set_requires_gradient_sync(now)
