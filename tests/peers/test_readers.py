"""Other projects' own classes read our shards: every document comes back as it was written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.peers import environments
from tests.peers.conftest import SEPARATOR, SEQ_LEN, Written
from tests.peers.environments import Peer, UnavailableError
from tests.peers.exchange import PAD, Answer, Ids, Request

pytestmark = pytest.mark.slow


Answers = dict[str, Answer]


def ask(peer: Peer, reader: str, all_written: dict[str, Written], folder: Path) -> Answers:
    """What a peer's reader finds in the shards; skips where the peer cannot be had."""
    files: dict[str, tuple[Path, Path]] = {}
    for written in all_written.values():
        scratch = folder / written.name
        scratch.mkdir()
        files[written.name] = scratch / "request.json", scratch / "answer.npz"
        shards = tuple(written.shards)
        request = Request(shards, SEPARATOR, written.vocab_size, SEQ_LEN, str(scratch))
        request.save(files[written.name][0])
    try:
        environments.run(
            peer, f"tests.peers.{reader}", *(f for pair in files.values() for f in pair)
        )
    except UnavailableError as error:
        pytest.skip(str(error))
    return {name: Answer.load(answer) for name, (_, answer) in files.items()}


@pytest.fixture(scope="session")
def by_megatron(
    all_written: dict[str, Written], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    folder = tmp_path_factory.mktemp("megatron")
    return ask(environments.MEGATRON, "read_megatron", all_written, folder)


@pytest.fixture(scope="session")
def by_datatrove(
    all_written: dict[str, Written], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    folder = tmp_path_factory.mktemp("datatrove")
    return ask(environments.DATATROVE, "read_datatrove", all_written, folder)


@pytest.fixture(scope="session")
def by_olmo_core(
    all_written: dict[str, Written], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    folder = tmp_path_factory.mktemp("olmo_core")
    return ask(environments.OLMO_CORE, "read_olmo_core", all_written, folder)


@pytest.fixture
def megatron(by_megatron: Answers, written: Written) -> Answer:
    return by_megatron[written.name]


@pytest.fixture
def datatrove(by_datatrove: Answers, written: Written) -> Answer:
    return by_datatrove[written.name]


@pytest.fixture
def olmo_core(by_olmo_core: Answers, written: Written) -> Answer:
    return by_olmo_core[written.name]


def same(found: Sequence[Ids], expected: Sequence[Ids]) -> None:
    """Equal in number, order and content, with the first difference told."""
    for number, (a, b) in enumerate(zip(found, expected, strict=False)):
        assert a.tolist() == b.tolist(), number
    assert len(found) == len(expected)


def cut(stream: Ids, length: int, step: int) -> list[Ids]:
    """The whole windows of a stream."""
    return [stream[i : i + length] for i in range(0, len(stream) - length + 1, step)]


def at_separators(ids: Ids) -> list[Ids]:
    """Cut after each separator."""
    ends = np.flatnonzero(ids == SEPARATOR) + 1
    return [part for part in np.split(ids, ends) if len(part)]


def places(ids: Ids) -> Ids:
    """The place of each id in its document, as far as the window shows it."""
    starts = np.append(0, np.flatnonzero(ids[:-1] == SEPARATOR) + 1)
    lengths = np.diff(np.append(starts, len(ids)))
    return np.concatenate([np.arange(n) for n in lengths])


@pytest.mark.parametrize("peer", environments.PEERS, ids=lambda peer: peer.name)
def test_all_that_a_peer_needs_is_there(peer: Peer) -> None:
    try:
        unmet = json.loads(environments.run(peer, "tests.peers.requirements", peer.name))
    except UnavailableError as error:
        pytest.skip(str(error))
    assert unmet == []


def test_numpy(written: Written) -> None:
    for prefix, documents in written.shards.items():
        payload = np.memmap(f"{prefix}.bin", dtype="<u2", mode="r")
        same(at_separators(payload), documents)


def test_megatron(written: Written, megatron: Answer) -> None:
    for number, documents in enumerate(written.shards.values()):
        for way in ("mapped", "read", "slice"):
            same(megatron.get(f"{number}.{way}"), documents)
        same(megatron.get(f"{number}.tails"), [ids[1:] for ids in documents])


def test_megatron_samples_share_one_token(written: Written, megatron: Answer) -> None:
    for number, documents in enumerate(written.shards.values()):
        (order,) = megatron.get(f"{number}.order")
        assert sorted(order.tolist()) == list(range(len(documents)))
        stream = np.concatenate([documents[i] for i in order])
        same(megatron.get(f"{number}.samples"), cut(stream, SEQ_LEN + 1, SEQ_LEN))


def test_datatrove(written: Written, datatrove: Answer) -> None:
    for number, documents in enumerate(written.shards.values()):
        same(datatrove.get(f"{number}.documents"), documents)
        same(datatrove.get(f"{number}.whole"), [np.concatenate(documents)])
        in_document = np.concatenate([np.arange(len(ids)) for ids in documents])
        same(datatrove.get(f"{number}.places"), [in_document])


def test_datatrove_windows_share_no_token(written: Written, datatrove: Answer) -> None:
    everything: list[Ids] = []
    for number, shards in enumerate(written.folders()):
        files = ["".join(map(chr, name)) for name in datatrove.get(f"{number}.files")]
        assert len(files) == len(shards) and all(name.endswith(".ds") for name in files)
        windows = [w for s in shards for w in cut(np.concatenate(s), SEQ_LEN + 1, SEQ_LEN + 1)]
        same(datatrove.get(f"{number}.windows"), windows)
        for way in ("by_index", "by_separator"):
            same(datatrove.get(f"{number}.{way}"), [places(w) for w in windows])
        everything += windows
    same(datatrove.get("windows"), everything)


def test_datatrove_merges_our_shards(written: Written, datatrove: Answer) -> None:
    for number, shards in enumerate(written.folders()):
        same(datatrove.get(f"{number}.merged"), [d for s in shards for d in s])


def test_olmo_core(written: Written, olmo_core: Answer) -> None:
    shards = list(written.shards.values())
    same(olmo_core.get("documents"), [d for documents in shards for d in documents])
    for number, documents in enumerate(shards):
        same(olmo_core.get(f"{number}.documents"), documents)


def test_olmo_core_sequences(written: Written, olmo_core: Answer) -> None:
    shards = [np.concatenate(documents) for documents in written.shards.values()]
    sequences = [window for ids in shards for window in cut(ids, SEQ_LEN, SEQ_LEN)]
    same(olmo_core.get("sequences"), sequences)
    lengths = [np.bincount(np.cumsum(places(w) == 0) - 1) for w in sequences]
    same(olmo_core.get("lengths"), lengths)


def test_olmo_core_packs_whole_documents(written: Written, olmo_core: Answer) -> None:
    same(olmo_core.get("packed"), olmo_core.get("packed_by_sidecar"))
    pieces = Counter[tuple[int, ...]]()
    for sequence in olmo_core.get("packed"):
        ids = sequence[sequence != PAD]
        pieces.update(map(tuple, (p.tolist() for p in at_separators(ids))))
    documents = [ids for shard in written.shards.values() for ids in shard]
    expected = [ids[i : i + SEQ_LEN] for ids in documents for i in range(0, len(ids), SEQ_LEN)]
    assert pieces == Counter(tuple(p.tolist()) for p in expected)
