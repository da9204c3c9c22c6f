"""Checkpoints that another number of processes can load, written while training goes on.

`checkpoints/step-00000060/` holds safetensors files (torch.distributed.checkpoint's writer of that
format: every process its rows, nothing pickled) and `run.json`: the step, the facts that a resumed
run must share, small state, and the size of every file. It is written under another name, checked
and renamed when complete; then the one-line file `latest` points to it. Every process hashes the
files that it wrote, so that damage is found before anything is loaded. Nothing random is drawn
after the weights are initialised, so weights, optimizer moments and one integer are the state.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
import xxhash
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from trainer_min.errors import RefusedError, RunError
from trainer_min.parallel import World

LATEST = "latest"
FACTS = "run.json"
_TENSORS = ".safetensors"
_SUMS = ".sums.json"
_HEADER = 8  # bytes of a safetensors file that give the length of its JSON header
_FILE_BYTES = 4 << 30  # each process writes files of about this size: it holds one in memory twice
STATE_BYTES = 12  # a parameter and its two moments in float32


def write_atomically(path: Path, text: str) -> None:
    """Replaces a small file; a reader sees the old content or the new."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


@dataclass(frozen=True)
class Saved:
    """What `run.json` says of a checkpoint."""

    path: Path
    step: int
    facts: dict[str, Any]
    state: dict[str, Any]
    files: dict[str, dict[str, Any]]
    """Name -> bytes and xxh3 (128 bits, hexadecimal)."""


def _tensors(model: nn.Module, optimizer: Optimizer | None, *, fresh: bool) -> dict[str, Tensor]:
    """Weights and, with an optimizer, moments by parameter name."""
    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        found[f"model.{name}"] = parameter.detach()
        if optimizer is None:
            continue
        if fresh or parameter not in optimizer.state:
            optimizer.state[parameter] = {
                # Beside the parameter where the fused kernel reads it.
                "step": torch.zeros((), device=parameter.device if parameter.is_cuda else None),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        for kind, value in optimizer.state[parameter].items():
            found[f"adam.{name}.{kind}"] = value
    return found


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _cause(error: BaseException) -> str:
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Checkpointer:
    """Saves checkpoints in the background and commits each when all of it is there.

    All processes call `save` and `finish`; the first one calls `poll` between steps.
    """

    def __init__(
        self, folder: Path, world: World, *, keep: int, keep_every: int, background: bool
    ) -> None:
        """
        Args:
            keep: newest checkpoints that stay.
            keep_every: checkpoints of steps divisible by it stay for good; 0: none does.
            background: write while training goes on (a copy is held in CPU memory).
        """
        self.folder, self._world = folder, world
        self._keep, self._keep_every, self._background = keep, keep_every, background
        self._pending: tuple[Future[Any], Path, dict[str, Any]] | None = None
        self._problem: RunError | None = None

    def save(
        self,
        step: int,
        model: nn.Module,
        optimizer: Optimizer,
        facts: Mapping[str, Any],
        state: Mapping[str, Any],
    ) -> None:
        """Begins a checkpoint, after the one before is finished.

        Raises:
            RunError: a weight or moment is not finite, there is no room, or the one before failed.
        """
        self.finish()
        tensors = _tensors(model, optimizer, fresh=False)
        final = self.folder / f"step-{step:08d}"
        partial = self.folder / f"{final.name}.part"
        mine = sum(_local(t).numel() * _local(t).element_size() for t in tensors.values())
        total, wrong = self._world.total(
            mine, sum(not bool(_local(t).isfinite().all()) for t in tensors.values())
        )
        if wrong:
            raise RunError(
                f"step {step}: weights or moments are not finite, so no checkpoint was written;"
                f" {self.safe()}"
            )
        problem: object = None
        if self._world.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
            problem = no_room(self.folder, int(total))
        if problem := self._world.agree(problem):
            raise RunError(f"step {step}: {problem}; {self.safe()}")
        writer = HuggingFaceStorageWriter(
            str(partial), fqn_to_index_mapping=_files_of(tensors, mine), save_distributed=True
        )
        note = {"step": step, "facts": dict(facts), "state": dict(state)}
        try:
            if self._background:
                written = dcp.async_save(
                    tensors, storage_writer=writer, process_group=self._world.background
                )
                assert isinstance(written, Future)
            else:
                written = Future()
                written.set_result(dcp.save(tensors, storage_writer=writer))
            # In the writer's thread: training goes on while the files are read again.
            future = _after(written, lambda: _sum_mine(partial, self._world.rank))
        except (OSError, CheckpointException) as error:
            raise self._failed(partial, error) from error
        self._pending = (future, final, note)
        if not self._background:
            self.finish()

    def failed(self) -> bool:
        """Whether the checkpoint that is under way has failed here; `finish` says why."""
        future = self._pending[0] if self._pending else None
        broken = future is not None and future.done() and future.exception() is not None
        return broken or self._problem is not None

    def poll(self) -> None:
        """Commits the checkpoint that is under way if it is complete (first process)."""
        if self._pending and self._pending[0].done() and not self.failed():
            partial = self._pending[1].with_name(self._pending[1].name + ".part")
            if len(list(partial.glob(f"*{_SUMS}"))) == self._world.size:
                try:
                    self._commit()
                except RunError as error:
                    self._problem = error  # raised by `finish`, which all processes call

    def finish(self) -> None:
        """Waits for the checkpoint that is under way and commits it.

        Raises:
            RunError: it could not be written; older ones are untouched.
        """
        error: BaseException | None = None
        if self._pending is not None:
            error = self._pending[0].exception()
        if error is not None:
            assert self._pending is not None
            partial = self._pending[1].with_name(self._pending[1].name + ".part")
            self._pending = None
            raise self._failed(partial, error)
        problem: object = str(self._problem) if self._problem else None
        if self._world.any(self._pending is not None):
            self._world.barrier()  # every process has hashed what it wrote
            if self._pending is not None and self._world.first:
                try:
                    self._commit()
                except RunError as wrong:
                    problem = str(wrong)
        self._pending = self._problem = None
        if problem := self._world.agree(problem):
            raise RunError(str(problem))

    def _commit(self) -> None:
        assert self._pending is not None
        _, final, note = self._pending
        self._pending = None
        partial = final.with_name(final.name + ".part")
        try:
            files: dict[str, Any] = {}
            for sums in sorted(partial.glob(f"*{_SUMS}")):
                files |= json.loads(sums.read_text())
            if {p.name for p in partial.glob(f"*{_TENSORS}")} != set(files):
                raise ValueError("files are missing")
            note = note | {"files": files}
            text = json.dumps(note | {"digest": _digest(note)}, indent=1)
            write_atomically(partial / FACTS, text)
            for sums in partial.glob(f"*{_SUMS}"):
                sums.unlink()
            # Aside, not away, until the new one has its name: `latest` must not point to nothing.
            aside = final.with_name(final.name + ".old")
            shutil.rmtree(aside, ignore_errors=True)
            if final.exists():
                final.rename(aside)
            partial.rename(final)
            write_atomically(self.folder / LATEST, final.name + "\n")
            shutil.rmtree(aside, ignore_errors=True)
            self._drop_old(final)
        except (OSError, ValueError) as error:
            raise self._failed(partial, error) from error

    def _drop_old(self, final: Path) -> None:
        complete = sorted(p for p in self.folder.glob("step-*") if _NAME.fullmatch(p.name))
        older = [p for p in complete if p.name < final.name]
        for path in older[: max(0, len(older) - self._keep + 1)]:
            milestone = int(path.name.removeprefix("step-"))
            if not self._keep_every or milestone % self._keep_every:
                shutil.rmtree(path)

    def _failed(self, partial: Path, error: BaseException) -> RunError:
        free = shutil.disk_usage(self.folder).free >> 20
        return RunError(
            f"{partial}: the checkpoint could not be written ({_cause(error)}; {free} MiB free"
            f" there); {self.safe()}"
        )

    def safe(self) -> str:
        """Where a run that stops now can go on from."""
        found = newest(self.folder)
        if found is None:
            return "there is no checkpoint yet"
        return f"{found.name} is whole: --resume auto goes on from there"


def no_room(folder: Path, needed: int) -> str | None:
    """One line if fewer than `needed` bytes are free where `folder` is or will be."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free >= needed:
        return None
    return f"{folder}: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free"


def _files_of(tensors: Mapping[str, Tensor], mine: int) -> dict[str, int]:
    """Which of a process's files (from 1) each tensor goes to, filled in order."""
    count = max(1, -(-mine // _FILE_BYTES))
    placed, done = {}, 0
    for name, tensor in tensors.items():
        placed[name] = min(count, 1 + done * count // max(1, mine))
        done += _local(tensor).numel() * tensor.element_size()
    return placed


_NAME = re.compile(r"step-\d{8,}")


def _after(written: Future[Any], then: Callable[[], None]) -> Future[Any]:
    """A future that is done when `then` is, which runs where and when `written` is done."""
    done: Future[Any] = Future()

    def go_on(future: Future[Any]) -> None:
        error = future.exception()
        try:
            if error is None:
                then()
        except (OSError, ValueError) as wrong:
            error = wrong
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    written.add_done_callback(go_on)
    return done


def _sum_mine(partial: Path, rank: int) -> None:
    """Checks and hashes the files that this process wrote; leaves the result beside them."""
    mine = f"shard-{rank + 1:05d}-"
    found = {path.name: _checked(path) for path in sorted(partial.glob(f"{mine}*{_TENSORS}"))}
    write_atomically(partial / f"{mine}{_SUMS}", json.dumps(found))


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _digest(note: Mapping[str, Any]) -> str:
    """sha256 of what `run.json` says but for this."""
    said = {name: value for name, value in note.items() if name != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _checked(path: Path) -> dict[str, Any]:
    """Size and hash of a safetensors file; the size must be that of its header and tensors.

    Brought to the disk first. Raises ValueError.
    """
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        size = os.fstat(stream.fileno()).st_size
        length = int.from_bytes(stream.read(_HEADER), "little")
        if not 0 < length <= size:
            raise ValueError(f"{path.name} has no header")
        header = json.loads(stream.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    wanted = _HEADER + length + max(ends, default=0)
    if size != wanted:
        raise ValueError(f"{path.name} has {size} bytes of {wanted}")
    return {"bytes": size, "xxh3": _hash(path)}


def newest(folder: Path) -> Path | None:
    """The checkpoint that `latest` names, or None.

    Raises:
        RefusedError: it names something else.
    """
    pointer = folder / LATEST
    if not pointer.is_file():
        return None
    name = pointer.read_bytes().decode("utf-8", "replace").strip()
    if not _NAME.fullmatch(name):
        raise RefusedError(f"{pointer}: {name[:40]!r} is no name of a checkpoint")
    return folder / name


def find(path: Path) -> Path | None:
    """The checkpoint that a path stands for: itself, or the newest of a run's folder."""
    if (path / FACTS).is_file():
        return path
    for folder in (path, path / "checkpoints"):
        if (found := newest(folder)) is not None:
            return found
    return None


def read(path: Path) -> Saved:
    """What a checkpoint says of itself, its files being there whole.

    Raises:
        RefusedError: there is no complete checkpoint at this path.
    """
    try:
        found = json.loads((path / FACTS).read_text())
        if found["digest"] != _digest(found):
            raise ValueError(f"{FACTS} was changed")
        saved = Saved(path, int(found["step"]), dict(found["facts"]), dict(found["state"]), {})
        for name, entry in found["files"].items():
            if Path(name).name != name:
                raise ValueError(f"{name} is elsewhere")
            there = (path / name).stat().st_size
            if there != entry["bytes"]:
                raise ValueError(f"{name} has {there} bytes of {entry['bytes']}")
            saved.files[name] = dict(entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{path}: not a complete checkpoint ({error})") from error
    if {p.name for p in path.glob(f"*{_TENSORS}")} != set(saved.files):
        raise RefusedError(f"{path}: holds other files than its {FACTS} lists")
    return saved


def verify(saved: Saved, world: World | None = None) -> None:
    """Hashes the files of a checkpoint, shared out among the processes, all of which call it.

    Raises:
        RefusedError: one is not as it was written.
    """
    rank, size = (world.rank, world.size) if world else (0, 1)
    problem = None
    for name in sorted(saved.files)[rank::size]:
        try:
            if _hash(saved.path / name) != saved.files[name]["xxh3"]:
                problem = f"{name} is damaged"
        except OSError as error:
            problem = f"{name}: {error.strerror}"
    problems = world.all_of(problem) if world else [problem] if problem else []
    if problems:
        raise RefusedError(f"{saved.path}: {problems[0]}")


def load(saved: Saved, model: nn.Module, optimizer: Optimizer | None) -> None:
    """Fills model (and optimizer) in place, whatever number of processes wrote the checkpoint.

    Raises:
        RunError: its files are damaged or of another model.
    """
    tensors = _tensors(model, optimizer, fresh=True)
    try:
        dcp.load(tensors, storage_reader=HuggingFaceStorageReader(str(saved.path)))
    except (OSError, ValueError, KeyError, CheckpointException) as error:
        raise RunError(f"{saved.path}: could not be loaded ({_cause(error)})") from error


def differences(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """One line for each fact that a run and its checkpoint do not share."""
    return [
        f"{name}: checkpoint {saved.get(name)!r}, this run {given.get(name)!r}"
        for name in sorted({*saved, *given})
        if saved.get(name) != given.get(name)
    ]
