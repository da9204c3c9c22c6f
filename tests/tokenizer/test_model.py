from __future__ import annotations

from pathlib import Path

import pytest

from tokenizer.model import BYTE, CONTROL, NORMAL, UNKNOWN, ModelFile
from tokenizer.train import LLAMA_FLAGS, TokenizerSettings

from .conftest import LLAMA_MODEL, VOCABULARY, needs_llama_model


def test_what_a_model_says_of_itself(model_path: Path) -> None:
    model = ModelFile.load(model_path)
    assert model.vocab_size == VOCABULARY and model.model_type == "bpe"
    assert model.pieces[:4] == ("<unk>", "<s>", "</s>", "<0x00>")
    assert model.types[:4] == (UNKNOWN, CONTROL, CONTROL, BYTE) and model.types[300] == NORMAL
    assert model.violations() == []
    for name, value in LLAMA_FLAGS.items():
        if name not in ("model_type", "normalization_rule_name"):
            assert (model.trainer | model.normalizer)[name] == value, name
    assert model.normalizer["name"] == "identity"


@needs_llama_model
def test_settings_are_those_in_llamas_own_model() -> None:
    """Every flag of the trainer but the paths, the threads, and the hard limit (a setting)."""
    llama = ModelFile.load(LLAMA_MODEL)
    settings = TokenizerSettings()
    assert llama.vocab_size == settings.vocab_size == 32_000
    for name, value in LLAMA_FLAGS.items():
        if name == "model_type":
            assert llama.model_type == value
        elif name == "normalization_rule_name":
            assert llama.normalizer["name"] == value
        else:
            assert (llama.trainer | llama.normalizer)[name] == value, name
    for name in ("vocab_size", "input_sentence_size", "max_sentence_length"):
        assert llama.trainer[name] == getattr(settings, name), name
    assert llama.trainer["character_coverage"] == pytest.approx(settings.character_coverage)
    assert llama.trainer["hard_vocab_limit"] is True
    assert llama.normalizer["precompiled_charsmap"] == b""
    assert llama.violations() == [] and llama.breaks() is not None


@needs_llama_model
def test_the_small_model_differs_from_llamas_in_size_and_threads_only(model_path: Path) -> None:
    llama, small = ModelFile.load(LLAMA_MODEL), ModelFile.load(model_path)
    differing = {name for name in llama.trainer if llama.trainer[name] != small.trainer[name]}
    assert differing == {"vocab_size", "num_threads", "hard_vocab_limit"}
    assert llama.normalizer == small.normalizer


@pytest.mark.parametrize("content", [b"", b"\x00" * 20, b"# no model\n", b"\x0a\x05"])
def test_files_that_are_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.model: not a SentencePiece model"):
        ModelFile.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.model: No such file"):
        ModelFile.load(tmp_path / "x.model")


def changed(model: ModelFile, **more: object) -> ModelFile:
    facts = {
        name: getattr(model, name)
        for name in ("content", "trainer", "normalizer", "pieces", "types")
    }
    return ModelFile(**(facts | more))  # type: ignore[arg-type]


def test_violations(model_path: Path) -> None:
    model = ModelFile.load(model_path)
    pieces, types = list(model.pieces), list(model.types)
    joined = changed(model, pieces=(*pieces, "a1"), types=(*types, NORMAL))
    assert joined.violations() == ["1 pieces join a digit with more, such as 'a1'"]
    fewer = changed(model, types=(*types[:3], NORMAL, *types[4:]))
    assert "255 byte pieces" in fewer.violations()[0]
    other = changed(model, trainer=model.trainer | {"eos_id": 3})
    assert other.violations() == ["unk, bos, eos are 0, 1, 3, not 0, 1, 2"]
    swapped = changed(model, types=(UNKNOWN, NORMAL, CONTROL, *types[3:]))
    assert swapped.violations() == ["pieces 0, 1, 2 are not one unknown and two control pieces"]


def test_breaks_are_where_no_piece_crosses(model_path: Path) -> None:
    model = ModelFile.load(model_path)
    pattern = model.breaks()
    assert pattern is not None
    assert pattern.split("ab  cd\ne\n\n f \u2581g") == [
        "ab",
        "  cd\n",
        "e\n",
        "\n",
        " f",
        " \u2581g",
    ]
    crossing = changed(model, pieces=(*model.pieces, "a\u2581b"), types=(*model.types, NORMAL))
    assert crossing.breaks() is None
    newline = changed(model, pieces=(*model.pieces, "a\nb"), types=(*model.types, NORMAL))
    assert (found := newline.breaks()) is not None and found.split("a\nb c") == ["a\nb", " c"]
    squeezing = changed(model, normalizer=model.normalizer | {"remove_extra_whitespaces": True})
    assert squeezing.breaks() is None
