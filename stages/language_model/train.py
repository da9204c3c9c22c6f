"""Training a language's SentencePiece model and its KenLM model from texts."""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import sentencepiece

from stages.ccnet_text import normalise_for_language_model
from stages.engine.pool import run_program
from stages.language_model.kenlm_tools import Tools, find_tools
from stages.language_model.sample import LineSample
from stages.language_model.settings import LanguageModelSettings

# SentencePiece's trainer leaves out longer lines (its default, 4,192 bytes), without a word.
_SENTENCE_BYTES = 4192


class TrainingError(RuntimeError):
    """A library or program gave up; the message holds what it said."""


@dataclass(frozen=True)
class ModelInfo:
    """What was made, and from how much text. Sizes in bytes; digests are SHA-256."""

    language: str
    documents_seen: int
    bytes_seen: int
    documents: int
    bytes: int
    tokens: int
    vocabulary: int
    vocabulary_wanted: int
    sentencepiece_bytes: int
    sentencepiece_sha256: str
    kenlm_bytes: int
    kenlm_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TooLittleText:
    """No model was made: the language has `bytes` of normalised text, below `min_bytes`."""

    language: str
    documents_seen: int
    bytes: int
    min_bytes: int


def model_paths(folder: Path, language: str) -> tuple[Path, Path]:
    """The SentencePiece and the KenLM file of a language, named as CCNet publishes them.

    Raises:
        ValueError: `language` is not made of letters, digits, `-` and `_`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", language):
        raise ValueError(f"{language!r} cannot be a language code")
    return folder / f"{language}.sp.model", folder / f"{language}.arpa.bin"


def train_language_model(
    texts: Iterable[str],
    language: str,
    out_dir: Path,
    settings: LanguageModelSettings | None = None,
    tools: Tools | None = None,
) -> ModelInfo | TooLittleText:
    """Makes `<language>.sp.model` and `<language>.arpa.bin` in `out_dir`.

    The bytes of both files depend only on the set of texts and the settings, not on the texts'
    order. Each text becomes one line, normalised as CCNet does, its newlines first made spaces:
    the texts that CCNet trained on had none.

    Args:
        texts: documents of one language, read once.
        tools: KenLM's programs; None looks for them (`find_tools`).

    Raises:
        TrainingError: SentencePiece or KenLM failed.
        stages.language_model.kenlm_tools.ToolsMissingError: KenLM's programs are not there.
        ValueError: `language` is no language code.
    """
    settings = settings or LanguageModelSettings()
    sp_path, lm_path = model_paths(out_dir, language)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=f".{language}-") as folder:
        scratch = Path(folder)
        with (scratch / "spool").open("w+b") as spool:
            sample = LineSample(spool, settings.max_documents, settings.max_bytes, settings.seed)
            for line in (_line(text, settings.head_chars) for text in texts):
                if line:
                    sample.add(line)
            if not sample.bytes or sample.bytes < settings.min_bytes:
                return TooLittleText(language, sample.lines_seen, sample.bytes, settings.min_bytes)
            tools = tools or find_tools()
            model = _train_sentencepiece(sample, settings)
            processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            tokens = _write_pieces(processor, sample, scratch / "pieces")
        (scratch / "sp.model").write_bytes(model)
        _train_kenlm(scratch, settings, tools)
        info = ModelInfo(
            language=language,
            documents_seen=sample.lines_seen,
            bytes_seen=sample.bytes_seen,
            documents=len(sample),
            bytes=sample.bytes,
            tokens=tokens,
            vocabulary=processor.get_piece_size(),
            vocabulary_wanted=settings.vocabulary,
            sentencepiece_bytes=len(model),
            sentencepiece_sha256=hashlib.sha256(model).hexdigest(),
            kenlm_bytes=(scratch / "arpa.bin").stat().st_size,
            kenlm_sha256=_sha256(scratch / "arpa.bin"),
        )
        (scratch / "sp.model").replace(sp_path)
        (scratch / "arpa.bin").replace(lm_path)
    return info


def _line(text: str, head_chars: int | None) -> str:
    return normalise_for_language_model(text[:head_chars].replace("\n", " "))


def _train_sentencepiece(sample: LineSample, settings: LanguageModelSettings) -> bytes:
    """The model, as the bytes of its file; no path or date enters them."""
    out = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(sample, settings),
            model_writer=out,
            model_type="unigram",
            vocab_size=settings.vocabulary,
            hard_vocab_limit=False,  # a smaller vocabulary where the text holds no more
            character_coverage=settings.character_coverage,
            max_sentence_length=_SENTENCE_BYTES,
            num_threads=settings.threads,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise TrainingError(f"SentencePiece: {error}") from error
    return out.getvalue()


def _sentences(sample: LineSample, settings: LanguageModelSettings) -> Iterator[str]:
    """The sample's first documents, cut at spaces to the length that SentencePiece reads."""
    left = settings.sentencepiece_bytes
    for line in islice(sample, settings.sentencepiece_documents):
        for part in _cut(line):
            left -= len(part.encode("utf-8"))
            if left < 0:
                return
            yield part


def _cut(line: str) -> Iterator[str]:
    """Stretches of at most `_SENTENCE_BYTES` bytes, cut at spaces where there are any."""
    longest = _SENTENCE_BYTES // 4  # characters; no character takes more than four bytes
    start = 0
    while len(line) - start > longest:
        space = line.rfind(" ", start + 1, start + longest + 1)
        end = space if space > 0 else start + longest
        yield line[start:end]
        start = end
    yield line[start:]


def _write_pieces(processor: Any, sample: LineSample, path: Path) -> int:
    """Writes each line as pieces with spaces between them; returns the number of pieces."""
    tokens = 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for line in sample:
            pieces = processor.encode(line, out_type=str)
            tokens += len(pieces)
            stream.write(" ".join(pieces) + "\n")
    return tokens


def _train_kenlm(scratch: Path, settings: LanguageModelSettings, tools: Tools) -> None:
    """`pieces` to `arpa.bin`, by CCNet's commands."""
    estimate = [str(tools.lmplz), "--order", str(settings.order), "--memory", settings.memory]
    estimate += ["--temp_prefix", f"{scratch}/", "--vocab_estimate", str(settings.vocabulary)]
    # Small texts lack some of the counts of counts that Kneser-Ney's discounts need.
    estimate.append("--discount_fallback")
    # A run of unknown characters is a piece of its own and may spell `<s>`, an error otherwise.
    estimate.append("--skip_symbols")
    _run([*estimate, "--text", str(scratch / "pieces"), "--arpa", str(scratch / "arpa")])
    (scratch / "pieces").unlink()
    pack = [str(tools.build_binary), "-T", f"{scratch}/", "-S", settings.memory]
    if settings.structure == "trie":
        pack += ["-a", "22"]
        if settings.quantise_bits is not None:
            pack += ["-q", str(settings.quantise_bits), "-b", str(settings.quantise_bits)]
    _run([*pack, settings.structure, str(scratch / "arpa"), str(scratch / "arpa.bin")])


def _run(command: Sequence[str]) -> None:
    result = run_program(command)
    if result.returncode:
        name = Path(command[0]).name
        raise TrainingError(f"{name} ended with {result.returncode}: {result.stderr[-2000:]}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
