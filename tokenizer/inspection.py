"""What a person wants to see of a tokenizer model or of token shards, as tables."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenizer import manifest as manifests
from tokenizer.audit import audit
from tokenizer.encode import Encoder
from tokenizer.manifest import TokensManifest
from tokenizer.model import ModelFile
from tokenizer.train import LLAMA_FLAGS

_TYPES = {1: "normal", 2: "unknown", 3: "control", 4: "user-defined", 5: "unused", 6: "byte"}
# Written into the model under other names, or not at all.
_NAMED_OTHERWISE = {"normalization_rule_name", "model_type"}


def _table(*columns: str, numbers: int = 0) -> Table:
    """A table whose last `numbers` columns are right-aligned."""
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        right = place >= len(columns) - numbers
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    return table


def show_model(path: str, console: Console) -> list[str]:
    """Prints vocabulary, flags beside LLaMA's, backend and canary; returns what is wrong."""
    model = ModelFile.load(path)
    encoder = Encoder.from_model(model)
    kinds = Counter(_TYPES.get(kind, str(kind)) for kind in model.types)
    console.print(Text(f"{path}\nsha256      {model.sha256}"))
    console.print(Text(f"vocabulary  {model.vocab_size:,} pieces, {model.model_type}"))
    console.print(Text("pieces      " + ", ".join(f"{n:,} {kind}" for kind, n in kinds.items())))
    console.print(Text(f"encoder     {encoder.backend}: {encoder.reason}\n"))
    table = _table("flag", "here", "LLaMA")
    flags = {
        **model.trainer,
        **model.normalizer,
        "normalization_rule_name": model.normalizer["name"],
    }
    flags["model_type"] = model.model_type
    for name, llama in LLAMA_FLAGS.items():
        same = flags[name] == llama
        table.add_row(name, Text(repr(flags[name]), style="" if same else "bold"), repr(llama))
    console.print(table)
    canary = encoder.canary
    console.print(Text(f"\ncanary      {canary.text!r}\nids         {list(canary.ids)}"))
    return [f"{path}: {problem}" for problem in model.violations()]


def show_shards(path: str, console: Console, *, check: bool) -> list[str]:
    """Prints sources beside Table 1 and every shard; returns what is wrong with the shards."""
    manifest = manifests.load(path)
    console.print(Text(f"{manifests.find(path)}\ntokenizer   {manifest.tokenizer_sha256}"))
    separator = manifest.separator
    console.print(
        Text(
            f"vocabulary  {manifest.vocab_size:,} ids as {manifest.dtype}; {separator.policy}: "
            f"{separator.piece} = {separator.id}\ncanary      {manifest.canary.text!r} = "
            f"{list(manifest.canary.ids)}\n"
        )
    )
    console.print(source_table(manifest))
    console.print()
    problems: list[str] = []
    table = _table("shard", "split", "check", "documents", "tokens", "bytes", numbers=3)
    found = (
        {a.shard.path: a.problems for a in audit(manifest, manifests.root_of(path))}
        if check
        else {}
    )
    for shard in manifest.shards:
        wrong = found.get(shard.path, ())
        problems += [f"{shard.path}: {problem}" for problem in wrong]
        verdict = "not checked" if not check else "wrong" if wrong else "good"
        table.add_row(
            Text(shard.path),
            shard.split,
            Text(verdict, style="bold red" if wrong else ""),
            f"{shard.documents:,}",
            f"{shard.tokens:,}",
            f"{shard.text_bytes:,}",
        )
    console.print(table)
    return problems


def source_table(manifest: TokensManifest) -> Table:
    """Sources with proportion, tokens and implied epochs, the paper's Table 1 beside them."""
    total = manifest.stated_total_tokens
    table = _table(
        "source",
        "share",
        "paper",
        "documents",
        "tokens",
        f"epochs at {total:.3g}",
        "paper",
        "bytes/token",
        "paper",
        numbers=8,
    )
    for name, source in manifest.sources.items():
        row = source.paper
        table.add_row(
            Text(name),
            f"{source.proportion:.1%}",
            f"{row.proportion:.1%}" if row else "-",
            f"{source.documents:,}",
            f"{source.tokens:,}",
            f"{source.implied_epochs:,.2f}" if source.implied_epochs is not None else "-",
            f"{row.epochs:.2f}" if row else "-",
            f"{source.bytes_per_token:.2f}" if source.bytes_per_token is not None else "-",
            f"{row.bytes_per_token:.2f}" if row else "-",
        )
    return table
