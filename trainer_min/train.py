"""The train loop, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from trainer_min import checkpoint
from trainer_min.config import SIZES, ModelConfig, TrainSettings
from trainer_min.data import IGNORED, Batch, Corpus, differences, open_corpus, read
from trainer_min.errors import RefusedError, RunError
from trainer_min.log import RunLog, read_log
from trainer_min.model import Transformer
from trainer_min.parallel import World, build_model, reduce_gradients
from trainer_min.schedule import learning_rate, schedule_table

# Settings that a run and its checkpoints share.
_RECIPE = (
    *("seq_len", "batch", "steps", "seed", "weights"),
    *("lr", "warmup", "min_lr_ratio", "clip"),
    *("weight_decay", "decay", "beta1", "beta2", "adam_eps"),
)


@dataclass(frozen=True)
class Summary:
    """How a run ended. Losses are mean nats a token; `held_out` has one a source.

    `first_loss` and `last_loss` are known to the first process alone, NaN elsewhere.
    """

    step: int
    first_loss: float
    last_loss: float
    held_out: dict[str, float]


def train(s: TrainSettings, world: World) -> Summary:
    """Trains to `steps` (or `stop_at`), from the start or from a checkpoint.

    Raises:
        RefusedError: the corpus or the checkpoint does not fit; nothing was written.
        RunError: a loss or gradient was not finite, tokens could not be read or a checkpoint not be
            written; the checkpoints before it are untouched.
    """
    corpus, config = _open(s, world)
    weights = s.mixture()
    order = corpus.order(seq_len=s.seq_len, seed=s.seed, split="train", weights=weights)
    facts = _facts(s, config, corpus)
    start, resumed = _where_to_start(s, facts, world)

    model = build_model(config, s, world)
    optimizer = _optimizer(model, s, world)
    if resumed is not None:
        checkpoint.load(resumed, model, optimizer)

    if world.first:
        s.out.mkdir(parents=True, exist_ok=True)
        checkpoint.write_atomically(s.out / "settings.json", s.model_dump_json(indent=1) + "\n")
    log = RunLog(s.out, after=start, steps=s.steps, on=world.first)
    for line in _opening(s, config, corpus, world, resumed):
        log.say(line)
    log.record("run", {"step": start, "processes": world.size, **facts})

    model.train()
    share = world.share(s.batch)
    rows = math.ceil(s.batch / world.size)
    end = min(s.steps, s.stop_at or s.steps)
    saved = start
    for step in range(start + 1, end + 1):
        began = time.perf_counter()
        offset = (step - 1) * s.batch
        batch = read(order, range(offset + share.start, offset + share.stop), rows)
        valid = _labels(batch, world, f"step {step}", saved)
        digest = world.total_mod_2_64(batch.digest)
        inputs, labels = batch.inputs.to(world.device), batch.labels.to(world.device)

        loss_sum = torch.zeros((), device=world.device)
        for row in range(0, rows, s.micro_batch):
            reduce_gradients(model, s.sync_every_micro_batch or row + s.micro_batch >= rows)
            part = slice(row, row + s.micro_batch)
            loss = summed_loss(model, inputs[part], labels[part])
            (loss / valid).backward()
            loss_sum += loss.detach()
        norm = clip_grad_norm_(model.parameters(), s.clip)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm

        mean, grad_norm = world.total(loss_sum)[0] / valid, float(norm)
        if not (math.isfinite(mean) and math.isfinite(grad_norm)):
            raise RunError(
                f"step {step}: loss {mean}, gradient norm {grad_norm}; the weights were not "
                f"changed; {_safe(saved)}"
            )
        lr = learning_rate(
            step, peak=s.lr, warmup=s.warmup, steps=s.steps, min_ratio=s.min_lr_ratio
        )
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        optimizer.zero_grad()

        seconds = time.perf_counter() - began
        log.step(
            {
                "step": step,
                "loss": mean,
                "grad_norm": grad_norm,
                "lr": lr,
                "tokens": step * s.batch * s.seq_len,
                "tokens_per_s": valid / seconds,
                "seconds": seconds,
                "digest": f"{digest:016x}",
            },
            last=step == end,
        )
        if step == end or (s.save_every and step % s.save_every == 0):
            checkpoint.save(
                s.out / "checkpoints", step, model, optimizer, facts, world, keep=s.keep
            )
            saved = step

    held_out = held_out_losses(model, corpus, s, world) if end == s.steps else {}
    summary = _summary(log, corpus, max(start, end), held_out)
    log.close()
    return summary


def summed_loss(model: Transformer, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, float32, summed over the labels that are not `IGNORED`."""
    logits = model(inputs).flatten(0, 1).float()
    return F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, reduction="sum")


@torch.no_grad()
def held_out_losses(
    model: Transformer, corpus: Corpus, s: TrainSettings, world: World
) -> dict[str, float]:
    """Mean loss a token on each source's first held-out sequences, in nats.

    Sources whose held-out part is shorter than one sequence are left out.
    """
    model.eval()
    losses = {}
    for source in sorted(corpus.manifest.sources):
        count = min(s.eval_sequences, corpus.windows(source, "valid", s.seq_len))
        if not count:
            continue
        order = corpus.order(seq_len=s.seq_len, seed=s.seed, split="valid", weights={source: 1.0})
        rows = math.ceil(count / world.size)
        batch = read(order, world.share(count), rows)
        valid = _labels(batch, world, f"held-out {source}", s.steps)
        total = torch.zeros((), device=world.device)
        for row in range(0, rows, s.micro_batch):
            part = slice(row, row + s.micro_batch)
            inputs, labels = batch.inputs[part], batch.labels[part]
            total += summed_loss(model, inputs.to(world.device), labels.to(world.device))
        losses[source] = world.total(total)[0] / valid
    model.train()
    return losses


def _labels(batch: Batch, world: World, what: str, saved: int) -> float:
    """Labels that count, over all processes; an error on all if one could not read its part."""
    valid, problems = world.total((batch.labels != IGNORED).sum(), batch.problem is not None)
    if problems:
        raise RunError(f"{what}: {world.all_of(batch.problem)[0]}; {_safe(saved)}")
    return valid


def _safe(saved: int) -> str:
    if not saved:
        return "there is no checkpoint yet"
    return f"the checkpoint of step {saved} is whole: --resume auto goes on from there"


def _open(s: TrainSettings, world: World) -> tuple[Corpus, ModelConfig]:
    size = SIZES[s.model]
    corpus = open_corpus(s.corpus)
    rows = s.vocab_size or size.vocab_size or corpus.manifest.vocab_size
    found: object = None
    if world.first:  # one process reads the shards, all hear the result
        found = differences(
            corpus,
            vocab_size=rows,
            padded=s.vocab_size is not None,
            seq_len=s.seq_len,
            weights=s.mixture(),
            verify=s.verify_shards,
        )
    found = world.agree(found)
    if found:
        assert isinstance(found, list)
        raise RefusedError("\n  ".join([f"{corpus.root} does not fit this run:", *found]))
    return corpus, size.model(rows)


def _facts(s: TrainSettings, config: ModelConfig, corpus: Corpus) -> dict[str, Any]:
    """What must be the same when a run goes on; all else may change (processes, micro-batch...)."""
    return {
        **{f"model.{name}": value for name, value in config.model_dump().items()},
        **{name: getattr(s, name) for name in _RECIPE},
        **corpus.facts(),
    }


def _where_to_start(
    s: TrainSettings, facts: dict[str, Any], world: World
) -> tuple[int, Path | None]:
    folder = s.out / "checkpoints"
    path = checkpoint.newest(folder) if s.resume in ("auto", "never") else Path(s.resume)
    if path is None:
        return 0, None
    if s.resume == "never":
        raise RefusedError(
            f"{s.out} holds {path.name} already: --resume auto goes on, or another --out"
        )
    step, saved = checkpoint.read_facts(path)
    if found := checkpoint.differences(saved, facts):
        raise RefusedError("\n  ".join([f"{path} is of another run:", *found]))
    world.barrier()  # none writes before all have read
    return step, path


def _optimizer(model: Transformer, s: TrainSettings, world: World) -> AdamW:
    decayed = [p for p in model.parameters() if p.dim() > 1 or s.decay == "all"]
    spared = [p for p in model.parameters() if p.dim() == 1 and s.decay != "all"]
    groups = [
        {"params": decayed, "weight_decay": s.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=s.lr,
        betas=(s.beta1, s.beta2),
        eps=s.adam_eps,
        fused=world.device.type == "cuda",
    )


def _opening(
    s: TrainSettings, config: ModelConfig, corpus: Corpus, world: World, resumed: Path | None
) -> list[str]:
    shares = s.mixture() or {n: v.proportion for n, v in corpus.manifest.sources.items()}
    total = sum(shares.values())
    device = world.device.type
    return [
        f"model {s.model}: {config.parameters():,} parameters, vocabulary {config.vocab_size:,}, "
        f"{'bfloat16 with float32 reduction' if device == 'cuda' else 'float32'}",
        f"world: {world.size} process{'es' * (world.size > 1)} on {device}, "
        f"{torch.get_num_threads()} threads each",
        f"step: {s.batch} sequences of {s.seq_len} = {s.batch * s.seq_len:,} tokens; "
        f"run: {s.steps:,} steps, {s.steps * s.batch * s.seq_len:,} tokens",
        "sequences per source: "
        + ", ".join(f"{name} {share / total:.1%}" for name, share in shares.items() if share),
        f"AdamW ({s.beta1}, {s.beta2}), eps {s.adam_eps:g}, decay {s.weight_decay} "
        f"({s.decay}), clip {s.clip}, seed {s.seed}",
        *schedule_table(peak=s.lr, warmup=s.warmup, steps=s.steps, min_ratio=s.min_lr_ratio),
        f"resumed from {resumed}" if resumed else "from the start",
    ]


def _summary(log: RunLog, corpus: Corpus, step: int, held_out: dict[str, float]) -> Summary:
    records = read_log(log.path) if log.on else []
    losses = {record["step"]: record["loss"] for record in records if record["kind"] == "step"}
    first, last = losses.get(1, math.nan), losses.get(step, math.nan)
    summary = Summary(step, first, last, held_out)
    log.record("end", {"step": step, "first_loss": first, "last_loss": last, "held_out": held_out})
    vocabulary = corpus.manifest.vocab_size
    log.say(
        f"training loss: {first:.4f} at step 1, {last:.4f} at step {step} "
        f"(uniform guessing over {vocabulary:,} ids: {math.log(vocabulary):.4f})"
    )
    for source, loss in held_out.items():
        facts = corpus.manifest.sources[source]
        bits = loss / math.log(2) * facts.valid_tokens / max(1, facts.valid_text_bytes)
        log.say(f"held-out loss {source}: {loss:.4f} nats a token, {bits:.4f} bits a byte of text")
    return summary
