"""What a SentencePiece model file says about itself: pieces, training flags, normaliser.

SentencePiece's own Python module for this message is generated for a newer protobuf runtime than
Beam allows, so the part needed here is described anew (`sentencepiece_model.proto`).
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)
from google.protobuf.message import DecodeError

from tokenizer.files import read_bytes
from tokenizer.manifest import Canary

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
SPACE = "\u2581"

# Digits, space runs, accents, scripts, byte fallback, control characters and a literal `</s>`:
# whatever two tokenizers can differ in shows here.
CANARY_TEXT = (
    "In 2023, 1.4T tokens:  x = f(3.14)\n\t"
    "déjà vu, Überraschung, Москва, żółw, 東京 \U0001f999 </s>"
)

_FIELD = descriptor_pb2.FieldDescriptorProto
_FLOAT, _UINT64, _INT32 = _FIELD.TYPE_FLOAT, _FIELD.TYPE_UINT64, _FIELD.TYPE_INT32
_BOOL, _STRING, _BYTES = _FIELD.TYPE_BOOL, _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES

# name: (field number, type, default)
_TRAINER_SPEC: dict[str, tuple[int, Any, str]] = {
    "model_type": (3, _INT32, "1"),
    "vocab_size": (4, _INT32, "8000"),
    "character_coverage": (10, _FLOAT, "0.9995"),
    "input_sentence_size": (11, _UINT64, "0"),
    "num_threads": (16, _INT32, "16"),
    "max_sentence_length": (18, _INT32, "4192"),
    "shuffle_input_sentence": (19, _BOOL, "true"),
    "max_sentencepiece_length": (20, _INT32, "16"),
    "split_by_unicode_script": (21, _BOOL, "true"),
    "split_by_whitespace": (22, _BOOL, "true"),
    "split_by_number": (23, _BOOL, "true"),
    "treat_whitespace_as_suffix": (24, _BOOL, "false"),
    "split_digits": (25, _BOOL, "false"),
    "allow_whitespace_only_pieces": (26, _BOOL, "false"),
    "hard_vocab_limit": (33, _BOOL, "true"),
    "use_all_vocab": (34, _BOOL, "false"),
    "byte_fallback": (35, _BOOL, "false"),
    "required_chars": (36, _STRING, ""),
    "unk_id": (40, _INT32, "0"),
    "bos_id": (41, _INT32, "1"),
    "eos_id": (42, _INT32, "2"),
    "pad_id": (43, _INT32, "-1"),
    "unk_surface": (44, _STRING, " \u2047 "),
    "unk_piece": (45, _STRING, "<unk>"),
    "bos_piece": (46, _STRING, "<s>"),
    "eos_piece": (47, _STRING, "</s>"),
}
_NORMALIZER_SPEC: dict[str, tuple[int, Any, str]] = {
    "name": (1, _STRING, ""),
    "precompiled_charsmap": (2, _BYTES, ""),
    "add_dummy_prefix": (3, _BOOL, "true"),
    "remove_extra_whitespaces": (4, _BOOL, "true"),
    "escape_whitespaces": (5, _BOOL, "true"),
}
_PIECE: dict[str, tuple[int, Any, str]] = {
    "piece": (1, _STRING, ""),
    "score": (2, _FLOAT, "0"),
    "type": (3, _INT32, "1"),
}
# A second normaliser message at the end of the file is merged into the first: field 3 of the model,
# of two bytes: its field 3, false.
_NO_DUMMY_PREFIX = b"\x1a\x02\x18\x00"


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="model.proto", package="m", syntax="proto2")
    for name, fields in (("Trainer", _TRAINER_SPEC), ("Normalizer", _NORMALIZER_SPEC)):
        _add_message(file, name, fields)
    _add_message(file, "Piece", _PIECE)
    model = file.message_type.add(name="Model")
    one, many = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
    for name, number, kind, label in (
        ("pieces", 1, "Piece", many),
        ("trainer_spec", 2, "Trainer", one),
        ("normalizer_spec", 3, "Normalizer", one),
    ):
        model.field.add(
            name=name, number=number, label=label, type=_FIELD.TYPE_MESSAGE, type_name=f".m.{kind}"
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("m.Model"))


def _add_message(
    file: descriptor_pb2.FileDescriptorProto, name: str, fields: dict[str, tuple[int, Any, str]]
) -> None:
    message = file.message_type.add(name=name)
    for field, (number, kind, default) in fields.items():
        message.field.add(
            name=field, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL, default_value=default
        )


_MODEL = _message_class()


@dataclass(frozen=True)
class ModelFile:
    """A SentencePiece model file, read but not yet able to encode.

    `trainer` and `normalizer` hold the flags under SentencePiece's own names, defaults filled in;
    `pieces`, `types` and `scores` are in id order.
    """

    content: bytes
    trainer: dict[str, Any]
    normalizer: dict[str, Any]
    pieces: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...] = ()

    @classmethod
    def parse(cls, content: bytes) -> ModelFile:
        """Reads the bytes of a model file; ValueError if they are none."""
        message = _MODEL()
        try:
            message.ParseFromString(content)
        except DecodeError as error:
            raise ValueError("not a SentencePiece model") from error
        if not message.pieces or not message.HasField("trainer_spec"):
            raise ValueError("not a SentencePiece model")
        return cls(
            content=content,
            trainer={name: getattr(message.trainer_spec, name) for name in _TRAINER_SPEC},
            normalizer={name: getattr(message.normalizer_spec, name) for name in _NORMALIZER_SPEC},
            pieces=tuple(piece.piece for piece in message.pieces),
            types=tuple(piece.type for piece in message.pieces),
            scores=tuple(piece.score for piece in message.pieces),
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModelFile:
        """Reads a model file from a path or fsspec URL; ValueError with one line if it is none."""
        try:
            return cls.parse(read_bytes(path))
        except OSError as error:
            raise ValueError(f"{os.fspath(path)}: {error.strerror or error}") from error
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the file, which names the tokenizer in the manifest."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def model_type(self) -> str:
        """ "bpe", "unigram", "word" or "char"."""
        return MODEL_TYPES.get(self.trainer["model_type"], "unknown")

    @property
    def vocab_size(self) -> int:
        """Pieces of all types."""
        return len(self.pieces)

    @cached_property
    def text_pieces(self) -> list[str]:
        """Pieces that text can be made of, other than bytes."""
        return [
            piece
            for piece, kind in zip(self.pieces, self.types, strict=True)
            if kind in (NORMAL, USER_DEFINED)
        ]

    def without_dummy_prefix(self) -> bytes:
        """The same model, but one that puts no space before the text."""
        return self.content + _NO_DUMMY_PREFIX

    def breaks(self) -> re.Pattern[str] | None:
        """Where a text can be cut so that both parts encode apart to the same ids.

        Between a character and a space after it, and after a newline, provided that no piece
        crosses such a place. The pattern matches the empty string there; None if pieces do.
        """
        pieces = self.text_pieces
        if self.model_type != "bpe" or self.normalizer["precompiled_charsmap"]:
            return None
        if self.normalizer["remove_extra_whitespaces"] or not self.normalizer["escape_whitespaces"]:
            return None
        if any(SPACE in piece.lstrip(SPACE) for piece in pieces):
            return None
        places = f"(?<=[^ {SPACE}])(?=[ {SPACE}])"
        if not any("\n" in piece for piece in pieces):
            places += r"|(?<=\n)"
        return re.compile(places)

    def violations(self) -> list[str]:
        """What a tokenizer of LLaMA's kind promises and this one does not keep; empty if all is."""
        found = []
        ids = {name: self.trainer[f"{name}_id"] for name in ("unk", "bos", "eos")}
        if ids != {"unk": 0, "bos": 1, "eos": 2}:
            found.append(f"unk, bos, eos are {ids['unk']}, {ids['bos']}, {ids['eos']}, not 0, 1, 2")
        elif self.types[:3] != (UNKNOWN, CONTROL, CONTROL):
            found.append("pieces 0, 1, 2 are not one unknown and two control pieces")
        expected = [f"<0x{byte:02X}>" for byte in range(256)]
        found_bytes = [p for p, t in zip(self.pieces, self.types, strict=True) if t == BYTE]
        if found_bytes != expected:
            found.append(f"{len(found_bytes)} byte pieces, not one for each of 256 bytes")
        joined = [p for p in self.text_pieces if len(p) > 1 and re.search("[0-9]", p)]
        if joined:
            found.append(f"{len(joined)} pieces join a digit with more, such as {joined[0]!r}")
        return found

    def canary(self, ids: list[int]) -> Canary:
        """The canary of this tokenizer, given the ids of `CANARY_TEXT`."""
        return Canary(text=CANARY_TEXT, ids=tuple(ids))
