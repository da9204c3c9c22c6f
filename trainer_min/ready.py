"""A trained model, ready for use in one process: from one of our checkpoints, or a Hugging Face
LLaMA folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from tokenizer.encode import Encoder
from trainer_min import checkpoint, hugging_face
from trainer_min.errors import RefusedError
from trainer_min.model import Transformer


@dataclass(frozen=True)
class Ready:
    """A model in evaluation mode with its tokenizer.

    Attributes:
        start: the id that a text begins after: `</s>` for our models, whose documents follow one
            another without `<s>`; `<s>` for LLaMA's own weights.
        longest: tokens that the model was trained to look at.
    """

    model: Transformer
    encoder: Encoder
    start: int
    longest: int
    device: torch.device
    name: str


def _adds_no_bos(folder: Path) -> bool:
    """Whether a Hugging Face folder is of a model whose texts have no `<s>`, as ours."""
    path = folder / "tokenizer_config.json"
    return path.is_file() and json.loads(path.read_text()).get("add_bos_token") is False


def find_tokenizer(saved: Path, given: Path | None) -> Path:
    """The tokenizer of a run: the one given, or that beside the corpus that the run names.

    Raises:
        RefusedError: neither is there.
    """
    if given is not None:
        return given
    settings = saved.parent.parent / "settings.json"
    if settings.is_file():
        corpus = Path(json.loads(settings.read_text())["corpus"])
        for folder in (corpus, corpus / "tokens"):
            if (folder / "tokenizer.model").is_file():
                return folder / "tokenizer.model"
    raise RefusedError(f"{saved}: its corpus is not where it was; give --tokenizer")


def load(path: Path, tokenizer: Path | None, device: str, dtype: str) -> Ready:
    """Loads a run's folder, a checkpoint, or a Hugging Face folder.

    Raises:
        RefusedError: nothing of the kind is there, or the tokenizer is another one.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    found = checkpoint.find(path)
    if found is not None:
        saved = checkpoint.read(found)
        checkpoint.verify(saved)
        config, longest = hugging_face.config_of(saved), int(saved.facts["seq_len"])
        model_file = find_tokenizer(found, tokenizer)
        hugging_face.check_tokenizer(saved, model_file)
    elif (path / "config.json").is_file():
        config = hugging_face.read_config(path)
        said = json.loads((path / "config.json").read_text())
        # Early copies of LLaMA's weights have the older name.
        longest = int(said.get("max_position_embeddings") or said.get("max_sequence_length", 2048))
        model_file = tokenizer or path / "tokenizer.model"
    else:
        raise RefusedError(f"{path}: neither a run, nor a checkpoint, nor a Hugging Face folder")
    try:
        encoder = Encoder(model_file, "sentencepiece")
    except (ValueError, OSError) as error:
        raise RefusedError(f"{model_file}: {error}") from error
    if encoder.vocab_size > config.vocab_size:
        raise RefusedError(
            f"{model_file} has {encoder.vocab_size} pieces, the model {config.vocab_size}"
        )
    with torch.device("meta"):
        model = Transformer(config)
    model = model.to_empty(device=chosen).to(getattr(torch, dtype))
    if found is not None:
        # Straight into the model's memory, converted on the way where the type differs.
        checkpoint.load(saved, model, None)
    else:
        hugging_face.load_weights(path, model)
    ours = found is not None or _adds_no_bos(path)
    start = encoder.eos_id if ours else encoder.bos_id
    return Ready(model.eval(), encoder, start, longest, chosen, str(found or path))
