"""What a model has learnt: held-out loss per source, and a few sample texts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenizer.encode import Encoder
from tokenizer.files import join
from trainer_min.config import TrainSettings
from trainer_min.data import IGNORED, TOKENIZER, Corpus, read
from trainer_min.errors import RunError
from trainer_min.generate import samples
from trainer_min.model import Transformer
from trainer_min.parallel import World


def sequence_losses(model: Transformer, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sequence in nats, summed over its labels that are not `IGNORED`.

    Returns:
        float32, shape (rows,).
    """
    # Flat: over a transposed tensor the softmax would first copy all logits.
    logits = model(inputs).flatten(0, 1).float()
    each = F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, reduction="none")
    return each.view(labels.shape).sum(1)


@torch.no_grad()
def held_out_losses(
    model: Transformer, corpus: Corpus, s: TrainSettings, world: World
) -> dict[str, float]:
    """Mean loss a token on each source's first held-out sequences, in nats.

    Sources whose held-out part is shorter than one sequence, or has no labels, are left out.

    Raises:
        RunError: held-out tokens could not be read.
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
        if problems := world.all_of(batch.problem):
            raise RunError(f"held-out {source}: {problems[0]}")
        total = torch.zeros((), device=world.device)
        for row in range(0, rows, s.micro_batch):
            part = slice(row, row + s.micro_batch)
            inputs, labels = batch.inputs[part], batch.labels[part]
            total += sequence_losses(model, inputs.to(world.device), labels.to(world.device)).sum()
        valid = (batch.labels != IGNORED).sum()
        loss, counted = world.total(total, valid)
        if counted:
            losses[source] = loss / counted
    model.train()
    return losses


def bits_per_byte(losses: dict[str, float], corpus: Corpus) -> dict[str, float]:
    """Held-out losses as bits a byte of text (UTF-8), which tokenizers do not decide.

    Not for sources with a loss mask, whose text is only partly predicted.
    """
    sources = corpus.manifest.sources
    masked = {s.source for s in corpus.manifest.shards if s.mask_sha256 is not None}
    return {
        name: loss
        / math.log(2)
        * sources[name].valid_tokens
        / max(1, sources[name].valid_text_bytes)
        for name, loss in losses.items()
        if name not in masked
    }


def sample_texts(
    model: Transformer, corpus: Corpus, s: TrainSettings, world: World
) -> list[str] | None:
    """Continuations of the paper's prompts; None where the corpus has no tokenizer beside it."""
    try:
        encoder = Encoder(join(corpus.root, TOKENIZER), "sentencepiece")
    except (ValueError, OSError):
        return None
    texts = samples(model, encoder, s.sample_tokens, longest=s.seq_len, device=world.device)
    model.train()
    return texts
