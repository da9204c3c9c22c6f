"""What it costs to start: `python -m benchmarks.start_up FOLDER WORKERS` prints seconds as JSON.

One document goes through `select` twice: `first_s` from the start of this program to the end of
the first step, `step_s` for the second step alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

_STARTED = time.perf_counter()


def main(folder: str, workers: int) -> dict[str, float]:
    """Wall seconds. Writes below `folder`."""
    from stages.documents import PartWriter
    from stages.engine.execute import Engine, Executor
    from stages.engine.run import run_step
    from stages.engine.step import Step
    from stages.outcomes import Document

    given = Path(folder, "given")
    given.mkdir(parents=True)
    with PartWriter(str(given), "part-00000-of-00001.parquet", "start_up") as out:
        out.outcome(Document("one", "a text", "commoncrawl", "nowhere#0"))
    ends = []
    with Executor(Engine(workers=workers)) as executor:
        for name in ("first", "second"):
            run_step(
                Step(name, "select", str(Path(folder, name)), {"input": [str(given)]}), executor
            )
            ends.append(time.perf_counter())
    return {"first_s": ends[0] - _STARTED, "step_s": ends[1] - ends[0]}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
