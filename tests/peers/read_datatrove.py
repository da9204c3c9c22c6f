"""Reads a folder of shards with datatrove's own classes: windows, positions, and every document.

python -m tests.peers.read_datatrove REQUEST ANSWER [REQUEST ANSWER]...
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from datatrove.io import get_datafolder
from datatrove.pipeline.tokens.merger import (
    DocumentTokenizerMerger,
    get_data_reader,
    load_doc_ends,
)
from datatrove.utils.dataset import DatatroveFileDataset, DatatroveFolderDataset

from tests.peers.exchange import Answer, Ids, Request, answer_all

TOKEN_SIZE = 2


def documents(path: str) -> list[Ids]:
    """As datatrove's merger and shuffler read them: by the ends in `.ds.index`."""
    with open(f"{path}.index", "rb") as index, open(path, "rb") as payload:
        read = get_data_reader(payload, load_doc_ends(index), nb_bytes=TOKEN_SIZE)
        return [np.frombuffer(content, dtype="<u2") for content in read]


def whole(path: str, tokens: int) -> tuple[Ids, Ids]:
    """The ids of a shard as one window of nanotron's dataset, and each one's place in its document
    by the index."""
    item = DatatroveFileDataset(path, tokens - 1, token_size=TOKEN_SIZE, return_positions=True)[0]
    return item["input_ids"].numpy(), item["positions"].numpy()


def windows(folder: str, request: Request) -> dict[str, list[Ids]]:
    """All windows of a folder, with places by the index and places by the separator."""
    found: dict[str, list[Ids]] = {"windows": [], "by_index": [], "by_separator": []}
    for separator in (None, request.separator):
        dataset = DatatroveFolderDataset(
            folder,
            request.seq_len,
            token_size=TOKEN_SIZE,
            return_positions=True,
            positions_from_eos_token_id=separator,
        )
        for i in range(len(dataset)):
            item = dataset[i]
            if separator is None:
                found["windows"].append(item["input_ids"].numpy())
                found["by_index"].append(item["positions"].numpy())
            else:
                found["by_separator"].append(item["positions"].numpy())
    return found


def of_all_folders(root: str, request: Request) -> list[Ids]:
    """All windows below a folder of folders, which takes a pattern of its own."""
    dataset = DatatroveFolderDataset(root, request.seq_len, filename_pattern="**/*.ds")
    return [dataset[i]["input_ids"].numpy() for i in range(len(dataset))]


def merged(folder: str, out: Path) -> list[Ids]:
    """A folder as datatrove's own merger passes it on, unshuffled."""
    DocumentTokenizerMerger(folder, str(out), "all", shuffle=False, progress=False).run()
    return documents(str(out / "000_all.ds"))


def read(request: Request) -> Answer:
    answer = Answer()
    for number, prefix in enumerate(request.shards):
        path = f"{prefix}.ds"
        answer.add(f"{number}.documents", documents(path))
        ids, places = whole(path, Path(path).stat().st_size // TOKEN_SIZE)
        answer.add(f"{number}.whole", [ids])
        answer.add(f"{number}.places", [places])
    answer.add("windows", of_all_folders(str(Path(request.shards[0]).parents[1]), request))
    for number, folder in enumerate(sorted({str(Path(p).parent) for p in request.shards})):
        listed = get_datafolder(folder).list_files(glob_pattern=".ds")
        answer.add(f"{number}.files", [np.array([ord(c) for c in name]) for name in listed])
        for name, found in windows(folder, request).items():
            answer.add(f"{number}.{name}", found)
        answer.add(f"{number}.merged", merged(folder, Path(request.scratch, str(number))))
    return answer


if __name__ == "__main__":
    answer_all(read)
