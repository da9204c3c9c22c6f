"""The run whose data are traced: a training run's folder and log, or options in its place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.trace import Data
from stages.engine.step import InputError
from tokenizer import manifest as manifests
from tokenizer import run_data
from tokenizer.manifest import TokensManifest
from tokenizer.order import ORDER_VERSION, DataOrder
from tokenizer.run_data import RunData

FOLDER = "train"
"""Where `make corpus` puts training runs, below the work folder."""


@dataclass(frozen=True)
class Logged:
    """What a run's log says of one step; empty where it says nothing.

    Attributes:
        digest, loss: of the step; None if it is not in the log.
        spikes: records of kind `spike`, with why and the worst sequences.
        processes: that the run had when it did the step.
        last_step: the last one in the log, 0 if there is none.
    """

    digest: str | None = None
    loss: float | None = None
    spikes: tuple[dict[str, Any], ...] = ()
    processes: int | None = None
    last_step: int = 0


@dataclass(frozen=True)
class Tracing:
    """A corpus and the data of a run over it.

    Attributes:
        folder: the training run's; None where options stand for one.
        steps: of the whole run, None where its end is not known.
        warnings: why the run's data may not be those of this corpus.
    """

    root: str
    manifest: TokensManifest
    data: Data
    run: RunData
    folder: Path | None = None
    steps: int | None = None
    warnings: tuple[str, ...] = ()

    def logged(self, step: int | None) -> Logged:
        """What the run's log says of a step."""
        return Logged() if self.folder is None else read_step(self.folder / run_data.LOG, step)


def open_run(
    where: str,
    train: str | None = None,
    options: RunData | None = None,
    world: int | None = None,
) -> Tracing:
    """Opens the corpus in `where` (a work folder or its `tokens/`) and the data of a run over it.

    The run is the one in folder `train`, or `options`, or else the newest below `where`.

    Raises:
        InputError: no corpus or run is there, they do not fit, or the ledger is no good.
    """
    if train is not None and options is not None:
        raise InputError("--train already says what its run was told")
    try:
        manifest = manifests.load(where)
        root = manifests.root_of(where)
        folder: Path | None = None
        if options is None:
            folder = Path(train) if train is not None else newest(where, root)
            run = run_data.load(folder)
        else:
            run = options
        ledger = run.read_ledger(folder)
        order = DataOrder(
            manifest,
            root,
            seq_len=run.seq_len,
            seed=run.seed,
            weights=run.mixture(),
            changes=ledger.mixture,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    warnings: tuple[str, ...] = ()
    if folder is not None:
        begun = list(_records(folder / run_data.LOG, "run"))
        warnings = tuple(_misfits(manifest, begun))
    data = Data(order, ledger, run.batch, world, run.sequences)
    if world is not None and world < 1:
        raise InputError(f"--world {world}: there is at least one process")
    return Tracing(root, manifest, data, run, folder, run.steps, warnings)


def has_shards(where: str) -> bool:
    """Whether a folder is a corpus with token shards, or the shards' own."""
    try:
        return bool(manifests.find(where))
    except ValueError:
        return False


def options(
    seq_len: int | None,
    batch: int | None,
    seed: int | None,
    weights: str | None,
    ledger: str | None,
) -> RunData | None:
    """A run from options in place of one that was begun; None where none is given.

    Raises InputError if the length of a sequence is not among them.
    """
    given = {"batch": batch, "seed": seed, "weights": weights, "ledger": ledger}
    given = {name: value for name, value in given.items() if value is not None}
    if seq_len is None and not given:
        return None
    if seq_len is None:
        raise InputError(f"--{next(iter(given))} needs --seq-len")
    return RunData.model_validate({"seq_len": seq_len, **given})


def newest(where: str, root: str) -> Path:
    """The training run under a corpus that was written to last. Raises InputError."""
    places = [Path(where, FOLDER), Path(root).parent / FOLDER]
    runs = {
        folder
        for place in places
        for folder in (place, *(sorted(place.iterdir()) if place.is_dir() else ()))
        if run_data.is_run(folder)
    }
    if not runs:
        raise InputError(
            f"{where}: no training run in {places[0]}; name one with --train, or say --seq-len and"
            " --batch"
        )
    return max(runs, key=lambda folder: (_written(folder), folder))


def _written(folder: Path) -> float:
    log = folder / run_data.LOG
    return (log if log.exists() else folder / run_data.SETTINGS).stat().st_mtime


def _misfits(manifest: TokensManifest, begun: list[dict[str, Any]]) -> Iterator[str]:
    if not begun:
        return
    now = hashlib.sha256(manifest.to_json()).hexdigest()
    if begun[-1].get("corpus") != now:
        yield (
            "the corpus is not the one that the run was trained on: its manifest has the sha256"
            f" {now[:16]}..., the run's had {str(begun[-1].get('corpus'))[:16]}..."
        )
    version = begun[-1].get("order_version")
    if version != ORDER_VERSION:
        yield f"the run had version {version} of the data order, this is {ORDER_VERSION}"


def read_step(log: Path, step: int | None) -> Logged:
    """Reads a log through for one step. Raises InputError if it is not a run's log."""
    digest = loss = processes = None
    spikes = []
    last = 0
    for record in _records(log):
        kind, at = record.get("kind"), record.get("step", 0)
        if kind == "step":
            last = max(last, at)
        if step is None:
            continue
        if kind == "run" and at < step:
            processes = record.get("processes")
        elif at == step and kind == "step":
            digest, loss = record.get("digest"), record.get("loss")
        elif at == step and kind == "spike":
            spikes.append(record)
    return Logged(digest, loss, tuple(spikes), processes, last)


def _records(log: Path, kind: str | None = None) -> Iterator[dict[str, Any]]:
    if not log.is_file():
        return
    mark = None if kind is None else f'"kind": "{kind}"'.encode()
    with open(log, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            # A kill may have cut the last line short.
            if not line.endswith(b"\n") or (mark is not None and mark not in line):
                continue
            try:
                record = json.loads(line)  # which knows NaN
            except ValueError as error:
                raise InputError(f"{os.fspath(log)}: line {number} is no record") from error
            if isinstance(record, dict) and kind in (None, record.get("kind")):
                yield record
