"""Speed of the trainer as it is, beside a plain loop over the same model on the same device.

The trainer's figures are those of its own log, data and all; the plain loop has no sharding, no
checks and no log, and its batch is on the device already: what is between the two is our overhead.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from tokenizer.manifest import Canary, Separator, build
from tokenizer.shards import ShardWriter
from trainer_min import flops
from trainer_min.config import LLAMA_VOCABULARY, SIZES, TrainSettings
from trainer_min.init import initialise_transformer
from trainer_min.log import read_log
from trainer_min.model import Recompute, Transformer
from trainer_min.parallel import World
from trainer_min.train import peak_memory, train

_DOCUMENT = 700  # tokens of a made-up document


@dataclass(frozen=True)
class Speed:
    """One way to train: medians over the steps after the warm-up, for one device."""

    what: str
    tokens_per_s: float
    mfu: float | None
    memory_gb: float
    data_wait: float | None


def write_corpus(folder: Path, tokens: int, vocab_size: int) -> Path:
    """Shards of random ids: what is in them makes no difference to the speed."""
    rng = np.random.default_rng(0)
    (folder / "made").mkdir(parents=True)
    writer = ShardWriter(
        str(folder / "made" / "train-00000-of-00001"), vocab_size=vocab_size, separator_id=2
    )
    for number in range(-(-tokens // _DOCUMENT)):
        ids = rng.integers(3, vocab_size, _DOCUMENT - 1)
        writer.add(f"document-{number}", ids, text_bytes=4 * _DOCUMENT)
    entry = writer.close().entry("made/train-00000-of-00001.bin", source="made", split="train")
    build(
        tokenizer_sha256="0" * 64,
        canary=Canary(text="", ids=()),
        vocab_size=vocab_size,
        proportions={"made": 1.0},
        shards=[entry],
        separator=Separator(id=2),
    ).save(folder)
    return folder


def measure(
    model: str,
    world: World,
    *,
    seq_len: int,
    micro_batch: int,
    batch: int,
    steps: int,
    warm: int,
    recompute: Recompute,
    corpus: Path | None,
) -> Iterator[Speed]:
    """The trainer without and with `torch.compile`, then the plain loop.

    Args:
        batch: sequences of a step, over all processes.
        steps, warm: steps that count, and steps before them.
    """
    config = SIZES[model].model(LLAMA_VOCABULARY)
    box: list[object] = [tempfile.mkdtemp(prefix="llama-corpus-bench-") if world.first else None]
    folder = Path(str(world.agree(box[0])))
    try:
        if corpus is None:
            corpus = folder / "tokens"
            if world.first:
                write_corpus(corpus, (steps + warm + 1) * batch * seq_len + 1, LLAMA_VOCABULARY)
            world.barrier()
        for compiled in (False, True):
            settings = TrainSettings(
                corpus=corpus,
                out=folder / f"run-{compiled}",
                model=model,
                seq_len=seq_len,
                batch=batch,
                micro_batch=micro_batch,
                steps=steps + warm,
                lr=SIZES[model].lr,
                warmup=1,
                vocab_size=LLAMA_VOCABULARY,
                compile=compiled,
                activation_checkpoint=recompute,
                eval_sequences=0,
                save_at_end=False,
            )
            with contextlib.redirect_stdout(io.StringIO()):
                train(settings, world)
            world.barrier()
            records = [r for r in read_log(settings.out / "log.jsonl") if r["kind"] == "step"]
            counted = records[warm:]
            speed = statistics.median(r["tokens_per_s"] for r in counted) / world.size
            yield Speed(
                f"trainer{', compiled' if compiled else ''}",
                speed,
                flops.utilisation(speed, config, seq_len, world.device_name),
                max(r["memory_gb"] for r in counted),
                statistics.median(r["data_wait"] for r in counted),
            )
            _forget(world)
        if world.size == 1:
            rows = min(micro_batch, batch)
            speed, memory = plain_loop(model, world, seq_len, rows, steps, warm)
            mfu = flops.utilisation(speed, config, seq_len, world.device_name)
            yield Speed("plain loop", speed, mfu, memory, None)
    finally:
        world.barrier()
        if world.first:
            shutil.rmtree(folder, ignore_errors=True)


def plain_loop(
    model: str, world: World, seq_len: int, rows: int, steps: int, warm: int
) -> tuple[float, float]:
    """Tokens a second and GB of a loop of forward, backward and AdamW on one batch."""
    torch.manual_seed(0)
    net = Transformer(SIZES[model].model(LLAMA_VOCABULARY)).to(world.device)
    initialise_transformer(net, 0)
    cuda = world.device.type == "cuda"
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=cuda)
    data = torch.randint(3, LLAMA_VOCABULARY, (rows, seq_len + 1), device=world.device)
    times = []
    for _ in range(steps + warm):
        began = time.perf_counter()
        with torch.autocast(world.device.type, torch.bfloat16, enabled=cuda):
            logits = net(data[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1).float(), data[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())  # waits for the device, as the trainer's log does
        times.append(time.perf_counter() - began)
    return rows * seq_len / statistics.median(times[warm:]), peak_memory(world) / 1e9


def _forget(world: World) -> None:
    gc.collect()
    if world.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(world.device)


def lines(speeds: list[Speed], model: str, world: World, **told: object) -> list[str]:
    """The table, with what it is about."""
    peak = flops.peak(world.device_name)
    head = ", ".join(f"{name} {value}" for name, value in told.items())
    found = [
        f"{model} on {world.size} x {world.device_name}, {head}",
        f"MFU: {flops.FORMULA} over {peak / 1e12:g} TFLOP/s (dense bf16)"
        if peak
        else "MFU: n/a, the peak of this device is not known",
        f"{'':<20} {'tokens/s a device':>18} {'MFU':>7} {'GB':>7} {'data wait':>10}",
    ]
    for s in speeds:
        mfu = f"{s.mfu:.1%}" if s.mfu is not None else "n/a"
        wait = f"{s.data_wait:.2%}" if s.data_wait is not None else ""
        found.append(
            f"{s.what:<20} {s.tokens_per_s:>18,.0f} {mfu:>7} {s.memory_gb:>7.1f} {wait:>10}"
        )
    return found


def as_json(speeds: list[Speed], model: str, world: World) -> str:
    """The figures as one line of JSON."""
    rows = [vars(s) for s in speeds]
    return json.dumps(
        {"model": model, "device": world.device_name, "devices": world.size, "rows": rows}
    )
