"""The same tokenizer as Hugging Face's `tokenizer.json`, for programs that read no SentencePiece.

A SentencePiece BPE model joins the two neighbours whose joined piece has the highest score; that
format wants the list of joins, best first. A piece can be made in several ways, and all are listed.
"""

from __future__ import annotations

from typing import Any

from tokenizer.merges import merges
from tokenizer.model import CONTROL, NORMAL, SPACE, UNKNOWN, USER_DEFINED, ModelFile


def tokenizer_json(model: ModelFile) -> dict[str, Any]:
    """The content of `tokenizer.json`.

    No `<s>` or `</s>` is added to a text. Texts with a literal `</s>` differ: there it is the
    control piece, while SentencePiece spells it out.

    Raises:
        ValueError: the model is no BPE model, or normalises text in a way that has no counterpart.
    """
    if model.model_type != "bpe" or not model.trainer["byte_fallback"]:
        raise ValueError(f"only BPE models with bytes can be written so, not {model.model_type}")
    if model.normalizer["precompiled_charsmap"] or model.normalizer["remove_extra_whitespaces"]:
        raise ValueError("the model normalises text, which is not written so")
    ids = {piece: i for i, piece in enumerate(model.pieces)}
    kinds = dict(zip(model.pieces, model.types, strict=True))
    special = [p for p in model.pieces if kinds[p] in (CONTROL, UNKNOWN)]
    prefix = bool(model.normalizer["add_dummy_prefix"])
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": ids[piece],
                "content": piece,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for piece in special
        ],
        # Not the Metaspace pre-tokenizer: it puts no space before a text that begins with one.
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                *([{"type": "Prepend", "prepend": SPACE}] if prefix else []),
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": model.trainer["unk_piece"],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": ids,
            "merges": _merges(model, ids),
        },
    }


def _merges(model: ModelFile, ids: dict[str, int]) -> list[list[str]]:
    of_text = (NORMAL, USER_DEFINED)
    text = [p for p, kind in zip(model.pieces, model.types, strict=True) if kind in of_text]
    return merges(list(dict.fromkeys(text)), ids, model.scores)
