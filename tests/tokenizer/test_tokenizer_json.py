from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenizer.encode import Encoder
from tokenizer.model import ModelFile
from tokenizer.tokenizer_json import tokenizer_json

from .conftest import LLAMA_MODEL, needs_llama_model, some_lines

HARD = [
    "",
    " ",
    "  leading and   inner    runs\t\n",
    "In 2023, 1.4T tokens: x = f(3.14)\n\n\tdéjà vu, Москва, 東京 \U0001f999",
    "\x00\x7f\ufffd\u2581 \u00a0",
]


def same(path: Path, texts: list[str]) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(ModelFile.load(path))))
    ours = Encoder(path, "sentencepiece")
    for text in texts:
        ids = ours.encode(text).tolist()
        assert theirs.encode(text, add_special_tokens=False).ids == ids, text
        assert theirs.decode(ids, skip_special_tokens=False) == ours.decode(ids)


def test_the_same_ids_and_texts_as_sentencepiece(model_path: Path) -> None:
    same(model_path, [*some_lines(300, seed=9), *HARD])


@needs_llama_model
def test_the_same_ids_as_llamas_own() -> None:
    same(LLAMA_MODEL, [*some_lines(100, seed=5), *HARD])


def test_other_kinds_of_models_are_refused(model_path: Path) -> None:
    model = ModelFile.load(model_path)
    changed = ModelFile(
        model.content,
        model.trainer | {"model_type": 1},
        model.normalizer,
        model.pieces,
        model.types,
    )
    with pytest.raises(ValueError, match="not unigram"):
        tokenizer_json(changed)
    changed = ModelFile(
        model.content,
        model.trainer,
        model.normalizer | {"remove_extra_whitespaces": True},
        model.pieces,
        model.types,
    )
    with pytest.raises(ValueError, match="normalises"):
        tokenizer_json(changed)
