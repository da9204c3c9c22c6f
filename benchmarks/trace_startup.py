"""What it costs to open 10,000 shards and to look around in them:
`python -m benchmarks.trace_startup [--shards N] [--folder DIR]`.

The shards are as large as files with holes can be: payloads of zeros that take no room, beside
sidecars that all are one file. Start-up is timed in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks import command
from benchmarks.measure import REPO, MeasureError
from tokenizer import manifest as manifests
from tokenizer import paper
from tokenizer.manifest import Canary, Shard
from tokenizer.shards import ShardWriter

SHARD_TOKENS = 1 << 24
DOCUMENT_TOKENS = 512
SEQ_LEN, BATCH = 2048, 2048  # the paper's
_LOOK_UPS = 2000


def make(folder: Path, shards: int) -> None:
    """A corpus of so many shards of the paper's sources, in its proportions."""
    writer = ShardWriter(folder / "template", vocab_size=32_000, separator_id=2)
    ids = np.zeros(DOCUMENT_TOKENS - 1, dtype=np.uint16)
    for i in range(SHARD_TOKENS // DOCUMENT_TOKENS):
        writer.add(f"d{i}", ids, 2000, origin=f"/raw/f#{i}", names=(f"f#{i}", f"e.example/{i}"))
    facts = writer.close()
    entries: list[Shard] = []
    for source, row in paper.TABLE_1.items():
        (folder / source).mkdir()
        count = max(1, round(shards * row.proportion))
        for i in range(count):
            name = f"{source}/train-{i:05d}-of-{count:05d}"
            with open(folder / f"{name}.bin", "wb") as payload:
                payload.truncate(2 * SHARD_TOKENS)
            for ending in (".idx", ".docs.parquet", ".names"):
                os.link(folder / f"template{ending}", folder / (name + ending))
            entries.append(facts.entry(f"{name}.bin", source=source, split="train"))
    manifests.build(
        tokenizer_sha256="0" * 64,
        canary=Canary(text="a", ids=(5,)),
        vocab_size=32_000,
        proportions={name: row.proportion for name, row in paper.TABLE_1.items()},
        shards=entries,
    ).save(folder)


def measure(folder: str) -> dict[str, float]:
    """In this process, from nothing imported but numpy and this module: seconds and µs."""
    began = time.perf_counter()
    from tokenizer.order import DataOrder

    manifest = manifests.load(folder)
    order = DataOrder(manifest, folder, seq_len=SEQ_LEN, seed=1)
    opened = time.perf_counter()
    order.tokens(0)
    ready = time.perf_counter()
    numbers = np.random.default_rng(0).integers(0, 10**8, _LOOK_UPS).tolist()
    marks = [time.perf_counter()]
    slots = [order.slots([g]) for g in numbers[:200]]
    marks.append(time.perf_counter())
    order.slots(numbers)
    marks.append(time.perf_counter())
    for g in range(_LOOK_UPS):
        order.slot(g)
    marks.append(time.perf_counter())
    wanted = [order.slot(g) for g in range(200)]
    marks.append(time.perf_counter())
    back = [order.inverse(slot) for slot in wanted]
    marks.append(time.perf_counter())
    assert back == list(range(200)) and len(slots) == 200
    for g in numbers[:200]:
        order.tokens(g)
    marks.append(time.perf_counter())
    micro = [1e6 * (b - a) for a, b in pairwise(marks)]
    return {
        "open_s": opened - began,
        "first_sequence_s": ready - began,
        "slot_alone_us": micro[0] / 200,
        "slot_among_many_us": micro[1] / _LOOK_UPS,
        "slot_in_a_row_us": micro[2] / _LOOK_UPS,
        "inverse_us": micro[4] / 200,
        "read_sequence_us": micro[5] / 200,
    }


def _timed(*command: str, most: int = 0) -> tuple[str, str]:
    """Seconds by the clock and of a core, which other work on the machine changes less; and what
    was printed. Raises MeasureError where the exit code is over `most`."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode > most or "Traceback" in done.stderr:
        raise MeasureError(done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{took:8.2f} s ({cpu:.2f} s CPU)", done.stdout


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.trace_startup", __doc__)
    parser.add_argument("--shards", type=command.number(1), default=10_000, help="[10000]")
    parser.add_argument("--folder", help="where to make them [a temporary folder]")
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return 0

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="shards-", dir=options.folder) as folder:
            show(folder, options.shards)

    return command.run(work)


def show(folder: str, shards: int) -> None:
    """Makes the shards and prints what was measured. Raises MeasureError."""
    make(Path(folder), shards)
    manifest = manifests.load(folder)
    tokens = sum(s.tokens for s in manifest.shards)
    print(f"{len(manifest.shards):,} shards, {tokens / 1e9:,.0f}B tokens (payloads of holes)")
    python = sys.executable
    took, printed = _timed(python, "-m", "benchmarks.trace_startup", "--measure", folder)
    facts = json.loads(printed)
    print(f"a process that opens them and reads a sequence     {took}, of which")
    print(f"  manifest and order                               {facts['open_s']:8.2f} s")
    print(f"  and the first sequence                           {facts['first_sequence_s']:8.2f} s")
    for name, key in (
        ("sequence to window, one alone", "slot_alone_us"),
        ("sequence to window, among 2,000", "slot_among_many_us"),
        ("sequence to window, one after the other", "slot_in_a_row_us"),
        ("window to sequence", "inverse_us"),
        ("reading a sequence of 2,049 tokens", "read_sequence_us"),
    ):
        print(f"{name:<50} {facts[key]:8.1f} µs")
    trace = (python, "-m", "pipeline", "trace", folder, "--seq-len", str(SEQ_LEN))
    for name, asked in (
        ("--sequence 12345678", ("--sequence", "12345678")),
        ("--step 1000 (2,048 sequences)", ("--step", "1000", "--batch", str(BATCH))),
        ("--document, a name that no shard has", ("--document", "x.example", "--epochs", "1")),
    ):
        took, _ = _timed(*trace, *asked, most=1)
        print(f"corpus trace {name:<37} {took}")


if __name__ == "__main__":
    raise SystemExit(main())
