"""What the data of a training run depend on, as the run's folder tells.

`settings.json` has the settings, `ledger.json` what was decided later. With the corpus's manifest
they fix which tokens every sequence of the run holds (`tokenizer.order`).
"""

from __future__ import annotations

import math
import os

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tokenizer import ledger as ledgers
from tokenizer.files import file_system, join, read_bytes
from tokenizer.ledger import Ledger

SETTINGS = "settings.json"
LOG = "log.jsonl"


class RunData(BaseModel):
    """The settings that data depend on; a run's further settings are left out.

    `weights` is None for the manifest's proportions, `ledger` for the one in the run's folder,
    `steps` where no end is known.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    seq_len: int = Field(gt=0)
    batch: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    seed: int = 0
    weights: str | None = None
    ledger: str | None = None
    corpus: str | None = None

    @property
    def sequences(self) -> int | None:
        """Sequences of the whole run; None where its end is not known."""
        return self.batch * self.steps if self.batch and self.steps else None

    def mixture(self) -> dict[str, float] | None:
        """`weights` parsed. Raises ValueError."""
        return None if self.weights is None else parse_weights(self.weights)

    def read_ledger(self, folder: str | os.PathLike[str] | None = None) -> Ledger:
        """The ledger that is named, or the one in the run's folder, or an empty one.

        Raises ValueError with one line if it is not one, or a named one is not there.
        """
        if self.ledger is not None:
            return ledgers.load(self.ledger)
        if folder is not None and _is_file(path := join(folder, ledgers.FILE_NAME)):
            return ledgers.load(path)
        return ledgers.EMPTY


def is_run(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder is a training run's."""
    return _is_file(join(folder, SETTINGS))


def load(folder: str | os.PathLike[str]) -> RunData:
    """Reads a run's settings. Raises ValueError with one line."""
    path = join(folder, SETTINGS)
    if not _is_file(path):
        raise ValueError(f"{os.fspath(folder)}: no training run here ({SETTINGS} is absent)")
    try:
        return RunData.model_validate_json(read_bytes(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {place + ': ' if place else ''}{first['msg']}") from error


def parse_weights(text: str) -> dict[str, float]:
    """Shares per source from `c4=0.15,github=0.05`.

    Raises:
        ValueError: an entry is not name=number, or a number is negative or not finite.
    """
    shares: dict[str, float] = {}
    for entry in text.split(","):
        name, equals, number = (part.strip() for part in entry.partition("="))
        try:
            share = float(number) if equals else math.nan
        except ValueError:
            share = math.nan
        if not name or not math.isfinite(share) or share < 0 or name in shares:
            raise ValueError(f"not a share per source: {entry!r} (want name=number, once each)")
        shares[name] = share
    return shares


def _is_file(url: str) -> bool:
    fs, path = file_system(url)
    return bool(fs.isfile(path))
