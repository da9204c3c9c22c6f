"""Text to shards to text: made-up documents that are hard to tokenise, and real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import Step
from tests.data_paths import SHARED_DATA, needs_shared_data
from tests.peers.conftest import run_tokens
from tests.peers.round_trip import Compared, DifferenceError, round_trip
from tests.stages.helpers import write_parts
from tests.tokenizer.conftest import LLAMA_MODEL, needs_llama_model, some_lines

HARD = (
    " ",
    "\n",
    "</s>",
    "a </s> b <s> c <unk> d <0x0A> \u2581e",
    "   leading, trailing and   inner runs   ",
    " " * 5000,
    "\t\x00\x01\x7f\r\n\u2028\ufeff",
    "e\u0301 \ufb01 \uff21 \u00bd \u0130 \u1e9e",
    "\U0001f469\u200d\U0001f4bb \u05e9\u05dc\u05d5\u05dd \u6771\u4eac \ufffd\U0010ffff",
    "2023-01-01 3.14159 1e10 \u0661\u0662\u0663",
    "x" * 20_000,
    "no space at all,".replace(" ", "") * 20_000,
    "one of more than a part of the encoder, " * 10_000,
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> tuple[Path, Path]:
    """The folder of documents and the folder of their shards."""
    texts = [*HARD, "", *some_lines(300, seed=3)]
    rows = [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]
    rows.append({"id": "d20", "text": "another document of an id that is there already"})
    root = tmp_path_factory.mktemp("made-up")
    documents = Path(write_parts(root / "documents", [rows[:50], rows[50:]]))
    run_tokens(documents, model_path, root / "tokens", shard_tokens=20_000)
    return documents, root / "tokens"


def test_made_up_documents(shards: tuple[Path, Path]) -> None:
    documents, tokens = shards
    found = round_trip(tokens, [documents])
    assert found.documents == len(HARD) + 301 and found.shards > 10


@pytest.fixture
def change(shards: tuple[Path, Path]) -> Iterator[Callable[[Path, bytes], None]]:
    """Writes another content into a file, for one test."""
    before: dict[Path, bytes] = {}

    def write(path: Path, content: bytes) -> None:
        before.setdefault(path, path.read_bytes())
        path.write_bytes(content)

    yield write
    for path, content in before.items():
        path.write_bytes(content)


def test_one_other_id_is_found(
    shards: tuple[Path, Path], change: Callable[[Path, bytes], None]
) -> None:
    documents, tokens = shards
    path = max(tokens.glob("*/train-*.bin"), key=lambda p: p.stat().st_size)
    ids = np.fromfile(path, dtype="<u2")
    ids[len(ids) // 2] ^= 1
    change(path, ids.tobytes())
    with pytest.raises(DifferenceError, match=f"{path.name}: document 'd[0-9]+' differs at"):
        round_trip(tokens, [documents])


def test_an_id_outside_the_vocabulary_is_found(
    shards: tuple[Path, Path], change: Callable[[Path, bytes], None]
) -> None:
    documents, tokens = shards
    path = max(tokens.glob("*/train-*.bin"), key=lambda p: p.stat().st_size)
    ids = np.fromfile(path, dtype="<u2")
    ids[0] = 60_000
    change(path, ids.tobytes())
    with pytest.raises(DifferenceError, match="has id 60000, which the tokenizer has not"):
        round_trip(tokens, [documents])


def test_other_documents_are_found(shards: tuple[Path, Path], tmp_path: Path) -> None:
    documents, tokens = shards
    parts = sorted(documents.glob("part-*.parquet"))
    with pytest.raises(DifferenceError, match="went not in"):
        round_trip(tokens, parts[:1])
    one_more = pa.table({"id": ["new"], "text": ["new"]})
    pq.write_table(one_more, tmp_path / "more.parquet")
    with pytest.raises(DifferenceError, match="1 documents are in no shard, as 'new'"):
        round_trip(tokens, [documents, tmp_path / "more.parquet"])


def source(name: str, inputs: list[Path], output: Path) -> Manifest:
    given = {"input": [str(path) for path in inputs]}
    return run_step(Step(name, name, str(output), given, {})).manifest


@needs_shared_data
@needs_llama_model
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "files", "at_least"),
    [
        ("commoncrawl", "commoncrawl/wet/part-0000[01].warc.wet.gz", 1000),
        ("arxiv", "arxiv/*.tar", 30),
        ("stackexchange", "stackexchange/*.7z", 100),
    ],
)
def test_real_documents(name: str, files: str, at_least: int, tmp_path: Path) -> None:
    found = sorted(SHARED_DATA.glob(files))
    source(name, found, tmp_path / "documents")
    run_tokens(tmp_path / "documents", LLAMA_MODEL, tmp_path / "tokens", shard_tokens=200_000)
    compared: Compared = round_trip(tmp_path / "tokens", [tmp_path / "documents"])
    assert compared.documents >= at_least and compared.shards > 1
    print(name, compared)
