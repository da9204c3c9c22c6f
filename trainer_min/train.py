"""The train loop, to be read from top to bottom."""

from __future__ import annotations

import math
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import AdamW

from tokenizer import ledger as ledgers
from tokenizer.ledger import Ledger
from tokenizer.order import DataOrder
from trainer_min import checkpoint, flops
from trainer_min.checkpoint import Checkpointer, Saved
from trainer_min.config import SIZES, ModelConfig, TrainSettings
from trainer_min.data import IGNORED, Corpus, Steps, differences, open_corpus
from trainer_min.errors import RefusedError, RunError, StoppedError
from trainer_min.evaluate import bits_per_byte, held_out_losses, sample_texts, sequence_losses
from trainer_min.log import RunLog, read_log
from trainer_min.model import Transformer
from trainer_min.parallel import World, build_model, reduce_gradients
from trainer_min.schedule import learning_rate, schedule_table
from trainer_min.watch import Watch

# Settings that a run and its checkpoints share.
_RECIPE = (
    *("seq_len", "batch", "steps", "seed", "weights"),
    *("lr", "warmup", "min_lr_ratio", "clip"),
    *("weight_decay", "decay", "beta1", "beta2", "adam_eps"),
    *("spike_sigma", "skip_spikes"),
)
_MANY_EPOCHS = 4
_BLAMED = 8  # sequences of a spike that are logged with their documents


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
        RunError: too many updates in a row had to be left out, tokens could not be read or a
            checkpoint not be written; the checkpoints before it are untouched.
        StoppedError: SIGTERM or SIGUSR1 came; a checkpoint was saved.
    """
    corpus, config = _open(s, world)
    ledger = _ledger(s, world)
    order = corpus.order(
        seq_len=s.seq_len, seed=s.seed, split="train", weights=s.mixture(), ledger=ledger
    )
    facts = _facts(s, config, corpus)
    saved = _where_to_start(s, facts, ledger, config, world)
    start = saved.step if saved else 0

    model = build_model(config, s, world)
    optimizer = _optimizer(model, s, world)
    if saved is not None:
        checkpoint.load(saved, model, optimizer)
    elif s.init_from is not None:
        _begin_with(s.init_from, model, corpus, world)

    watch = Watch(s.spike_sigma, saved.state.get("watch") if saved else None)
    keeper = Checkpointer(
        s.out / "checkpoints",
        world,
        keep=s.keep,
        keep_every=s.keep_every,
        background=s.background_save,
    )
    log = _open_log(s, start, world)
    for line in _opening(s, config, corpus, order, world, saved):
        log.say(line)
    log.record("run", {"step": start, "processes": world.size, **facts})

    model.train()
    share, rows = world.share(s.batch), math.ceil(s.batch / world.size)
    end = min(s.steps, s.stop_at or s.steps)
    held_out: dict[str, float] = {}
    with (
        Steps(order, ledger, batch=s.batch, share=share, rows=rows) as steps,
        _signals() as asked_to_stop,
    ):

        def end_with(message: str) -> RunError:
            """All processes end here together; what is being saved is finished first."""
            keeper.finish()
            return RunError(f"{message}; {keeper.safe()}")

        for step in range(start + 1, end + 1):
            began = time.perf_counter()
            batch = steps.take(step)
            problem = batch.problem or log.problem
            valid, problems, stop, failed = world.total(
                (batch.labels != IGNORED).sum(),
                problem is not None,
                bool(asked_to_stop),
                keeper.failed(),
            )
            if problems:
                raise end_with(f"step {step}: {world.all_of(problem)[0]}")
            if failed:
                keeper.finish()
            digest = world.total_mod_2_64(batch.digest)
            inputs, labels = batch.inputs.to(world.device), batch.labels.to(world.device)

            losses = []
            for row in range(0, rows, s.micro_batch):
                reduce_gradients(model, s.sync_every_micro_batch or row + s.micro_batch >= rows)
                part = slice(row, row + s.micro_batch)
                loss = sequence_losses(model, inputs[part], labels[part])
                (loss.sum() / max(1.0, valid)).backward()
                losses.append(loss.detach())
            total = torch.cat(losses)
            by_sequence = total / (labels != IGNORED).sum(1).clamp(min=1)
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            norm = get_total_norm(gradients)
            # Agreed on: copies of the model must clip by the same number to the last bit.
            grad_norm = world.largest(norm.full_tensor() if isinstance(norm, DTensor) else norm)
            agreed = torch.tensor(grad_norm, device=world.device)
            clip_grads_with_norm_(model.parameters(), s.clip, agreed)

            mean = world.total(total.sum())[0] / max(1.0, valid)
            worst = world.largest(by_sequence.max())
            odd = watch.judge(mean, grad_norm) if valid else None
            if odd:
                blamed = _blame(order, batch.numbers, by_sequence, world)
                log.record("spike", {"step": step, "why": odd, "sequences": blamed})
                log.say(
                    f"step {step}: {odd}; the worst of its sequences are in {log.path.name},"
                    f" `corpus trace WORK --step {step}` lists all documents"
                )
            lr = learning_rate(
                step, peak=s.lr, warmup=s.warmup, steps=s.steps, min_ratio=s.min_lr_ratio
            )
            finite = math.isfinite(mean) and math.isfinite(grad_norm)
            skip = not valid or not finite or (s.skip_spikes and odd is not None)
            if not skip:
                for group in optimizer.param_groups:
                    group["lr"] = lr
                optimizer.step()
            optimizer.zero_grad()
            watch.skipped = watch.skipped + 1 if skip and valid else 0

            seconds = time.perf_counter() - began
            speed = valid / seconds
            log.step(
                {
                    "step": step,
                    "loss": mean,
                    "loss_max": worst,
                    "grad_norm": grad_norm,
                    "lr": lr,
                    "skipped": skip,
                    "tokens": step * s.batch * s.seq_len,
                    "tokens_per_s": speed,
                    "mfu": flops.utilisation(
                        speed / world.size, config, s.seq_len, world.device_name
                    ),
                    "seconds": seconds,
                    "data_wait": steps.waited / seconds,
                    "memory_gb": peak_memory(world) / 1e9,
                    "digest": f"{digest:016x}",
                },
                last=step == end,
            )
            if watch.skipped > s.max_skips:
                raise end_with(
                    f"step {step}: {odd}; {watch.skipped} updates in a row were left out, so the"
                    f" weights were not changed since step {step - watch.skipped}"
                )
            if world.first:
                keeper.poll()
            if not finite and valid and (step == end or stop):
                raise end_with(f"step {step}: {odd}, so it is not saved")
            due = stop or (s.save_every and step % s.save_every == 0)
            due = due or (s.save_at_end and step == end)
            # What gives no finite loss is not worth keeping, whatever its weights are.
            if due and (finite or not valid):
                state = {
                    "watch": watch.state(),
                    "ledger": ledger.before(step * s.batch).to_json().decode(),
                }
                began = time.perf_counter()
                keeper.save(step, model, optimizer, facts, state)
                log.record("save", {"step": step, "waited": time.perf_counter() - began})
            if stop or step == end:
                keeper.finish()
            if stop:
                raise StoppedError(f"asked to stop by a signal after step {step}; {keeper.safe()}")
            if (step == end == s.steps) or (s.eval_every and step % s.eval_every == 0):
                held_out = _evaluate(step, model, corpus, s, world, log)
        keeper.finish()
    summary = _summary(log, corpus, max(start, end), held_out)
    log.close()
    if said := world.all_of(log.problem):
        raise RunError(f"{said[0]}; {keeper.safe()}")
    return summary


def _open_log(s: TrainSettings, start: int, world: World) -> RunLog:
    """The run's folder, settings and log; an error on all processes if the first cannot."""
    log: RunLog | None = None
    problem: object = None
    try:
        if world.first:
            s.out.mkdir(parents=True, exist_ok=True)
            kept = s.model_copy(update={"corpus": s.corpus.absolute()})
            text = kept.model_dump_json(indent=1) + "\n"
            checkpoint.write_atomically(s.out / "settings.json", text)
        log = RunLog(s.out, after=start, steps=s.steps, on=world.first, tensorboard=s.tensorboard)
    except (OSError, RefusedError) as error:
        problem = str(error)
    if problem := world.agree(problem):
        raise RefusedError(str(problem))
    assert log is not None
    return log


def _evaluate(
    step: int, model: Transformer, corpus: Corpus, s: TrainSettings, world: World, log: RunLog
) -> dict[str, float]:
    began = time.perf_counter()
    losses = held_out_losses(model, corpus, s, world)
    if losses:
        facts = {"held_out": losses, "bits_per_byte": bits_per_byte(losses, corpus)}
        log.record("eval", {"step": step, **facts, "seconds": time.perf_counter() - began})
    if s.sample_tokens:
        texts = sample_texts(model, corpus, s, world)
        log.record("samples", {"step": step, "texts": texts})
        for text in texts or ():
            log.say(f"  sample after step {step}: {text!r}")
    return losses


def _blame(
    order: DataOrder, numbers: tuple[int, ...], losses: Tensor, world: World
) -> list[dict[str, Any]]:
    """The step's worst sequences with their documents, the same on any number of processes."""
    mine = list(zip(numbers, losses.tolist(), strict=False))
    every = [pair for part in world.all_of(mine) for pair in part]
    # Not a number first, then the highest.
    every.sort(key=lambda pair: (math.isfinite(pair[1]), -pair[1], pair[0]))
    if not world.first:
        return []
    return [
        {
            "sequence": g,
            **order.slot(g)._asdict(),
            "loss": loss,
            "documents": [part.id for _, part in order.documents(g)],
        }
        for g, loss in every[:_BLAMED]
    ]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that a signal to stop puts its number into, while the block runs."""
    came: list[int] = []
    kinds = (signal.SIGTERM, signal.SIGUSR1)
    try:
        before = {
            kind: signal.signal(kind, lambda number, _: came.append(number)) for kind in kinds
        }
    except ValueError:  # not the main thread, which alone may have handlers
        yield came
        return
    try:
        yield came
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def peak_memory(world: World) -> float:
    """Bytes: the most that torch had allocated on the GPU, or the process's peak on CPU."""
    if world.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(world.device))
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


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


def _ledger(s: TrainSettings, world: World) -> Ledger:
    path = s.ledger or s.out / ledgers.FILE_NAME
    text: object = None
    if world.first and (s.ledger or path.exists()):
        try:
            text = ledgers.load(path).to_json()
        except ValueError as error:
            text = str(error)
    text = world.agree(text)
    if isinstance(text, str):
        raise RefusedError(text)
    return Ledger.model_validate_json(text) if isinstance(text, bytes) else ledgers.EMPTY


def _facts(s: TrainSettings, config: ModelConfig, corpus: Corpus) -> dict[str, Any]:
    """What must be the same when a run goes on; all else may change (processes, micro-batch...)."""
    return {
        **{f"model.{name}": value for name, value in config.model_dump().items()},
        **{name: getattr(s, name) for name in _RECIPE},
        "init_from": None if s.init_from is None else str(s.init_from),
        **corpus.facts(),
    }


def _where_to_start(
    s: TrainSettings,
    facts: dict[str, Any],
    ledger: Ledger,
    config: ModelConfig,
    world: World,
) -> Saved | None:
    """The checkpoint to go on from, checked against this run; None for a new run."""
    folder = s.out / "checkpoints"
    path = checkpoint.newest(folder) if s.resume in ("auto", "never") else Path(s.resume)
    if path is None:
        # With the newest one kept until the next is whole, two must fit.
        needed = 2 * checkpoint.STATE_BYTES * config.parameters()
        problem: object = checkpoint.no_room(folder, needed) if world.first else None
        if problem := world.agree(problem):
            raise RefusedError(f"two checkpoints do not fit: {problem}")
        return None
    if s.resume == "never":
        raise RefusedError(
            f"{s.out} holds {path.name} already: --resume auto goes on, or another --out"
        )
    saved = checkpoint.read(path)
    found = checkpoint.differences(saved.facts, facts)
    seen = ledger.before(saved.step * s.batch).to_json().decode()
    if not found and saved.state.get("ledger") != seen:
        found = [f"ledger: it says something else about the {saved.step} steps that are done"]
    if found:
        raise RefusedError("\n  ".join([f"{path} is of another run:", *found]))
    checkpoint.verify(saved, world)
    world.barrier()  # none writes before all have read
    return saved


def _begin_with(path: Path, model: Transformer, corpus: Corpus, world: World) -> None:
    """Fills the model from a checkpoint, a run or a Hugging Face folder of the same shape and
    tokenizer."""
    from trainer_min import hugging_face

    found = checkpoint.find(path)
    tokenizer: str | None
    if found is not None:
        saved = checkpoint.read(found)
        checkpoint.verify(saved, world)
        shape, tokenizer = hugging_face.config_of(saved), str(saved.facts["tokenizer"])
    else:
        shape, tokenizer = hugging_face.read_config(path), hugging_face.tokenizer_of(path)
    problems = checkpoint.differences(shape.model_dump(), model.config.model_dump())
    if tokenizer not in (None, corpus.manifest.tokenizer_sha256):
        problems.append(f"tokenizer: {tokenizer}, the corpus's {corpus.manifest.tokenizer_sha256}")
    if problems:
        raise RefusedError("\n  ".join([f"{path} does not fit this run:", *problems]))
    if found is not None:
        checkpoint.load(saved, model, None)
    else:
        hugging_face.load_weights(path, model)


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
    s: TrainSettings,
    config: ModelConfig,
    corpus: Corpus,
    order: DataOrder,
    world: World,
    saved: Saved | None,
) -> list[str]:
    """What is printed before the first step: the run, its data, its recipe."""
    device = world.device.type
    epochs = order.epochs_after(s.steps * s.batch)
    peak = flops.peak(world.device_name)
    copies = f" in {s.replicas} copies" if s.replicas > 1 else ""
    return [
        f"model {s.model}: {config.parameters():,} parameters, vocabulary {config.vocab_size:,}, "
        f"{'bfloat16 with float32 reduction' if device == 'cuda' else 'float32'}",
        f"world: {world.size} process{'es' * (world.size > 1)} on {device}{copies}, "
        f"{torch.get_num_threads()} threads each; {world.device_name}: "
        + (
            f"MFU of {peak / 1e12:g} TFLOP/s by {flops.FORMULA}" if peak else "no MFU, peak unknown"
        ),
        f"step: {s.batch} sequences of {s.seq_len} = {s.batch * s.seq_len:,} tokens; "
        f"run: {s.steps:,} steps, {s.steps * s.batch * s.seq_len:,} tokens",
        "sequences per source: "
        + ", ".join(f"{name} {share:.1%}" for name, share in order.weights.items()),
        "epochs per source in this run: "
        + ", ".join(f"{name} {n:.2f}" for name, n in epochs.items()),
        *(
            f"warning: {name} is seen {n:.1f} times; beyond four epochs repeated text is worth"
            " little (Muennighoff et al. 2023)"
            for name, n in epochs.items()
            if n > _MANY_EPOCHS
        ),
        *(
            f"no held-out loss of {name}: it has {source.valid_tokens:,} held-out tokens, one"
            f" sequence and the label after it are {s.seq_len + 1:,}"
            for name, source in sorted(corpus.manifest.sources.items())
            if s.eval_sequences and not corpus.windows(name, "valid", s.seq_len)
        ),
        f"AdamW ({s.beta1}, {s.beta2}), eps {s.adam_eps:g}, decay {s.weight_decay} "
        f"({s.decay}), clip {s.clip}, seed {s.seed}",
        *schedule_table(peak=s.lr, warmup=s.warmup, steps=s.steps, min_ratio=s.min_lr_ratio),
        f"resumed from {saved.path}" if saved else "from the start",
    ]


def _summary(log: RunLog, corpus: Corpus, step: int, held_out: dict[str, float]) -> Summary:
    records = read_log(log.path) if log.on else []
    losses = {record["step"]: record["loss"] for record in records if record["kind"] == "step"}
    first, last = (losses.get(n) or math.nan for n in (1, step))
    summary = Summary(step, first, last, held_out)
    log.record("end", {"step": step, "first_loss": first, "last_loss": last, "held_out": held_out})
    vocabulary = corpus.manifest.vocab_size
    log.say(
        f"training loss: {first:.4f} at step 1, {last:.4f} at step {step} "
        f"(uniform guessing over {vocabulary:,} ids: {math.log(vocabulary):.4f})"
    )
    bits = bits_per_byte(held_out, corpus)
    for source, loss in held_out.items():
        said = f", {bits[source]:.4f} bits a byte of text" if source in bits else ""
        log.say(f"held-out loss {source}: {loss:.4f} nats a token{said}")
    return summary
