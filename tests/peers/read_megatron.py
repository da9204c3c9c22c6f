"""Reads shards with Megatron-LM's own classes: every document three ways, and a trainer's samples.

python -m tests.peers.read_megatron REQUEST ANSWER [REQUEST ANSWER]...
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset
from megatron.core.datasets.utils import Split

from tests.peers.exchange import Answer, Ids, Request, answer_all


@dataclass
class Tokenizer:
    """The facts that the dataset asks a tokenizer for."""

    eod: int
    vocab_size: int
    pad: int = -1

    @property
    def unique_identifiers(self) -> dict[str, int]:
        return {"eod": self.eod, "vocab_size": self.vocab_size}


def documents(prefix: str, mmap: bool) -> list[Ids]:
    """By the document index: a document is the sequences from one entry to the next."""
    shard = IndexedDataset(prefix, mmap=mmap)
    index = shard.document_indices
    return [np.concatenate([shard[i] for i in range(first, end)]) for first, end in pairwise(index)]


def samples(prefix: str, request: Request) -> tuple[list[Ids], Ids]:
    """Samples of an epoch in the order before Megatron shuffles them, and its document order."""
    config = GPTDatasetConfig(
        random_seed=1,
        sequence_length=request.seq_len,
        tokenizer=Tokenizer(request.separator, request.vocab_size),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
    )
    shard = IndexedDataset(prefix)
    dataset = GPTDataset(
        shard, None, np.arange(len(shard), dtype=np.int32), None, Split.train, config
    )
    found: list[Ids] = [np.zeros(0, np.int64)] * len(dataset)
    for i in range(len(dataset)):
        item = dataset[i]
        text = np.append(item["tokens"].numpy(), item["labels"].numpy()[-1])
        found[dataset.shuffle_index[i]] = text
    return found, np.asarray(dataset.document_index)


def read(request: Request) -> Answer:
    answer = Answer()
    for number, prefix in enumerate(request.shards):
        answer.add(f"{number}.mapped", documents(prefix, mmap=True))
        answer.add(f"{number}.read", documents(prefix, mmap=False))
        shard = IndexedDataset(prefix)
        answer.add(f"{number}.slice", shard[0 : len(shard)])
        # The part of a document that a sample begins with.
        answer.add(f"{number}.tails", [shard.get(i, offset=1) for i in range(len(shard))])
        texts, order = samples(prefix, request)
        answer.add(f"{number}.samples", texts)
        answer.add(f"{number}.order", [order])
    return answer


if __name__ == "__main__":
    answer_all(read)
