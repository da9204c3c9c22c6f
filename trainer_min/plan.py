"""What a run would take: memory by part, the micro-batch that fits, days, energy, carbon, I/O.

Arithmetic only; nothing is timed. Sources of the constants are named where they stand. Bytes in GB
are 10^9, as makers of GPUs count.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer_min import flops, scaling
from trainer_min.config import PAPER_BATCH, PAPER_SEQUENCE, ModelConfig

STATE = 16  # bytes a parameter: float32 weight, gradient and two moments
SAVED = 12  # bytes a parameter in a checkpoint: weight and moments
HALF, FULL = 2, 4
RESERVE = 0.08  # share of the GPU for CUDA, NCCL and fragmentation
PUE = 1.1  # LLaMA paper, section 6
CARBON = 0.385  # kg CO2eq a kWh, US average; the paper's figure for every model it compares


@dataclass(frozen=True)
class Gpu:
    """What planning must know of a device: bytes, watts; its peak is in `flops.PEAKS`."""

    name: str
    memory: float
    watts: float


GPUS = {
    # Memory and board power from the makers' data sheets; A100: 400 W as in the paper's Table 15.
    "A100": Gpu("A100", 80e9, 400),
    "H100": Gpu("H100", 80e9, 700),
    "H200": Gpu("H200", 141e9, 700),
    "B200": Gpu("B200", 180e9, 1000),
}


def state_bytes(parameters: int, gpus: int) -> float:
    """Weights, gradients and moments of one GPU when they are spread over all."""
    return STATE * parameters / gpus


def gathered_bytes(config: ModelConfig) -> float:
    """Whole weights that are on a GPU at one time, in bf16, with their gradients in float32.

    Two blocks (the one at work and the next), or the output head with its norm, which stays.
    """
    d, f = config.dim, config.hidden_dim
    block = 4 * d * d + 3 * d * f + 2 * d
    head = config.vocab_size * d + d
    return HALF * (2 * block + head) + FULL * max(block, head)


def activation_bytes(config: ModelConfig, seq_len: int, recompute: str) -> float:
    """Kept for the backward pass by one sequence, with memory-efficient attention, in bf16.

    Args:
        recompute: `none`; `linear` keeps the outputs of linear layers and attention and each
            block's input (the paper, section 2.4); `full` keeps each block's input alone.
    """
    d, f, layers = config.dim, config.hidden_dim, config.layers
    per_layer = {
        # Norms' inputs in float32 and outputs, rotated q and k, silu and product come on top.
        "none": HALF * (7 * d + 2 * f) + HALF * (2 * d + 2 * d + 2 * f) + FULL * 2 * d,
        "linear": HALF * (7 * d + 2 * f),
        "full": HALF * d,
    }[recompute]
    return seq_len * layers * per_layer


def logits_bytes(config: ModelConfig, seq_len: int) -> float:
    """Logits of one sequence in bf16 and float32, their log-softmax, and its gradient."""
    return seq_len * config.vocab_size * (3 * FULL + HALF)


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU by part."""

    state: float
    gathered: float
    activations: float
    logits: float
    reserve: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.state + self.gathered + self.activations + self.logits + self.reserve


def memory(
    config: ModelConfig, gpu: Gpu, gpus: int, seq_len: int, micro_batch: int, recompute: str
) -> Memory:
    """What a GPU holds at the peak of a step."""
    return Memory(
        state=state_bytes(config.parameters(), gpus),
        gathered=gathered_bytes(config),
        activations=micro_batch * activation_bytes(config, seq_len, recompute),
        logits=micro_batch * logits_bytes(config, seq_len),
        reserve=RESERVE * gpu.memory,
    )


def largest_micro_batch(
    config: ModelConfig, gpu: Gpu, gpus: int, seq_len: int, recompute: str
) -> int:
    """Sequences that fit at once; 0 if not even one does."""
    fixed = memory(config, gpu, gpus, seq_len, 0, recompute).total
    each = activation_bytes(config, seq_len, recompute) + logits_bytes(config, seq_len)
    return max(0, int((gpu.memory - fixed) // each))


def fewest_gpus(config: ModelConfig, gpu: Gpu, seq_len: int, recompute: str) -> int | None:
    """The smallest power of two of GPUs on which a step of one sequence each fits."""
    for exponent in range(15):
        if largest_micro_batch(config, gpu, 1 << exponent, seq_len, recompute):
            return 1 << exponent
    return None


@dataclass(frozen=True)
class Cost:
    """Time and energy of a run."""

    tokens_per_gpu_s: float
    days: float
    gpu_hours: float
    kwh: float
    tonnes: float


def cost(tokens: float, tokens_per_gpu_s: float, gpus: int, watts: float) -> Cost:
    """A run at so many tokens a second and GPU. Energy and carbon as in the paper's section 6."""
    hours = tokens / tokens_per_gpu_s / 3600
    kwh = energy_kwh(hours, watts)
    return Cost(tokens_per_gpu_s, hours / 24 / gpus, hours, kwh, carbon_tonnes(kwh))


def energy_kwh(gpu_hours: float, watts: float) -> float:
    """GPU-hours times power times PUE."""
    return gpu_hours * watts * PUE / 1000


def carbon_tonnes(kwh: float) -> float:
    """Tonnes of CO2 equivalent at the US average."""
    return kwh * CARBON / 1000


def speed(config: ModelConfig, gpu: Gpu, seq_len: int, mfu: float) -> float:
    """Tokens a second of one GPU at a utilisation (formula: `flops.FORMULA`)."""
    return mfu * flops.PEAKS[gpu.name] / flops.per_token(config, seq_len)


def lines(
    name: str,
    config: ModelConfig,
    *,
    tokens: float,
    gpu: Gpu,
    gpus: int,
    mfu: float,
    seq_len: int = PAPER_SEQUENCE,
    batch: int = PAPER_BATCH,
    inference_tokens: float = 0,
) -> list[str]:
    """The whole plan as text."""
    n = config.parameters()
    each = flops.per_token(config, seq_len)
    run = cost(tokens, speed(config, gpu, seq_len, mfu), gpus, gpu.watts)
    step = batch * seq_len / (run.tokens_per_gpu_s * gpus)
    found = [
        f"{name}: {n:,} parameters ({config.matrix_parameters():,} in matrix products)",
        f"work: {each / 1e9:.2f} GFLOP a token ({flops.FORMULA}, T = {seq_len}), "
        f"{each * tokens:.3g} FLOP for {tokens:.4g} tokens",
        f"steps: {tokens / (batch * seq_len):,.0f} of {batch} sequences, "
        f"{batch / gpus:g} a GPU and step",
        "",
        f"memory of one of {gpus} {gpu.name} ({gpu.memory / 1e9:.0f} GB), in GB",
        f"  {'recompute':<10} {'state':>7} {'gathered':>9} {'a sequence':>11} {'fit at once':>12} "
        f"{'then in all':>12}",
    ]
    for recompute in ("none", "linear", "full"):
        fits = largest_micro_batch(config, gpu, gpus, seq_len, recompute)
        used = min(fits, max(1, -(-batch // gpus)))
        parts = memory(config, gpu, gpus, seq_len, used, recompute)
        one = activation_bytes(config, seq_len, recompute) + logits_bytes(config, seq_len)
        fewest = fewest_gpus(config, gpu, seq_len, recompute)
        total = f"from {fewest} GPUs" if fewest else "never fits"
        if fits:
            total = f"{parts.total / 1e9:.1f} with {used}"
        found.append(
            f"  {recompute:<10} {parts.state / 1e9:>7.1f} {parts.gathered / 1e9:>9.1f} "
            f"{one / 1e9:>11.1f} {fits:>12} {total:>12}"
        )
    found += [
        "",
        f"time at {mfu:.1%} of {flops.PEAKS[gpu.name] / 1e12:g} TFLOP/s: "
        f"{run.tokens_per_gpu_s:,.0f} tokens/s a GPU, {run.days:.1f} days, "
        f"{run.gpu_hours:,.0f} GPU-hours, {step:.1f} s a step",
        f"energy: {run.kwh / 1000:,.0f} MWh at {gpu.watts:.0f} W and PUE {PUE}; "
        f"{run.tonnes:,.0f} t CO2eq at {CARBON} kg/kWh (the paper's formula)",
        f"checkpoint: {SAVED * n / 1e9:.0f} GB, {SAVED * n / gpus / 1e9:.2f} GB a GPU; "
        f"reading tokens: {2 * run.tokens_per_gpu_s * gpus / 1e6:.2f} MB/s in all, "
        f"{run.tokens_per_gpu_s / seq_len:.2f} reads/s a GPU",
        "",
        *_chinchilla(n, tokens),
    ]
    if inference_tokens:
        found += ["", *_served(n, tokens, inference_tokens)]
    return found


def _chinchilla(parameters: int, tokens: float) -> list[str]:
    compute = scaling.TRAIN * parameters * tokens
    found = [
        f"training optimum for the same work (6 N D = {compute:.3g}); {tokens / parameters:.0f}"
        " tokens a parameter here"
    ]
    for law in scaling.LAWS:
        best_n, best_d = law.optimum(compute)
        found.append(
            f"  {law.name:<10} {_short(best_n)} on {_short(best_d)} tokens, loss "
            f"{law.loss(best_n, best_d):.4f}; this plan {law.loss(parameters, tokens):.4f}"
            f"  ({law.source})"
        )
    return [*found, "  (losses of other data and tokenizers: compare within a line only)"]


def _served(parameters: int, tokens: float, inference_tokens: float) -> list[str]:
    """Where a smaller model trained longer wins, given what will be served."""
    found = [f"with {_short(inference_tokens)} tokens served afterwards, at the same loss"]
    for law in scaling.LAWS:
        loss = law.loss(parameters, tokens)
        optimum = scaling.cheapest(law, loss, 0)
        best = scaling.cheapest(law, loss, inference_tokens)
        here = scaling.work(parameters, tokens, inference_tokens)
        naive = scaling.work(optimum.parameters, optimum.tokens, inference_tokens)
        found.append(
            f"  {law.name:<10} cheapest {_short(best.parameters)} on {_short(best.tokens)} tokens: "
            f"{best.flops:.3g} FLOP; this plan {here:.3g} ({here / best.flops - 1:+.1%}), training "
            f"optimum {_short(optimum.parameters)} {naive:.3g} ({naive / best.flops - 1:+.1%})"
        )
    found.append("a smaller model trained to the same loss is cheaper once more is served than")
    for share in (0.75, 0.5, 0.35):
        small = share * parameters
        cells = []
        for law in scaling.LAWS:
            needed = scaling.break_even(law, (parameters, tokens), small)
            more = law.tokens_for(law.loss(parameters, tokens), small)
            cells.append(
                f"{law.name} never"
                if needed is None
                else f"{law.name} {_short(needed)} ({_short(more)} to train)"
            )
        found.append(f"  {_short(small):>6}: " + "; ".join(cells))
    return found


def _short(number: float) -> str:
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"
