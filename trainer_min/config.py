"""Sizes of the model and settings of a run.

The four sizes of the paper carry its Table 2 (learning rate, batch, tokens); the small ones are
ours, for one GPU (134M, 374M, 1.3B) and for CPU (tiny, debug).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokenizer.run_data import parse_weights

LLAMA_VOCABULARY = 32_000
PAPER_SEQUENCE = 2048
PAPER_BATCH = 2048
"""Sequences a step, 4,194,304 tokens. The paper says "4M tokens"; 2^22 is our reading of it."""


class ModelConfig(BaseModel):
    """Shape of a LLaMA decoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(gt=0, description="width of the residual stream")
    layers: int = Field(gt=0, description="decoder blocks")
    heads: int = Field(gt=0, description="attention heads; keys and values have as many (no GQA)")
    vocab_size: int = Field(gt=0, description="rows of the embedding and of the output head")
    norm_eps: float = Field(
        gt=0, description="1e-6 for 7B, 13B and 33B, 1e-5 for 65B (the released params.json)"
    )
    rope_theta: float = Field(gt=0, description="base of the rotary angles (release: 10,000)")
    multiple_of: int = Field(
        gt=0, description="the feed-forward width is rounded up to it (release: 256)"
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> ModelConfig:
        if self.dim % (2 * self.heads):
            raise ValueError("dim must be a multiple of twice the number of heads")
        return self

    @property
    def head_dim(self) -> int:
        """Width of one head; even, since the rotary embedding turns pairs."""
        return self.dim // self.heads

    @property
    def hidden_dim(self) -> int:
        """Feed-forward width: two thirds of 4 dim, rounded up to `multiple_of`."""
        return self.multiple_of * math.ceil(int(2 * (4 * self.dim) / 3) / self.multiple_of)

    def matrix_parameters(self) -> int:
        """Parameters that tokens are multiplied with: all but the embedding's rows."""
        return self.parameters() - self.vocab_size * self.dim

    def parameters(self) -> int:
        """Number of parameters by formula: L(4d^2 + 3df + 2d) + 2Vd + d."""
        d, f = self.dim, self.hidden_dim
        return self.layers * (4 * d * d + 3 * d * f + 2 * d) + 2 * self.vocab_size * d + d


class Size(BaseModel):
    """A named model with the recipe that a run takes unless it is told otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int
    layers: int
    heads: int
    norm_eps: float = 1e-6
    vocab_size: int | None = None  # None: whatever the corpus has
    lr: float
    batch: int
    seq_len: int
    steps: int
    warmup: int

    def model(self, vocab_size: int) -> ModelConfig:
        """The shape of this size for a vocabulary."""
        return ModelConfig(
            dim=self.dim,
            layers=self.layers,
            heads=self.heads,
            norm_eps=self.norm_eps,
            vocab_size=vocab_size,
            rope_theta=10_000.0,
            multiple_of=256,
        )


def _paper(dim: int, heads: int, layers: int, lr: float, tokens: float, eps: float) -> Size:
    return Size(
        dim=dim,
        heads=heads,
        layers=layers,
        norm_eps=eps,
        vocab_size=LLAMA_VOCABULARY,
        lr=lr,
        batch=PAPER_BATCH,
        seq_len=PAPER_SEQUENCE,
        steps=round(tokens / (PAPER_BATCH * PAPER_SEQUENCE)),
        warmup=2000,
    )


def _small(
    dim: int, heads: int, layers: int, lr: float, batch: int, seq_len: int, steps: int, warmup: int
) -> Size:
    return Size(
        dim=dim,
        heads=heads,
        layers=layers,
        lr=lr,
        batch=batch,
        seq_len=seq_len,
        steps=steps,
        warmup=warmup,
    )


SIZES: dict[str, Size] = {
    # Paper, Table 2. All share the 2000 warm-up steps of section 2.3.
    "7B": _paper(4096, 32, 32, 3e-4, 1.0e12, 1e-6),
    "13B": _paper(5120, 40, 40, 3e-4, 1.0e12, 1e-6),
    "33B": _paper(6656, 52, 60, 1.5e-4, 1.4e12, 1e-6),
    "65B": _paper(8192, 64, 80, 1.5e-4, 1.4e12, 1e-5),
    # One GPU. Shapes follow the same ratios; steps are about 20 tokens a parameter.
    "1.3B": _small(2048, 16, 22, 3e-4, 512, 2048, 24_000, 1000),
    "374M": _small(1024, 16, 24, 4e-4, 256, 2048, 14_000, 500),
    "134M": _small(768, 12, 12, 6e-4, 128, 2048, 10_000, 300),
    # CPU: minutes and seconds.
    "tiny": _small(256, 8, 6, 2e-3, 16, 256, 500, 20),
    "debug": _small(128, 4, 4, 3e-3, 16, 128, 200, 10),
}

PRESETS: dict[str, dict[str, Any]] = {
    # Under a minute for one process on two cores with a vocabulary of 32,000, where the output
    # head is nearly all of the work; enough for the loss to leave ln(vocabulary) far behind.
    "sample": {
        "model": "debug",
        "seq_len": 128,
        "batch": 16,
        "micro_batch": 8,
        "steps": 40,
        "warmup": 4,
        "lr": 4e-3,
        "save_every": 20,
        "eval_sequences": 8,
    },
}


class TrainSettings(BaseModel):
    """Everything a training run is told. What is not given is taken from the size."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    corpus: Path = Field(
        description="work folder of a corpus run, or its tokens/ folder (with manifest.json)"
    )
    out: Path = Field(
        description="folder of this run: log.jsonl, settings.json and checkpoints/ go there"
    )
    model: str = Field("debug", description=f"size of the model: {', '.join(SIZES)}")
    vocab_size: int | None = Field(
        None,
        gt=0,
        description="rows of embedding and head; default: 32,000 for the paper's sizes, else the "
        "corpus's vocabulary. A larger number pads (a multiple of 64 can be faster)",
    )
    seq_len: int = Field(
        gt=0, description="tokens of a sequence; default: the size's (paper: 2048)"
    )
    batch: int = Field(
        gt=0,
        description="sequences of a step over all processes, whatever their number; default: the "
        "size's (paper: 4M tokens, 2048 sequences)",
    )
    micro_batch: int = Field(
        8,
        gt=0,
        description="sequences that a process pushes through the model at once. Changes memory "
        "and speed, not the result",
    )
    steps: int = Field(
        gt=0,
        description="optimizer steps of the run and horizon of the schedule; default: the size's "
        "(paper: 1.0T tokens for 7B and 13B, 1.4T for 33B and 65B)",
    )
    stop_at: int | None = Field(
        None,
        gt=0,
        description="end (with a checkpoint) after this step, as if interrupted; the schedule "
        "keeps its horizon. For tests and for runs in portions",
    )
    lr: float = Field(gt=0, description="peak learning rate; default: the size's (paper, Table 2)")
    warmup: int = Field(
        ge=0,
        description="steps of linear warm-up; default: the size's (paper: 2000), but at most a "
        "tenth of --steps",
    )
    min_lr_ratio: float = Field(
        0.1, ge=0, le=1, description="final over peak learning rate (paper: 10 %)"
    )
    weight_decay: float = Field(0.1, ge=0, description="AdamW decay (paper: 0.1)")
    decay: Literal["all", "matrices"] = Field(
        "all",
        description="what decays. The paper names no exemption, so: all; 'matrices' leaves the "
        "norms out, as many trainers do",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW beta1 (paper)")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW beta2 (paper)")
    adam_eps: float = Field(
        1e-8, gt=0, description="AdamW epsilon; the paper is silent, this is torch's default"
    )
    clip: float = Field(1.0, gt=0, description="largest global gradient norm (paper: 1.0)")
    seed: int = Field(0, ge=0, lt=2**63, description="of the initial weights and of the data order")
    weights: str | None = Field(
        None,
        description="share of training sequences per source, e.g. c4=0.15,github=0.05; default: "
        "the proportions in the corpus's manifest",
    )
    activation_checkpoint: Literal["none", "linear", "full"] = Field(
        "none",
        description="recompute in the backward pass: nothing; all but the outputs of linear "
        "layers and attention (the paper's way); everything inside a block",
    )
    compile: bool = Field(
        False,
        description="torch.compile each block; pays on a GPU, costs about a minute to begin",
    )
    sync_every_micro_batch: bool = Field(
        True,
        description="reduce gradients after every micro-batch (least memory) or only after the "
        "last (least traffic, whole gradients in memory)",
    )
    threads: int = Field(
        0,
        ge=0,
        description="CPU threads a process; 0: the cores shared evenly by this machine's processes",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: CUDA where there is one, else CPU"
    )
    replicas: int = Field(
        1,
        gt=0,
        description="copies of the model, each spread over an equal part of the processes (HSDP); "
        "for slow networks between nodes: as many as nodes, or groups of nodes",
    )
    resume: str = Field(
        "never",
        description="auto: go on from the newest checkpoint in --out if there is one; never: "
        "refuse an --out that holds one; or a path to a checkpoint",
    )
    init_from: Path | None = Field(
        None,
        description="begin with the weights of this checkpoint, or of a Hugging Face LLaMA folder, "
        "and a new optimizer (fine-tuning)",
    )
    ledger: Path | None = Field(
        None,
        description="changes of the mixture and quarantined sequences (docs/token_shards.md); "
        "default: ledger.json in --out if it is there",
    )
    save_every: int = Field(
        0, ge=0, description="steps between checkpoints; 0: only after the last step"
    )
    save_at_end: bool = Field(
        True, description="write a checkpoint after the last step; for measurements: no"
    )
    keep: int = Field(2, gt=0, description="newest checkpoints to keep")
    keep_every: int = Field(
        0, ge=0, description="keep checkpoints of steps divisible by this for good; 0: none"
    )
    background_save: bool = Field(
        True,
        description="write checkpoints while training goes on; needs CPU memory for a copy of each "
        "process's part",
    )
    max_skips: int = Field(
        5,
        ge=0,
        description="updates in a row that may be left out because loss or gradient is not finite "
        "(or is a spike, with --skip-spikes) before the run stops",
    )
    spike_sigma: float = Field(
        6.0,
        gt=0,
        description="a loss or gradient norm this many standard deviations over the mean of the "
        "last 128 steps is a spike: the sequences and documents of the step are logged "
        "(OLMo-core's figures)",
    )
    skip_spikes: bool = Field(
        True,
        description="leave out the update of a step with a spike. The paper tells of no such "
        "thing; --no-skip-spikes makes every finite update",
    )
    eval_every: int = Field(
        0, ge=0, description="steps between held-out losses and samples; 0: only at the end"
    )
    eval_sequences: int = Field(
        64, ge=0, description="held-out sequences a source whenever it is evaluated; 0: none"
    )
    sample_tokens: int = Field(
        0,
        ge=0,
        description="tokens to write on after each of the paper's prompts (Appendix C) when it is "
        "evaluated; 0: none",
    )
    tensorboard: bool = Field(
        False, description="also write the log to --out/tensorboard (needs tensorboard installed)"
    )
    verify_shards: bool | None = Field(
        None,
        description="check the sha256 of every shard first (reads the whole corpus once); default: "
        "up to 1 GB of shards, while of larger ones only the sizes are compared",
    )

    @model_validator(mode="after")
    def _warm_within_the_run(self) -> TrainSettings:
        if self.warmup > self.steps:
            raise ValueError(f"--warmup {self.warmup} is longer than --steps {self.steps}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _from_size(cls, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("model", cls.model_fields["model"].default)
        if name not in SIZES:
            raise ValueError(f"unknown model {name!r}: choose from {', '.join(SIZES)}")
        size = SIZES[name]
        filled = {key: getattr(size, key) for key in ("seq_len", "batch", "steps", "lr", "warmup")}
        steps = str(given.get("steps", ""))
        if steps.isdigit():  # a short run of a big size must still reach its peak
            filled["warmup"] = min(size.warmup, int(steps) // 10)
        return filled | given

    def mixture(self) -> dict[str, float] | None:
        """`weights` parsed.

        Raises:
            ValueError: an entry is not name=number, or a number is negative or not finite.
        """
        return None if self.weights is None else parse_weights(self.weights)
