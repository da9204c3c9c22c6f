"""Ids are SentencePiece's, whatever the text."""

from __future__ import annotations

import io
import pickle
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import encode as module
from tokenizer import fast_encoder as fast_module
from tokenizer.encode import PROBES, Encoder
from tokenizer.fast_encoder import FastEncoder
from tokenizer.manifest import Canary, TokensManifest, build
from tokenizer.model import CANARY_TEXT

from .conftest import LLAMA_MODEL, needs_llama_model, some_lines

ADVERSARIAL = {
    "empty": "",
    "one space": " ",
    "spaces only": " " * 100,
    "tabs": "\t\t\ta\tb\t",
    "newlines": "\n\n\na\r\nb\r\n\n",
    "NUL": "a\0b\0",
    "control characters": "".join(map(chr, range(32))) + "".join(map(chr, range(127, 160))),
    "every byte": "".join(chr(c) for c in range(0x20, 0x3000)),
    "bytes of four": "".join(chr(c) for c in range(0x10000, 0x10200)),
    "emoji joined": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \U0001f1eb",
    "combining marks": "e\u0301\u0323\u0300\u0302 \u0301\u0301 a\u0308",
    "not normalised": "\ufb01 \uff21 \u1e9b\u0323 \u212b \u2460",
    "unassigned": "\u0378\u0379 \U000e0fff a",
    "noncharacters": "\ufdd0\ufffe\uffff\U0010ffff",
    "private use": "\ue000 \U000f0000\U0010fffd",
    "replacement": "\ufffd\ufffd",
    "digits": "0" * 50 + "1234567890.5e-7 \u0661\u0662 \u00bd",
    "symbols in text": "</s><s><unk><pad> a</s> <s>b",
    "bytes in text": "<0x0A><0x00> <0xFF>",
    "the space mark": "\u2581\u2581a\u2581 b \u2581 \u2581",
    "the space mark alone": "\u2581",
    "other spaces": "\u00a0a\u3000b\u2028c\u2029d\u200be\ufefff",
    "right to left": "\u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "many scripts": "Hello \u6771\u4eac \ud55c\uad6d \u0e44\u0e17\u0e22 \u0928\u092e\u0938",
    "unknown mark": "\u2047 \u2585 \u2047",
    "spaces at the end": "a  b   ",
}


@pytest.fixture(scope="module", params=["small", pytest.param("llama", marks=needs_llama_model)])
def either(request: pytest.FixtureRequest, model_path: Path) -> Encoder:
    return Encoder(LLAMA_MODEL if request.param == "llama" else model_path)


@pytest.fixture(scope="module")
def reference(either: Encoder) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=either.model.content)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_texts(
    either: Encoder, reference: sentencepiece.SentencePieceProcessor, name: str
) -> None:
    text = ADVERSARIAL[name]
    ids = either.encode(text)
    assert either.backend == "gigatoken"
    assert ids.dtype == np.uint16 and ids.ndim == 1
    assert ids.tolist() == reference.encode(text)


def test_symbols_in_a_text_stay_text(either: Encoder) -> None:
    for text in ("</s>", "<s>", "<unk>", "a</s>", " </s> ", "<0x0A>", "<0x00>"):
        ids = either.encode(text).tolist()
        assert not set(ids) & {0, 1, 2, 3, 13}, text
        assert either.decode(ids) == text


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        " " * 1_000_000,
        "ab cd  ef\n" * 100_000,
        "\u6771\u4eac" * 200_000,
        "x=1;" * 250_000,
        "7" * 400_000,
    ],
    ids=["a", "spaces", "lines", "cjk", "minified", "digits"],
)
def test_a_line_of_a_megabyte(encoder: Encoder, model_path: Path, text: str) -> None:
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model_path))
    assert encoder.encode(text).tolist() == reference.encode(text)


CHARACTERS = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from(list(" \u2581\n\t\0</s>0123aekloüда")),
)


@settings(max_examples=150, deadline=None)
@given(text=st.text(CHARACTERS, max_size=60))
def test_any_text_gives_sentencepieces_ids(
    either: Encoder, reference: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    ids = either.encode(text).tolist()
    assert ids == reference.encode(text)
    if "\u2581" not in text:
        assert either.decode(ids) == text, "nothing is lost"


@settings(max_examples=100, deadline=None)
@given(text=st.text(CHARACTERS, max_size=80), size=st.integers(1, 30))
def test_cutting_makes_no_difference(
    either: Encoder, reference: sentencepiece.SentencePieceProcessor, text: str, size: int
) -> None:
    in_parts = copy(either)
    in_parts._fast, in_parts._chunk = None, size
    assert in_parts.encode(text).tolist() == reference.encode(text)


def test_long_texts_are_cut(model_path: Path) -> None:
    encoder = Encoder(model_path, "sentencepiece")
    text = "\n".join(some_lines(200))
    encoder._chunk = 1000
    parts = list(encoder._parts(text))
    assert "".join(parts) == text and len(parts) > 5
    assert max(map(len, parts)) < 1100
    assert encoder.verify_exact([text]).exact


def test_a_fresh_start_changes_no_id(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = some_lines(60)
    expected = [ids.tolist() for ids in Encoder(model_path).encode_batch(texts)]
    monkeypatch.setattr(fast_module, "_FRESH_EVERY", 200)
    encoder = Encoder(model_path, "gigatoken")
    assert encoder._fast is not None
    first = encoder._fast._tokenizer
    assert [ids.tolist() for ids in encoder.encode_batch(texts)] == expected
    assert encoder._fast._tokenizer is not first
    assert encoder.encode("ka " * 100).tolist() == Encoder(model_path).encode("ka " * 100).tolist()


def test_a_copy_that_falls_back_leaves_the_other_alone(model_path: Path) -> None:
    encoder = Encoder(model_path)
    other = copy(encoder)
    other._fast = Wrong(encoder._fast)  # type: ignore[assignment]
    assert not other.verify_exact(["min q"]).exact
    assert (other.backend, encoder.backend) == ("sentencepiece", "gigatoken")
    assert other._sentencepiece is encoder._sentencepiece


def test_user_defined_pieces_are_left_to_sentencepiece(tmp_path: Path) -> None:
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(some_lines(500)),
        model_writer=content,
        model_type="bpe",
        vocab_size=500,
        byte_fallback=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        user_defined_symbols=["kalo"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = tmp_path / "own.model"
    path.write_bytes(content.getvalue())
    encoder = Encoder(path)
    assert encoder.backend == "sentencepiece" and "user-defined" in encoder.reason
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert encoder.encode("min kalo").tolist() == reference.encode("min kalo")


def test_batches(encoder: Encoder) -> None:
    texts = [*ADVERSARIAL.values(), *some_lines(50)]
    batch = encoder.encode_batch(texts)
    assert len(batch) == len(texts)
    for ids, text in zip(batch, texts, strict=True):
        assert np.array_equal(ids, encoder.encode(text))
    assert encoder.encode_batch([]) == []


def test_both_backends(model_path: Path) -> None:
    fast, slow = Encoder(model_path, "gigatoken"), Encoder(model_path, "sentencepiece")
    assert (fast.backend, slow.backend) == ("gigatoken", "sentencepiece")
    for text in [*PROBES, *some_lines(20)]:
        assert np.array_equal(fast.encode(text), slow.encode(text))
    assert slow.verify_exact(some_lines(5)).backend == "sentencepiece"


def test_a_lone_surrogate_is_refused_by_name(model_path: Path) -> None:
    for backend in ("gigatoken", "sentencepiece"):
        encoder = Encoder(model_path, backend)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"U\+D800 at character 2"):
            encoder.encode("ab\ud800")


def test_verification_counts(encoder: Encoder) -> None:
    texts = some_lines(30)
    result = encoder.verify_exact(texts)
    assert result.exact and result.texts == 30 and result.first_mismatch is None
    assert result.text_bytes == sum(len(text.encode()) for text in texts)
    assert result.tokens == sum(ids.size for ids in encoder.encode_batch(texts))
    assert "exact on 30 texts" in encoder.reason


class Wrong:
    """A backend that differs for texts with a `q`."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def encode(self, text: str) -> npt.NDArray[np.uint32]:
        ids: npt.NDArray[np.uint32] = self.inner.encode(text)
        return np.append(ids[:-1], np.uint32(5)) if "q" in text else ids


def test_a_backend_that_differs_is_given_up_and_named(model_path: Path) -> None:
    encoder = Encoder(model_path)
    assert encoder._fast is not None
    encoder._fast = Wrong(encoder._fast)
    assert encoder.verify_exact(["ka", "lo"]).exact and encoder.backend == "gigatoken"
    result = encoder.verify_exact(["ka", "min q", "q"])
    assert not result.exact and result.mismatches == 2 and result.backend == "gigatoken"
    assert result.first_mismatch is not None and result.first_mismatch.startswith(
        "text 1: at token"
    )
    assert encoder.backend == "sentencepiece"
    assert "gigatoken gave other ids than SentencePiece for 2 of 3 texts" in encoder.reason
    assert encoder.verify_exact(["min q"]).exact


def test_a_backend_that_fails_the_probes(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FastEncoder", lambda model: Wrong(FastEncoder(model)))
    encoder = Encoder(model_path)
    assert encoder.backend == "sentencepiece"
    assert encoder.reason.startswith("it differs from SentencePiece: text")
    with pytest.raises(ValueError, match="gigatoken cannot be used with this model: it differs"):
        Encoder(model_path, "gigatoken")


def test_unigram_models_are_left_to_sentencepiece(tmp_path: Path) -> None:
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(some_lines(500)),
        model_writer=content,
        model_type="unigram",
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = tmp_path / "unigram.model"
    path.write_bytes(content.getvalue())
    encoder = Encoder(path)
    assert encoder.backend == "sentencepiece" and "unigram" in encoder.reason
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    long = " ".join(some_lines(100)) * 30
    assert encoder.encode(long).tolist() == reference.encode(long)


def test_encoders_travel_between_processes(encoder: Encoder) -> None:
    other = pickle.loads(pickle.dumps(encoder))
    assert other.backend == encoder.backend
    assert np.array_equal(other.encode(CANARY_TEXT), encoder.encode(CANARY_TEXT))


def test_canary_tells_tokenizers_apart(encoder: Encoder) -> None:
    assert encoder.canary.text == CANARY_TEXT
    assert list(encoder.canary.ids) == encoder.encode(CANARY_TEXT).tolist()


def test_litgpt_471_shards_of_another_tokenizer_are_refused(encoder: Encoder) -> None:
    def manifest(sha256: str, ids: tuple[int, ...], vocab_size: int) -> TokensManifest:
        return build(
            tokenizer_sha256=sha256,
            canary=Canary(text=CANARY_TEXT, ids=ids),
            vocab_size=vocab_size,
            proportions={"a": 1.0},
            shards=[],
        )

    sha256, ids, size = encoder.model.sha256, encoder.canary.ids, encoder.vocab_size
    encoder.require(manifest(sha256, ids, size))
    for other, message in (
        (manifest("0" * 64, ids, size + 1), f"{size} pieces, not {size + 1}"),
        (manifest("0" * 64, ids[1:], size), "encodes the canary otherwise"),
        (manifest("0" * 64, ids, size), "though it encodes the canary alike"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder.require(other)


def test_ids_and_pieces(encoder: Encoder) -> None:
    assert (encoder.unk_id, encoder.bos_id, encoder.eos_id) == (0, 1, 2)
    assert encoder.vocab_size == len(encoder.model.pieces)
    assert "".join(encoder.pieces(encoder.encode("ka lo"))) == "\u2581ka\u2581lo"
    with pytest.raises(ValueError, match="outside the vocabulary"):
        encoder.decode([encoder.vocab_size])


def test_bad_arguments(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no backend 'fast'"):
        Encoder(model_path, "fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="No such file"):
        Encoder(tmp_path / "none.model")
