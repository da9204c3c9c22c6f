"""How large a model, and how many tokens: for training alone, and with the cost of serving it.

Loss law of Hoffmann et al. (2022): L(N, D) = E + A / N^alpha + B / D^beta, with training at
C = 6 N D and inference at 2 N D_inf floating-point operations. The LLaMA paper's idea is the second
part: what is cheapest to train to a quality is not cheapest to serve (its section 1).

The constants were fitted on other data and another tokenizer than yours: differences between sizes
carry over, absolute losses do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TRAIN, INFER = 6, 2  # floating-point operations for a parameter and token


@dataclass(frozen=True)
class Law:
    """Constants of a fit, with their source."""

    name: str
    source: str
    a: float
    b: float
    alpha: float
    beta: float
    e: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Predicted loss in nats a token."""
        return self.e + self.a / parameters**self.alpha + self.b / tokens**self.beta

    def optimum(self, flops: float) -> tuple[float, float]:
        """Parameters and tokens with the least loss for so much training compute."""
        g = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        parameters = g * (flops / TRAIN) ** (self.beta / (self.alpha + self.beta))
        return parameters, flops / TRAIN / parameters

    def optimal_tokens(self, parameters: float) -> float:
        """Tokens for which a model of this size is the training optimum."""
        g = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        flops = TRAIN * (parameters / g) ** ((self.alpha + self.beta) / self.beta)
        return flops / TRAIN / parameters

    def tokens_for(self, loss: float, parameters: float) -> float:
        """Tokens after which a model of this size has this loss; infinity if it never has."""
        left = loss - self.e - self.a / parameters**self.alpha
        return (self.b / left) ** (1 / self.beta) if left > 0 else math.inf


HOFFMANN = Law("Hoffmann", "Hoffmann et al. 2022, eq. 10", 406.4, 410.7, 0.34, 0.28, 1.69)
SARDANA = Law("Sardana", "Sardana et al. 2023, section 2", 406.4, 410.7, 0.336, 0.283, 1.69)
BESIROGLU = Law(
    "Besiroglu", "Besiroglu et al. 2024, the refit", 482.01, 2085.43, 0.3478, 0.3658, 1.8172
)
LAWS = (BESIROGLU, SARDANA, HOFFMANN)


@dataclass(frozen=True)
class Served:
    """The size and tokens that reach a loss with the least work over training and inference."""

    parameters: float
    tokens: float
    flops: float
    """Training and inference together."""


def work(parameters: float, tokens: float, inference_tokens: float) -> float:
    """Floating-point operations of training a model and then serving so many tokens."""
    return TRAIN * parameters * tokens + INFER * parameters * inference_tokens


def cheapest(law: Law, loss: float, inference_tokens: float) -> Served:
    """Sardana et al. (2023), section 2: minimises 6 N D + 2 N D_inf at a given loss.

    Raises:
        ValueError: no model reaches the loss.
    """
    if loss <= law.e:
        raise ValueError(f"no model reaches a loss of {loss:.4f}: the law's limit is {law.e}")
    smallest = (law.a / (loss - law.e)) ** (1 / law.alpha)  # reaches it after endless training

    def price(x: float) -> float:
        n = math.exp(x)
        return work(n, law.tokens_for(loss, n), inference_tokens)

    # The price falls, then rises: golden section in ln N, to a hundredth of a percent and beyond.
    low, high = math.log(smallest) + 1e-9, math.log(smallest) + 12
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-7:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if price(left) < price(right):
            high = right
        else:
            low = left
    parameters = math.exp((low + high) / 2)
    tokens = law.tokens_for(loss, parameters)
    return Served(parameters, tokens, work(parameters, tokens, inference_tokens))


def break_even(
    law: Law, large: tuple[float, float], small: float, at_most: float = 1e16
) -> float | None:
    """Inference tokens from which the smaller model, trained to the larger one's loss, is cheaper.

    Args:
        large: parameters and training tokens.
        small: parameters of the smaller one.

    Returns:
        0 if it is cheaper at once; None if it cannot reach the loss, or not within `at_most`.
    """
    loss = law.loss(*large)
    tokens = law.tokens_for(loss, small)
    if math.isinf(tokens):
        return None
    extra = TRAIN * (small * tokens - large[0] * large[1])
    saved = INFER * (large[0] - small)
    if saved <= 0:
        return None
    found = max(0.0, extra / saved)
    return found if found <= at_most else None
