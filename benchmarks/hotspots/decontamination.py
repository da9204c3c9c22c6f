"""Decontamination: MMLU looked for in books."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.hotspots.core import Hotspot, compared, replaced, size_of
from benchmarks.hotspots.texts import books
from stages.decontaminate.index import Index
from stages.decontaminate.matching import Matcher
from stages.decontaminate.words import NormalForm
from stages.engine.run import run_step
from stages.engine.step import Step

I64 = npt.NDArray[np.int64]

_TOGETHER = 64
"""Texts that are matched at a time."""


def plain_origins(self: NormalForm, text: str, places: I64) -> I64:
    """`NormalForm.origins` by putting each distinct character into normal form."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    distinct, which = np.unique(codes, return_inverse=True)
    sizes = np.array([len(self(chr(code))) for code in distinct.tolist()], np.int64)
    return np.searchsorted(np.cumsum(sizes[which]), places, side="right")


def measure(repeats: int, folder: Path) -> list[Hotspot]:
    texts = books(folder)
    if not texts or not (folder / "eval").is_dir():
        return []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        layout = {"benchmarks": {"mmlu": {"layout": "mmlu"}}}
        inputs = {"input": [str(folder / "eval")]}
        run_step(Step("index", "decontamination_index", work, inputs, layout))
        matcher = Matcher(Index(work))
    calls: list[tuple[str, I64]] = []
    fast = NormalForm.origins

    def noted(self: NormalForm, text: str, places: I64) -> I64:
        calls.append((text, places))
        return fast(self, text, places)

    def match() -> list[I64]:
        slices = (texts[i : i + _TOGETHER] for i in range(0, len(texts), _TOGETHER))
        return [np.stack(matcher.matches(some).columns()) for some in slices]

    def plainly() -> list[I64]:
        with replaced(NormalForm, "origins", plain_origins):
            return match()

    with replaced(NormalForm, "origins", noted):
        match()
    form = NormalForm(matcher.index.punctuation)
    return [
        compared(
            "decontamination",
            "NormalForm.origins",
            size_of(texts),
            lambda: [plain_origins(form, *call) for call in calls],
            lambda: [fast(form, *call) for call in calls],
            repeats,
        ),
        compared(
            "decontamination", "all: Matcher.matches", size_of(texts), plainly, match, repeats
        ),
    ]
