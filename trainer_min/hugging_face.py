"""Weights to and from Hugging Face's `LlamaForCausalLM` folders.

Two things differ there: names, and the rotary embedding. The release turns neighbouring pairs
(x[2i], x[2i+1]) of a head, Hugging Face the pairs (x[i], x[i + head_dim / 2]), so the rows of the
query and key projections change places. Without that a model still runs and writes nonsense.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint import HuggingFaceStorageReader
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor, distribute_tensor

from tokenizer.model import ModelFile
from tokenizer.tokenizer_json import tokenizer_json
from trainer_min import checkpoint
from trainer_min.config import ModelConfig
from trainer_min.errors import RefusedError, RunError
from trainer_min.model import Transformer

_LAYER = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.wq.weight": "self_attn.q_proj.weight",
    "attention.wk.weight": "self_attn.k_proj.weight",
    "attention.wv.weight": "self_attn.v_proj.weight",
    "attention.wo.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "feed_forward.w1.weight": "mlp.gate_proj.weight",
    "feed_forward.w2.weight": "mlp.down_proj.weight",
    "feed_forward.w3.weight": "mlp.up_proj.weight",
}
_ROTARY = ("attention.wq.weight", "attention.wk.weight")
_INDEX = "model.safetensors.index.json"
_FILE_BYTES = (
    5_000_000_000  # weights in one file, Hugging Face's own default; also what is in memory
)


def names(config: ModelConfig) -> dict[str, str]:
    """Our parameter names and theirs, in the order of the model."""
    found = {"tok_embeddings.weight": "model.embed_tokens.weight"}
    for layer in range(config.layers):
        found |= {f"layers.{layer}.{a}": f"model.layers.{layer}.{b}" for a, b in _LAYER.items()}
    return found | {"norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}


def to_halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key projection (dim, dim) from pairs to halves, head by head."""
    pairs = weight.unflatten(0, (heads, -1, 2))
    return pairs.transpose(1, 2).reshape(weight.shape)


def to_pairs(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `to_halves`."""
    halves = weight.unflatten(0, (heads, 2, -1))
    return halves.transpose(1, 2).reshape(weight.shape)


def config_json(config: ModelConfig, seq_len: int, dtype: torch.dtype) -> dict[str, Any]:
    """`config.json` of a folder: with the size's own epsilon, which a copied default gets wrong."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": config.dim,
        "initializer_range": 0.02,
        "intermediate_size": config.hidden_dim,
        "max_position_embeddings": seq_len,
        "mlp_bias": False,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.heads,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": False,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "vocab_size": config.vocab_size,
    }


def read_config(folder: Path) -> ModelConfig:
    """The shape that a folder's `config.json` tells of.

    Raises:
        RefusedError: there is none, or it is no LLaMA of the first generation.
    """
    try:
        found = json.loads((folder / "config.json").read_text())
        rope = found.get("rope_parameters") or found.get("rope_scaling") or {}
        theta = found.get("rope_theta", rope.get("rope_theta", 10_000.0))
        config = ModelConfig(
            dim=found["hidden_size"],
            layers=found["num_hidden_layers"],
            heads=found["num_attention_heads"],
            vocab_size=found["vocab_size"],
            norm_eps=found["rms_norm_eps"],
            rope_theta=theta,
            multiple_of=256,
        )
        problems = [
            f"{name} is {found.get(name, expected)!r}, not {expected!r}"
            for name, expected in {
                "model_type": "llama",
                "hidden_act": "silu",
                "num_key_value_heads": config.heads,
                "intermediate_size": config.hidden_dim,
                "tie_word_embeddings": False,
                "attention_bias": False,
            }.items()
            if found.get(name, expected) != expected
        ]
        if rope.get("rope_type", rope.get("type", "default")) != "default":
            problems.append("its rotary embedding is scaled")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{folder}: no config.json of a LLaMA model ({error!r})") from error
    if problems:
        raise RefusedError(f"{folder}: not a first-generation LLaMA: {'; '.join(problems)}")
    return config


def export(saved: checkpoint.Saved, folder: Path, tokenizer: Path | None, dtype: str) -> list[Path]:
    """Writes a checkpoint's weights as a Hugging Face folder; returns the files.

    A few GB are in memory at a time, whatever the size of the model.

    Raises:
        RefusedError: the folder is not empty, or the tokenizer is not that of the run.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RefusedError(f"{folder} is not empty: give another --out")
    config, kind = config_of(saved), getattr(torch, dtype)
    if tokenizer is not None:
        check_tokenizer(saved, tokenizer)
    checkpoint.verify(saved)
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    groups = _groups(config, kind)
    weight_map: dict[str, str] = {}
    for number, group in enumerate(groups, 1):
        name = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        tensors = {
            theirs: _exported(ours, weight, config).to(kind).contiguous()
            for (ours, theirs), weight in zip(
                group.items(), _read(saved, group, config), strict=True
            )
        }
        save_file(tensors, partial / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    total = config.parameters() * kind.itemsize
    texts = {
        _INDEX: {"metadata": {"total_size": total}, "weight_map": weight_map},
        "config.json": config_json(config, int(saved.facts["seq_len"]), kind),
        "generation_config.json": {
            "bos_token_id": 1,
            "eos_token_id": 2,
            "_from_model_config": True,
        },
    }
    if tokenizer is not None:
        shutil.copyfile(tokenizer, partial / "tokenizer.model")
        texts["tokenizer_config.json"] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            # Our shards have no <s>: a document begins after the </s> of the one before.
            "add_bos_token": False,
            "add_eos_token": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": None,
            "clean_up_tokenization_spaces": False,
            "model_max_length": int(saved.facts["seq_len"]),
        }
        texts["tokenizer.json"] = tokenizer_json(ModelFile.load(tokenizer))
    for name, content in texts.items():
        (partial / name).write_text(json.dumps(content, indent=2) + "\n")
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)
    return sorted(folder.iterdir())


def config_of(saved: checkpoint.Saved) -> ModelConfig:
    """The shape of the model in a checkpoint."""
    prefix = "model."
    return ModelConfig(
        **{k.removeprefix(prefix): v for k, v in saved.facts.items() if k.startswith(prefix)}
    )


def tokenizer_of(folder: Path) -> str | None:
    """The sha256 of a Hugging Face folder's tokenizer.model; None where there is none."""
    path = folder / "tokenizer.model"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def check_tokenizer(saved: checkpoint.Saved, tokenizer: Path) -> None:
    """Raises RefusedError if a run was not trained on this tokenizer's ids."""
    try:
        found = ModelFile.load(tokenizer).sha256
    except (ValueError, OSError) as error:
        raise RefusedError(f"{tokenizer}: {error}") from error
    if found != saved.facts["tokenizer"]:
        raise RefusedError(
            f"{tokenizer} has sha256 {found}, the run's tokenizer {saved.facts['tokenizer']}"
        )


def _groups(config: ModelConfig, dtype: torch.dtype) -> list[dict[str, str]]:
    """Names in the order of the model, in groups of at most `_FILE_BYTES` where one can be."""
    groups: list[dict[str, str]] = [{}]
    size = 0
    for ours, theirs in names(config).items():
        mine = shape_of(ours, config).numel() * dtype.itemsize
        if size and size + mine > _FILE_BYTES:
            groups.append({})
            size = 0
        groups[-1][ours] = theirs
        size += mine
    return groups


def shape_of(name: str, config: ModelConfig) -> torch.Size:
    """The shape of one of our parameters."""
    d, f, v = config.dim, config.hidden_dim, config.vocab_size
    if name.endswith("norm.weight"):
        return torch.Size((d,))
    if name in ("tok_embeddings.weight", "output.weight"):
        return torch.Size((v, d))
    if "feed_forward" in name:
        return torch.Size((d, f) if ".w2." in name else (f, d))
    return torch.Size((d, d))


def _read(saved: checkpoint.Saved, group: dict[str, str], config: ModelConfig) -> Iterator[Tensor]:
    """The named weights of a checkpoint, whole, in float32 on the CPU."""
    found = {f"model.{name}": torch.empty(shape_of(name, config)) for name in group}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, that there is one process
        try:
            dcp.load(found, storage_reader=HuggingFaceStorageReader(str(saved.path)))
        except (OSError, ValueError, KeyError, AssertionError, CheckpointException) as error:
            raise RunError(f"{saved.path}: could not be read ({error})") from error
    yield from found.values()


def _exported(name: str, weight: Tensor, config: ModelConfig) -> Tensor:
    return to_halves(weight, config.heads) if name.endswith(_ROTARY) else weight


def load_weights(folder: Path, model: Transformer) -> None:
    """Fills a model, sharded or not, from a Hugging Face folder, tensor by tensor.

    Raises:
        RefusedError: weights are missing, or of another shape.
    """
    config = model.config
    theirs = names(config)
    files = _files(folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            wanted = theirs[name]
            if wanted not in files:
                raise RefusedError(f"{folder}: {wanted} is missing")
            with safe_open(files[wanted], framework="pt") as stream:
                weight = stream.get_tensor(wanted)
            if weight.shape != parameter.shape:
                raise RefusedError(
                    f"{folder}: {wanted} is {tuple(weight.shape)}, the model's"
                    f" {tuple(parameter.shape)}"
                )
            if name.endswith(_ROTARY):
                weight = to_pairs(weight, config.heads)
            weight = weight.to(parameter.device, parameter.dtype)
            if isinstance(parameter, DTensor):
                spread = distribute_tensor(
                    weight, parameter.device_mesh, parameter.placements, src_data_rank=None
                )
                parameter.to_local().copy_(spread.to_local())
            else:
                parameter.copy_(weight)


def _files(folder: Path) -> dict[str, Path]:
    """Which file holds which tensor."""
    try:
        if (folder / _INDEX).is_file():
            found = json.loads((folder / _INDEX).read_text())["weight_map"]
            if any(Path(file).name != file for file in found.values()):
                raise ValueError(f"{_INDEX} names a file elsewhere")
            return {name: folder / file for name, file in found.items()}
        with safe_open(folder / "model.safetensors", framework="pt") as stream:
            return dict.fromkeys(stream.keys(), folder / "model.safetensors")
    except (OSError, ValueError, KeyError) as error:
        raise RefusedError(f"{folder}: no weights in safetensors files ({error})") from error
