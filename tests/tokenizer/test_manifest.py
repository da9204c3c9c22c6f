from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tokenizer import manifest as manifests
from tokenizer.manifest import Canary, Shard, TokensManifest, build
from tokenizer.paper import PROPORTIONS

from .conftest import write_corpus


def shard(path: str, tokens: int = 100, source: str = "c4", split: str = "train") -> Shard:
    return Shard.model_validate(
        {
            "path": path,
            "split": split,
            "source": source,
            "tokens": tokens,
            "documents": 2,
            "text_bytes": tokens * 4,
            "sha256": "a" * 64,
        }
    )


def build_from(shards: list[Shard], proportions: dict[str, float], **more: Any) -> TokensManifest:
    canary = Canary(text="a b", ids=(5, 6))
    return build(
        tokenizer_sha256="b" * 64,
        canary=canary,
        vocab_size=32_000,
        proportions=proportions,
        shards=shards,
        **more,
    )


def test_sums_and_implied_epochs_beside_the_paper() -> None:
    manifest = build_from(
        [shard("c4/b.bin", 60), shard("c4/a.bin", 40), shard("c4/v.bin", 7, split="valid")],
        PROPORTIONS,
        stated_total_tokens=10_000,
    )
    c4 = manifest.sources["c4"]
    assert (c4.tokens, c4.documents, c4.text_bytes) == (100, 4, 400)
    assert (c4.valid_tokens, c4.valid_documents) == (7, 2)
    assert c4.implied_epochs == pytest.approx(0.15 * 10_000 / 100)
    assert c4.bytes_per_token == 4
    assert c4.paper is not None and c4.paper.epochs == 1.06
    assert manifest.sources["books"].implied_epochs is None


def test_shards_are_ordered_by_path_not_by_arrival() -> None:
    one = build_from([shard("c4/b.bin"), shard("c4/a.bin")], {"c4": 1.0})
    two = build_from([shard("c4/a.bin"), shard("c4/b.bin")], {"c4": 1.0})
    assert one.to_json() == two.to_json()
    assert [s.path for s in one.shards] == ["c4/a.bin", "c4/b.bin"]


def test_a_source_that_is_not_in_the_paper() -> None:
    manifest = build_from([shard("x/a.bin", source="x")], {"x": 1.0})
    assert manifest.sources["x"].paper is None


@pytest.mark.parametrize("place", ["", "manifest.json"])
def test_save_and_load(tmp_path: Path, place: str) -> None:
    manifest = build_from([shard("c4/a.bin")], {"c4": 1.0})
    assert manifest.save(tmp_path / place) == str(tmp_path / "manifest.json")
    assert TokensManifest.load(tmp_path / place) == manifest
    assert manifests.root_of(tmp_path / place) == str(tmp_path)


def test_load_from_a_work_folder_and_from_a_url(tmp_path: Path) -> None:
    manifest = build_from([shard("c4/a.bin")], {"c4": 1.0})
    manifest.save(tmp_path / "tokens")
    assert TokensManifest.load(tmp_path) == manifest
    assert manifests.root_of(tmp_path) == str(tmp_path / "tokens")
    manifest.save(f"memory://{tmp_path.name}")
    assert TokensManifest.load(f"memory://{tmp_path.name}") == manifest


def test_proportions_must_be_a_whole() -> None:
    with pytest.raises(ValueError, match=r"add up to 0.9, not to 1"):
        build_from([], {"a": 0.4, "b": 0.5})


def test_a_shard_of_an_unknown_source() -> None:
    with pytest.raises(ValueError, match="not among sources"):
        build_from([shard("c4/a.bin")], {"books": 1.0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "uint32"}, "dtype"),
        ({"format_version": 2}, "format_version"),
        ({"vocab_size": 65_537}, "vocab_size"),
        ({"surplus": 1}, "surplus"),
        ({"canary": {"text": "a", "ids": [40_000]}}, "outside the vocabulary"),
        ({"separator": {"id": 32_000}}, "separator id 32000"),
        ({"separator": {"bos": True}}, "separator.bos"),
    ],
)
def test_refused_with_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    build_from([shard("c4/a.bin")], {"c4": 1.0}).save(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text()) | change
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        TokensManifest.load(tmp_path)
    assert "\n" not in str(caught.value) and "manifest.json" in str(caught.value)


@pytest.mark.parametrize("path", ["../x.bin", "/etc/x.bin", "a/../../x.bin", "gs://x/y.bin", ""])
def test_shard_paths_stay_below_the_manifest(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        shard(path)


def test_totals_must_be_those_of_the_shards(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a": [[10, 20]]})
    content = json.loads(manifest.to_json())
    content["shards"][0]["tokens"] += 1
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="train shards hold 33 tokens, not 32"):
        TokensManifest.load(tmp_path)


def test_a_shard_listed_twice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="listed twice"):
        build_from([shard("c4/a.bin"), shard("c4/a.bin")], {"c4": 1.0})


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no token manifest here"):
        TokensManifest.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="Invalid JSON"):
        TokensManifest.load(tmp_path)
