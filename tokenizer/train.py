"""Trains the tokenizer: SentencePiece BPE with the flags in LLaMA's own model file."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import sentencepiece
from pydantic import BaseModel, ConfigDict, Field

from tokenizer.encode import Encoder
from tokenizer.files import AtomicFile
from tokenizer.manifest import MAX_VOCAB_SIZE, Canary
from tokenizer.model import ModelFile

# Read from the trainer and normaliser messages inside LLaMA's `tokenizer.model`. The paper (section
# 2.1) names three of them: BPE, digits split, byte fallback.
LLAMA_FLAGS: dict[str, Any] = {
    "model_type": "bpe",
    "max_sentencepiece_length": 16,
    "shuffle_input_sentence": True,
    "split_by_unicode_script": True,
    "split_by_whitespace": True,
    "split_by_number": True,
    "split_digits": True,
    "treat_whitespace_as_suffix": False,
    "allow_whitespace_only_pieces": True,
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "add_dummy_prefix": True,
    "remove_extra_whitespaces": False,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
    "unk_surface": " \u2047 ",
}
# SentencePiece marks boundaries with this character and leaves out lines that contain it.
_RESERVED = "\u2585"


class TokenizerSettings(BaseModel):
    """What may be chosen about the tokenizer; all else is as in LLaMA's model file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocab_size: int = Field(
        default=32_000,
        gt=259,
        le=MAX_VOCAB_SIZE,
        description="Pieces, 256 bytes and 3 control symbols included. Not in the paper; from the "
        "released model. Ids are stored as uint16.",
    )
    require_vocab_size: bool = Field(
        default=False,
        description="Fail where the text gives fewer pieces (SentencePiece's hard_vocab_limit, set "
        "in LLaMA's model). By default a small corpus gets the tokenizer that it allows, and the "
        "result says so.",
    )
    character_coverage: float = Field(
        default=0.99995,
        gt=0.9,
        le=1,
        description="Share of characters that become pieces; the others are bytes. LLaMA's value.",
    )
    input_sentence_size: int = Field(
        default=200_000_000,
        gt=0,
        description="Lines at most, drawn at random if there are more (with a fixed seed). LLaMA's "
        "value; memory is bounded by it times max_sentence_length, in practice by the sample.",
    )
    max_sentence_length: int = Field(
        default=4192, gt=0, description="Longest line in UTF-8 bytes. LLaMA's value."
    )
    long_lines: Literal["skip", "split"] = Field(
        default="skip",
        description="What becomes of longer lines. LLaMA's trainer skipped them; `split` cuts them "
        "at spaces, so that no text is lost. Both are counted.",
    )
    num_threads: int = Field(
        default=16,
        gt=0,
        description="Fixed, not the number of cores, because it is written into the model file "
        "and the file must be the same on every machine.",
    )


class TokenizerInfo(BaseModel):
    """A trained tokenizer, and what became of every line that it was given.

    `lines` = `trained_lines` + `empty_lines` + `reserved_lines` + `invalid_lines` + (if long lines
    are skipped) `long_lines`; `trained_lines` counts a split line once. Sizes are UTF-8 bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    sha256: str
    vocab_size: int
    requested_vocab_size: int
    lines: int
    trained_lines: int
    trained_bytes: int
    empty_lines: int
    long_lines: int
    long_bytes: int
    reserved_lines: int
    invalid_lines: int
    canary: Canary
    notes: tuple[str, ...]
    settings: TokenizerSettings
    sentencepiece_version: str


class _Lines:
    """Feeds lines to the trainer and counts what becomes of them."""

    def __init__(self, texts: Iterable[str], settings: TokenizerSettings) -> None:
        self._texts, self._settings = texts, settings
        self.lines = self.trained = self.trained_bytes = self.empty = 0
        self.long = self.long_bytes = self.reserved = self.invalid = 0
        # An error raised inside the trainer's loop would lose its message.
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for text in self._texts:
                lines = text.split("\n")
                if self._all_usual(text, lines):
                    yield from filter(None, lines)
                else:
                    for line in lines:
                        yield from self._admit(line)
        # Raised again by train_tokenizer.
        except Exception as error:  # noqa: BLE001
            self.error = error

    def _all_usual(self, text: str, lines: Sequence[str]) -> bool:
        """Whether each line of a text is empty or trained on whole; if so they are counted."""
        # Four bytes are the most that a character takes.
        if _RESERVED in text or 4 * max(map(len, lines)) > self._settings.max_sentence_length:
            return False
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            return False
        empty = lines.count("")
        self.lines += len(lines)
        self.empty += empty
        self.trained += len(lines) - empty
        self.trained_bytes += size - (len(lines) - 1)
        return True

    def _admit(self, line: str) -> Iterator[str]:
        self.lines += 1
        if not line:
            self.empty += 1
            return
        if _RESERVED in line:
            self.reserved += 1
            return
        try:
            encoded = line.encode()
        except UnicodeEncodeError:
            self.invalid += 1
            return
        limit = self._settings.max_sentence_length
        if len(encoded) > limit:
            self.long += 1
            self.long_bytes += len(encoded)
            if self._settings.long_lines == "skip":
                return
        self.trained += 1
        self.trained_bytes += len(encoded)
        if len(encoded) > limit:
            yield from split_line(encoded, limit)
        else:
            yield line


def split_line(line: bytes, limit: int) -> Iterator[str]:
    """Cuts a line of UTF-8 into parts of at most `limit` bytes, at spaces where there are any.

    The space at a cut is left out: the trainer puts one before every line.
    """
    start = 0
    while start < len(line):
        end = start + limit
        if end >= len(line):
            yield line[start:].decode()
            return
        space = line.rfind(b" ", start + 1, end + 1)
        if space > 0:
            yield line[start:space].decode()
            start = space + 1
            continue
        # Back to the first byte of a character.
        while end > start + 1 and line[end] & 0xC0 == 0x80:
            end -= 1
        yield line[start:end].decode()
        start = end


def train_tokenizer(
    lines: Iterable[str],
    out: str | os.PathLike[str],
    settings: TokenizerSettings | None = None,
) -> TokenizerInfo:
    """Trains a tokenizer and writes its model file, atomically.

    The same lines in the same order and the same settings give the same bytes. Texts are read as a
    stream, but SentencePiece holds the lines that it trains on in memory: bound them by the sample.

    Args:
        lines: lines, or whole documents, which are split at newlines.
        out: path or fsspec URL of the model file.
        settings: defaults to LLaMA's.

    Raises:
        ValueError: no text, too little for the vocabulary that is required, or a result that breaks
            a promise (`ModelFile.violations`); one line.
    """
    settings = settings or TokenizerSettings()
    feed = _Lines(lines, settings)
    model = ModelFile.parse(_train(feed, settings))
    broken = model.violations()
    if broken:
        raise ValueError(f"the trained tokenizer breaks a promise: {'; '.join(broken)}")
    with AtomicFile(out) as stream:
        stream.write(model.content)
    return TokenizerInfo(
        path=os.fspath(out),
        sha256=model.sha256,
        vocab_size=model.vocab_size,
        requested_vocab_size=settings.vocab_size,
        lines=feed.lines,
        trained_lines=feed.trained,
        trained_bytes=feed.trained_bytes,
        empty_lines=feed.empty,
        long_lines=feed.long,
        long_bytes=feed.long_bytes,
        reserved_lines=feed.reserved,
        invalid_lines=feed.invalid,
        canary=Encoder.from_model(model, "sentencepiece").canary,
        notes=tuple(_notes(model, feed, settings)),
        settings=settings,
        sentencepiece_version=sentencepiece.__version__,
    )


def _train(feed: _Lines, settings: TokenizerSettings) -> bytes:
    content = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(feed),
            model_writer=content,
            vocab_size=settings.vocab_size,
            hard_vocab_limit=settings.require_vocab_size,
            character_coverage=settings.character_coverage,
            input_sentence_size=settings.input_sentence_size,
            max_sentence_length=settings.max_sentence_length,
            num_threads=settings.num_threads,
            minloglevel=2,
            **LLAMA_FLAGS,
        )
    except RuntimeError as error:
        if feed.error is not None:
            raise feed.error from None
        raise ValueError(_plain(str(error), feed, settings)) from error
    if feed.error is not None:
        raise feed.error
    return content.getvalue()


def _plain(message: str, feed: _Lines, settings: TokenizerSettings) -> str:
    """SentencePiece's error without the place in its source code."""
    if not feed.trained:
        return f"no text to train a tokenizer on: {feed.lines} lines, none usable"
    if most := re.search(r"value <= (\d+)", message):
        return (
            f"the text gives {most[1]} pieces at most, not {settings.vocab_size}: take more text "
            "or a smaller vocab_size"
        )
    if needed := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return (
            f"vocab_size {settings.vocab_size} is too small: bytes and single characters alone "
            f"need {needed[1]}"
        )
    return f"SentencePiece could not train: {message.splitlines()[0]}"


def _notes(model: ModelFile, feed: _Lines, settings: TokenizerSettings) -> Iterator[str]:
    if model.vocab_size < settings.vocab_size:
        yield (f"the text allows {model.vocab_size} pieces of the {settings.vocab_size} asked for")
    if feed.trained > settings.input_sentence_size:
        yield f"{settings.input_sentence_size} of {feed.trained} lines were drawn at random"
    if feed.long:
        done = "skipped" if settings.long_lines == "skip" else "split"
        yield (
            f"{feed.long} lines ({feed.long_bytes} bytes) longer than "
            f"{settings.max_sentence_length} bytes were {done}"
        )
    if feed.reserved:
        yield f"{feed.reserved} lines with U+2585, which SentencePiece reserves, were left out"
    if feed.invalid:
        yield f"{feed.invalid} lines that are no Unicode text were left out"
    missing = [digit for digit in "0123456789" if digit not in model.text_pieces]
    if missing:
        yield f"digits {', '.join(missing)} are not in the text and become bytes"
