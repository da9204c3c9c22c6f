"""Text from a model: greedy or sampled continuation of prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizer.encode import Encoder
from trainer_min.model import Transformer

# Prompts whose continuations the LLaMA paper shows for its base models (Appendix C).
PROMPTS = (
    "1 1 2 3 5 8",
    "Here is the recommendation letter that I wrote for an application to a dragon feeder position"
    " at the Magic Unicorn Corporation:\nDear recruiter,",
    'def solve(a: float, b: float, c: float):\n    """finds real roots of ax^2+bx+c"""',
    "Did you know that Yann LeCun dropped a rap album last year? We listened to it and here\u2019s"
    " what we thought:",
    "(An hilarious scene between Jerry and George where George presents his new AI watch)",
    "The sun goes down, and finally Gauss and Curie find time to relax and discuss after an"
    " exhausting day of work.",
)


@torch.no_grad()
def continuations(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    *,
    longest: int,
    device: torch.device,
    stop: int | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> list[list[int]]:
    """Ids that the model writes after each prompt, `tokens` of them or up to `stop` (included).

    The prompts are padded at the end and run together, all of them once per token; a causal model
    does not see the padding. Every process of a sharded model must call it with the same arguments.

    Args:
        prompts: ids, none empty.
        longest: tokens that the model looks back at; of longer ones it sees the end.
        temperature: 0 takes the likeliest id each time.
        top_p: with a temperature, only the likeliest ids that have this much probability together.
        seed: of the draws.
    """
    model.eval()
    draw = torch.Generator(device="cpu").manual_seed(seed)
    texts = [list(prompt) for prompt in prompts]
    done = [False] * len(texts)
    for _ in range(tokens):
        seen = [text[-longest:] for text in texts]
        width = max(map(len, seen))
        rows = torch.tensor([s + [0] * (width - len(s)) for s in seen], device=device)
        ends = torch.tensor([len(s) - 1 for s in seen], device=device)
        logits = model(rows)[torch.arange(len(seen), device=device), ends].float().cpu()
        for i, chosen in enumerate(_choose(logits, temperature, top_p, draw)):
            if not done[i]:
                texts[i].append(chosen)
                done[i] = chosen == stop
        if all(done):
            break
    return [text[len(prompt) :] for text, prompt in zip(texts, prompts, strict=True)]


def _choose(logits: Tensor, temperature: float, top_p: float, draw: torch.Generator) -> list[int]:
    """An id for each row of float32 `logits` (rows, vocabulary)."""
    if temperature == 0:
        return logits.argmax(-1).tolist()
    chances = torch.softmax(logits / temperature, -1)
    ordered, ids = chances.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # what the likelier ids have
    ordered[before >= top_p] = 0.0
    picked = torch.multinomial(ordered, 1, generator=draw)
    return ids.gather(-1, picked).squeeze(-1).tolist()


def samples(
    model: Transformer, encoder: Encoder, tokens: int, *, longest: int, device: torch.device
) -> list[str]:
    """The paper's prompts with the model's greedy continuation of each.

    They begin as documents begin in our shards: after the separator, without `<s>`.
    """
    prompts = [[encoder.eos_id, *encoder.encode(text).tolist()] for text in PROMPTS]
    written = continuations(
        model, prompts, tokens, longest=longest, device=device, stop=encoder.eos_id
    )
    # The prompt is decoded too: what its last token and the first new one make together shows.
    return [encoder.decode([*p[1:], *w]) for p, w in zip(prompts, written, strict=True)]
