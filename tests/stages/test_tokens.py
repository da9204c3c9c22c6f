"""Token shards from documents: a global order that only ids decide, whatever the layout."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.document_names import names_of
from stages.documents import PartWriter
from stages.engine.manifest import Manifest
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.held_out import HeldOutRule
from stages.outcomes import Document
from tokenizer import manifest as token_manifest
from tokenizer.encode import Encoder
from tokenizer.sample import hash64
from tokenizer.shards import ShardReader
from tokenizer.train import TokenizerSettings, train_tokenizer

WORDS = ("river", "stone", "bridge", "winter", "garden", "library", "engine", "market", "forest")


def text_of(i: int) -> str:
    return " ".join(WORDS[(i * k) % 9] + str(i % 97) for k in range(1, 30)) + "\n end"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    lines = [text_of(i) for i in range(300)] + ["0123456789"]
    train_tokenizer(lines, path, TokenizerSettings(vocab_size=500))
    return path


def documents(folder: Path, numbers: list[list[int]], source: str = "wikipedia") -> Path:
    """One part per list of document numbers; number -1 is an empty document."""
    for n, part in enumerate(numbers):
        name = f"part-{n:05d}-of-{len(numbers):05d}.parquet"
        with PartWriter(str(folder), name, "t") as out:
            for i in part:
                text = text_of(i) if i >= 0 else ""
                url = f"http://{i}.example/page/" if i % 3 else None
                out.outcome(Document(f"d{i}", text, source, f"/raw/f#{i}", url=url))
    return folder


def tokens(folder: Path, model: Path, output: Path, **settings: object) -> Manifest:
    step = Step(
        name="tokens",
        stage="tokens",
        output=str(output),
        inputs={"input": [str(folder)], "tokenizer": [str(model)]},
        settings={"valid_share": 0.1, **settings},
    )
    return run_step(step).manifest


def payloads(output: Path) -> dict[str, str]:
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(output.glob("*/*"))
        if p.parent.name not in ("rejected", "bad")
    }


def test_shards_do_not_depend_on_how_documents_lie_in_parts(tmp_path: Path, model: Path) -> None:
    one = documents(tmp_path / "one", [list(range(200))])
    many = documents(tmp_path / "many", [list(range(150, 200)), [], list(range(150))[::-1]])
    tokens(one, model, tmp_path / "a", shard_tokens=2000)
    tokens(many, model, tmp_path / "b", shard_tokens=2000)
    found = payloads(tmp_path / "a")
    assert len([n for n in found if n.endswith(".bin")]) > 3
    assert found == payloads(tmp_path / "b")


def test_documents_are_in_the_order_of_their_keys_and_decode_to_their_text(
    tmp_path: Path, model: Path
) -> None:
    tokens(documents(tmp_path / "in", [list(range(120))]), model, tmp_path / "out")
    manifest = token_manifest.load(tmp_path / "out")
    encoder = Encoder(model)
    seen: list[str] = []
    for shard in manifest.shards:
        reader = ShardReader(tmp_path / "out" / shard.path, vocab_size=manifest.vocab_size)
        stream = np.fromfile(tmp_path / "out" / shard.path, dtype="<u2")
        rows = reader.documents
        ids = rows.column("id").to_pylist()
        assert ids == sorted(ids, key=lambda i: hash64(0, i, "order"))
        by_text = [HeldOutRule("cluster", 0).number(i, text_of(int(i[1:]))) for i in ids]
        assert rows.column("held_out").to_pylist() == by_text
        assert {n < 0.1 * 2**64 for n in by_text} <= {shard.split == "valid"}
        for name, first, length in zip(
            ids, rows["first_token"].to_pylist(), rows["length"].to_pylist(), strict=True
        ):
            own = stream[first : first + length]
            assert own[-1] == manifest.separator.id
            assert (own[:-1] != manifest.separator.id).all()
            assert encoder.decode(own[:-1]) == text_of(int(name[1:]))
        seen += ids
    assert sorted(seen) == sorted(f"d{i}" for i in range(120))
    assert len({s.split for s in manifest.shards}) == 2


def test_an_empty_document_is_rejected_and_counted(tmp_path: Path, model: Path) -> None:
    done = tokens(documents(tmp_path / "in", [[1, -1, 2]]), model, tmp_path / "out")
    assert (done.counts.documents_in, done.counts.documents_out) == (3, 2)
    assert done.counts.reasons == {"no_tokens": 1}
    listed = {f["path"] for f in done.files}
    assert "rejected/part-00000-of-00001.parquet" in listed
    assert {"manifest.json", "tokenizer.model"} <= listed


def test_a_separator_written_out_in_a_text_stays_text(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    with PartWriter(str(folder), "part-00000-of-00001.parquet", "t") as out:
        out.outcome(Document("x", "river </s> stone <s> garden", "wikipedia", "f#0"))
    tokens(folder, model, tmp_path / "out", valid_share=0.0)
    stream = np.fromfile(next((tmp_path / "out").glob("*/train-*.bin")), dtype="<u2")
    assert (stream == 2).sum() == 1 and stream[-1] == 2


def test_shards_tell_where_documents_come_from(tmp_path: Path, model: Path) -> None:
    tokens(
        documents(tmp_path / "in", [list(range(80))]), model, tmp_path / "out", shard_tokens=2000
    )
    manifest = token_manifest.load(tmp_path / "out")
    readers = [ShardReader(tmp_path / "out" / s.path) for s in manifest.shards]
    assert len(readers) > 3
    for i in range(80):
        url = f"http://{i}.example/page/" if i % 3 else None
        for name in (f"d{i}", f"f#{i}", *([f"{i}.example/page"] if url else [])):
            (found,) = [d for reader in readers for d in reader.find([name])]
            assert (found.id, found.origin, found.url) == (f"d{i}", f"/raw/f#{i}", url)
    assert names_of("f#1", "no URL at all") == ["f#1", "no URL at all"]
    assert names_of("a/b#2", "HTTP://WWW.a.example:80/x/../y/?") == ["b#2", "a.example/y"]
    assert names_of(None, None) == names_of("", "") == []


def test_of_each_unit_a_share_is_compared_with_sentencepiece_and_one_document_at_least(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents(tmp_path / "in", [list(range(40)), list(range(40, 60))])
    compared: list[list[str]] = []
    plain = Encoder.verify_exact

    def watched(self: Encoder, texts: Any) -> Any:
        compared.append(list(texts))
        return plain(self, compared[-1])

    monkeypatch.setattr(Encoder, "verify_exact", watched)
    for share, expected in ((0.0, [1, 1]), (1.0, [20, 20]), (0.1, [5, 3])):
        compared.clear()
        tokens(tmp_path / "in", model, tmp_path / f"out{share}", verify_share=share)
        assert sorted(map(len, compared), reverse=True) == pytest.approx(expected, abs=1)
        assert all(compared)
    assert {text for texts in compared for text in texts} <= {text_of(i) for i in range(60)}


def test_a_tokenizer_is_compared_on_documents_of_every_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents(tmp_path / "in" / "a", [list(range(100)), list(range(100, 200))])
    documents(tmp_path / "in" / "b", [list(range(200, 300))], source="books")
    compared: list[str] = []
    plain = Encoder.verify_exact

    def watched(self: Encoder, texts: Any) -> Any:
        compared.extend(texts)
        return plain(self, list(compared))

    monkeypatch.setattr(Encoder, "verify_exact", watched)
    folders = [str(tmp_path / "in" / name) for name in "ab"]
    step = Step("t", "tokenizer", f"{tmp_path}/t", {"input": folders}, {"vocab_size": 320})
    done = run_step(step).manifest
    places = {i // 100 for i in range(300) if text_of(i) in compared}
    assert places == {0, 1, 2}
    sampled = sum(len(text_of(i)) for i in range(300))
    assert sum(map(len, compared)) < 0.1 * sampled
    assert done.extra["verified_on"]["documents"] == len(compared)
