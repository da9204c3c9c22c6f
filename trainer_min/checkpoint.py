"""Checkpoints that another number of processes can load.

`checkpoints/step-00000060/` holds tensors (torch.distributed.checkpoint, every process writes its
rows) and `run.json` (step and facts that a resumed run must share). It is written under another
name and renamed when complete; then the one-line file `latest` points to it. Nothing random is
drawn after the weights are initialised, so weights, optimizer moments and one integer are the
whole state.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.optim import Optimizer

from trainer_min.errors import RefusedError, RunError
from trainer_min.parallel import World

_LATEST = "latest"
_FACTS = "run.json"


def write_atomically(path: Path, text: str) -> None:
    """Replaces a small file; a reader sees the old content or the new."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _state(model: nn.Module, optimizer: Optimizer, *, fresh: bool) -> dict[str, Tensor]:
    """Weights and moments by parameter name: tensors only, so loading runs no pickled code."""
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if fresh:
            optimizer.state[parameter] = {
                # Beside the parameter where the fused kernel reads it.
                "step": torch.zeros((), device=parameter.device if parameter.is_cuda else None),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        state[f"model.{name}"] = parameter.detach()
        for kind, value in optimizer.state[parameter].items():
            state[f"adam.{name}.{kind}"] = value
    return state


def _cause(error: BaseException) -> str:
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    facts: Mapping[str, Any],
    world: World,
    *,
    keep: int,
) -> Path:
    """Writes and commits a checkpoint (all processes call it); drops all but the newest `keep`.

    Raises:
        RunError: it could not be written; older ones are untouched.
    """
    final = folder / f"step-{step:08d}"
    partial = folder / f"{final.name}.part"
    if world.first:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
    world.barrier()
    try:
        dcp.save(_state(model, optimizer, fresh=False), checkpoint_id=partial)
    except (OSError, CheckpointException) as error:
        raise RunError(
            f"{partial}: the checkpoint of step {step} could not be written ({_cause(error)}; "
            f"{shutil.disk_usage(folder).free >> 20} MiB free there); those before it are whole"
        ) from error
    if world.first:
        write_atomically(partial / _FACTS, json.dumps({"step": step, "facts": facts}, indent=1))
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        write_atomically(folder / _LATEST, final.name + "\n")
        complete = sorted(p for p in folder.glob("step-*") if not p.name.endswith(".part"))
        older = [p for p in complete if p.name < final.name]
        for path in older[: max(0, len(older) - keep + 1)]:
            shutil.rmtree(path)
    world.barrier()
    return final


def newest(folder: Path) -> Path | None:
    """The checkpoint that `latest` names, or None."""
    pointer = folder / _LATEST
    return folder / pointer.read_text().strip() if pointer.is_file() else None


def read_facts(path: Path) -> tuple[int, dict[str, Any]]:
    """Step and facts of a checkpoint.

    Raises:
        RefusedError: there is no complete checkpoint at this path.
    """
    try:
        found = json.loads((path / _FACTS).read_text())
        return int(found["step"]), dict(found["facts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{path}: not a complete checkpoint ({error})") from error


def load(path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Fills model and optimizer in place, whatever number of processes wrote the checkpoint.

    Raises:
        RunError: its files are damaged or of another model.
    """
    try:
        dcp.load(_state(model, optimizer, fresh=True), checkpoint_id=path)
    except (OSError, CheckpointException) as error:
        raise RunError(f"{path}: could not be loaded ({_cause(error)})") from error


def differences(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """One line for each fact that a run and its checkpoint do not share."""
    return [
        f"{name}: checkpoint {saved.get(name)!r}, this run {given.get(name)!r}"
        for name in sorted({*saved, *given})
        if saved.get(name) != given.get(name)
    ]
