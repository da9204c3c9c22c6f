"""Speed of line normalisation and hashing: whole batches against one line at a time.

    python benchmarks/line_hashing.py [FILE...]

The per-line loop does what a plain program does for each line: strip, lower, two regular
expressions, SHA-1. Without files, an invented mixed text is used. The hashes are compared first.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.ccnet_text import _CONTROLS, _REPLACEMENT, batch_line_hashes

DIGIT = re.compile(r"\d")
REMOVED = re.compile(f"[{re.escape(''.join(sorted(_CONTROLS)) + ''.join(_REPLACEMENT))}]")


def line_by_line(texts: list[str]) -> npt.NDArray[np.uint64]:
    parts = []
    for text in texts:
        digests = []
        for line in text.split("\n"):
            kept = REMOVED.sub("", DIGIT.sub("0", line.strip().lower()))
            digests.append(hashlib.sha1(kept.encode("utf-8", "surrogatepass")).digest()[:8])
        parts.append(np.frombuffer(b"".join(digests), dtype="<u8"))
    return np.concatenate(parts)


def invented(documents: int = 1500, seed: int = 1) -> list[str]:
    choose = random.Random(seed)
    words = [
        "".join(choose.choices(letters, k=choose.randint(2, 9)))
        for letters in ("etaoinsrh", "éàùetanis", "оеаинтслв", "的一是不了人我", "0123456789.,–“”")
        for _ in range(400)
    ]

    def line() -> str:
        start = choose.choice((0, 0, 0, 400, 800, 1200))
        return " ".join(choose.choices(words[start : start + 500], k=choose.randint(1, 18)))

    return ["\n".join(line() for _ in range(choose.randint(20, 200))) for _ in range(documents)]


def best(function: Callable[[], Any], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(paths: list[str]) -> None:
    texts = [Path(p).read_text("utf-8", "replace") for p in paths] or invented()
    megabytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6
    hashes, _ = batch_line_hashes(texts)
    if not np.array_equal(hashes, line_by_line(texts)):
        sys.exit("the batch and the loop disagree")
    loop, batch = best(lambda: line_by_line(texts)), best(lambda: batch_line_hashes(texts))
    print(f"{len(texts)} documents, {len(hashes)} lines, {megabytes:.1f} MB, same hashes")
    for name, seconds in (("line by line", loop), ("batch", batch)):
        per_line = seconds / len(hashes) * 1e9
        print(f"{name:>12}: {megabytes / seconds:6.1f} MB/s, {per_line:5.0f} ns a line")
    print(f"       ratio: {loop / batch:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
