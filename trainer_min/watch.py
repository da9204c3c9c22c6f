"""Whether a step's update may be made: finite, and no spike.

A spike is a value that lies `sigma` standard deviations over the mean of the last `WINDOW` steps
(as OLMo-core's skip-step optimizer). A spike enters the window cut down to that limit: it hides no
later ones, and a level that lasts is ordinary after a while. The window is part of the state of a
run, so a resumed run judges as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

WINDOW = 128
_FEWEST = 32  # steps before anything is called a spike


class Watch:
    """Judges losses and gradient norms, step by step."""

    def __init__(self, sigma: float, state: Mapping[str, Any] | None = None) -> None:
        self._sigma = sigma
        state = state or {}
        self._seen = {
            name: deque(map(float, state.get(name, ())), maxlen=WINDOW)
            for name in ("loss", "grad_norm")
        }
        self.skipped = int(state.get("skipped", 0))
        """Updates left out in a row."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"skipped": self.skipped, **{name: list(v) for name, v in self._seen.items()}}

    def judge(self, loss: float, grad_norm: float) -> str | None:
        """Why the step is out of the ordinary in one phrase, or None."""
        values = {"loss": loss, "grad_norm": grad_norm}
        for name, value in values.items():
            if not math.isfinite(value):
                return f"{name} {value}"
        found = None
        for name, value in values.items():
            seen = self._seen[name]
            limit = math.inf
            if len(seen) >= _FEWEST:
                mean, spread = fmean(seen), stdev(seen)
                limit = mean + self._sigma * spread
                if value > limit and found is None:
                    found = (
                        f"{name} {value:.4g} is over {mean:.4g} + {self._sigma:g} * {spread:.2g}"
                    )
            seen.append(min(value, limit))
        return found
