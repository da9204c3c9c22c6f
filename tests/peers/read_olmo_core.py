"""Reads shards with OLMo-core's own classes: sequences, packed sequences, and every document.

python -m tests.peers.read_olmo_core REQUEST ANSWER [REQUEST ANSWER]...
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from olmo_core.data import (
    LongDocStrategy,
    NumpyFSLDataset,
    NumpyPackedFSLDataset,
    TokenizerConfig,
)
from olmo_core.data.composable import NumpyDocumentSource
from olmo_core.data.utils import iter_document_indices, load_array_slice

from tests.peers.exchange import PAD, Answer, Ids, Request, answer_all


def by_source(paths: list[str], request: Request) -> list[Ids]:
    """Documents of all shards as one source: OLMo-core looks for the separator itself."""
    source = NumpyDocumentSource(
        source_paths=paths,
        dtype=np.uint16,
        work_dir=request.scratch,
        tokenizer=TokenizerConfig(
            vocab_size=request.vocab_size, eos_token_id=request.separator, pad_token_id=PAD
        ),
    )
    return [
        np.asarray(source.get_token_range(first, end)["input_ids"])
        for first, end in source.get_document_offsets()
    ]


def by_sidecar(path: str) -> list[Ids]:
    """Documents of a shard by the bounds in its `.csv.gz`."""
    bounds = iter_document_indices(path, use_array_if_local=False, dtype=np.uint16)
    return [load_array_slice(path, first, end, np.uint16) for first, end in bounds]


def sequences(paths: list[str], request: Request) -> tuple[list[Ids], list[Ids]]:
    """Sequences of fixed length, and the lengths of the documents in each."""
    dataset = NumpyFSLDataset(
        *paths,
        sequence_length=request.seq_len,
        pad_token_id=PAD,
        eos_token_id=request.separator,
        vocab_size=request.vocab_size,
        dtype=np.uint16,
        generate_doc_lengths=True,
    )
    dataset.prepare()
    items = [dataset[i] for i in range(len(dataset))]
    return [i["input_ids"].numpy() for i in items], [i["doc_lens"].numpy() for i in items]


def packed(paths: list[str], request: Request, by_array: bool) -> list[Ids]:
    """Sequences into which whole documents are packed; longer ones are cut in pieces."""
    dataset = NumpyPackedFSLDataset(
        *paths,
        sequence_length=request.seq_len,
        pad_token_id=PAD,
        eos_token_id=request.separator,
        vocab_size=request.vocab_size,
        dtype=np.uint16,
        long_doc_strategy=LongDocStrategy.fragment,
        use_array_if_local=by_array,
    )
    dataset.work_dir = Path(request.scratch, "by-array" if by_array else "by-sidecar")
    dataset.prepare()
    return [dataset[i]["input_ids"].numpy() for i in range(len(dataset))]


def read(request: Request) -> Answer:
    paths = [f"{prefix}.npy" for prefix in request.shards]
    answer = Answer()
    answer.add("documents", by_source(paths, request))
    for number, path in enumerate(paths):
        answer.add(f"{number}.documents", by_sidecar(path))
    texts, lengths = sequences(paths, request)
    answer.add("sequences", texts)
    answer.add("lengths", lengths)
    answer.add("packed", packed(paths, request, by_array=True))
    answer.add("packed_by_sidecar", packed(paths, request, by_array=False))
    return answer


if __name__ == "__main__":
    answer_all(read)
