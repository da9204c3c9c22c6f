"""What a run says: one JSON record a line in `log.jsonl`, and a line in the terminal."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_min.checkpoint import write_atomically
from trainer_min.errors import RefusedError


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log in order; without a last line that a kill cut short.

    Raises:
        RefusedError: another line is damaged.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    try:
        return [json.loads(line) for line in lines if line.endswith(b"\n")]
    except ValueError as error:
        raise RefusedError(f"{path}: a line is damaged ({error})") from error


def _json(value: Any) -> Any:
    """With null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


class RunLog:
    """Log of the first process; silent in the others.

    After a resume at step k all that was logged beyond step k is taken out of the file, so that it
    holds each step once.
    """

    def __init__(
        self, folder: Path, *, after: int, steps: int, on: bool, tensorboard: bool = False
    ) -> None:
        """Raises RefusedError if tensorboard is asked for and not installed."""
        self.on = on
        self.path = folder / "log.jsonl"
        self._every = max(1, steps // 20)
        self._steps = steps
        self._live = on and sys.stdout.isatty()
        self._board: Any = None
        self.problem: str | None = None
        """Why the log could not be written: on one process only, so it is a value."""
        if not on:
            return
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise RefusedError(f"--tensorboard: {error}") from error
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1)
        kept = [r for r in read_log(self.path) if r["step"] <= after and r["kind"] != "end"]
        there = {r["step"] for r in kept if r["kind"] == "step"}
        if gap := sorted(set(range(1, after + 1)) - there):
            print(f"warning: {self.path} has no step {gap[0]} and {len(gap) - 1} more before")
        write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        self._stream = self.path.open("a", buffering=1)

    def say(self, line: str = "") -> None:
        """Prints a line."""
        if self.on:
            print(line, flush=True)

    def record(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Appends a record; its numbers go to TensorBoard too, as `kind/name`."""
        if not self.on or self.problem:
            return
        try:
            self._stream.write(json.dumps(_json({"kind": kind, **facts}), allow_nan=False) + "\n")
            if self._board is not None:
                self._draw(kind, facts)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror or error}"

    def _draw(self, kind: str, facts: Mapping[str, Any]) -> None:
        for name, value in facts.items():
            group = value if isinstance(value, dict) else {"": value}
            for key, number in group.items():
                if name != "step" and isinstance(number, int | float):
                    tag = f"{kind}/{name}" + (f"/{key}" if key else "")
                    self._board.add_scalar(tag, number, facts["step"])

    def step(self, facts: Mapping[str, Any], *, last: bool) -> None:
        """Records a step; shows it in place on a terminal, every 20th part of the run elsewhere."""
        self.record("step", facts)
        if not self.on:
            return
        step = facts["step"]
        stays = last or step == 1 or step % self._every == 0
        line = (
            f"step {step:>{len(str(self._steps))}}/{self._steps}  loss {facts['loss']:.4f}  "
            f"gradient {facts['grad_norm']:.3f}  lr {facts['lr']:.2e}  "
            f"{facts['tokens_per_s']:,.0f} tokens/s  data {facts['digest']}"
        )
        if facts["mfu"] is not None:
            line += f"  MFU {facts['mfu']:.1%}"
        if self._live:
            print("\r\x1b[K" + line, end="\n" if stays else "", flush=True)
        elif stays:
            print(line, flush=True)

    def close(self) -> None:
        """Closes the files."""
        try:
            if self.on:
                self._stream.close()
            if self._board is not None:
                self._board.close()
        except OSError as error:
            self.problem = self.problem or f"{self.path}: {error.strerror or error}"
