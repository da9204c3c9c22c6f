"""What a person wants to see of a tokenizer model or of token shards, as tables."""

from __future__ import annotations

from collections import Counter

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenizer import manifest as manifests
from tokenizer.audit import audit
from tokenizer.encode import Encoder
from tokenizer.manifest import TokensManifest
from tokenizer.model import ModelFile
from tokenizer.shards import ShardReader
from tokenizer.train import LLAMA_FLAGS

_TYPES = {1: "normal", 2: "unknown", 3: "control", 4: "user-defined", 5: "unused", 6: "byte"}


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


def show_shard(path: str, console: Console) -> list[str]:
    """Prints what one shard holds without its manifest; returns what is wrong with it."""
    reader = ShardReader(path)
    starts, payload = reader.first_tokens, reader.memmap
    lengths = np.diff(starts)
    console.print(Text(f"{reader.path}\nsha256      {reader.sha256()}"))
    console.print(Text(f"tokens      {reader.size:,}\ndocuments   {len(lengths):,}"))
    if not len(lengths):
        return []
    low, middle, high = (int(x) for x in np.percentile(lengths, [0, 50, 100]))
    console.print(Text(f"lengths     {low:,} least, {middle:,} median, {high:,} most"))
    last = payload[starts[1:] - 1]
    separator = int(last[0])
    console.print(Text(f"ends in     {separator}\n"))
    table = _table("first documents", "first token", "tokens", numbers=2)
    for row in reader.documents.slice(0, 10).to_pylist():
        table.add_row(Text(row["id"]), f"{row['first_token']:,}", f"{row['length']:,}")
    console.print(table)
    others = int(np.count_nonzero(last != separator))
    return [f"{path}: {others} documents do not end in {separator}"] if others else []


def source_table(manifest: TokensManifest) -> Table:
    """Sources with proportion, tokens and implied epochs, the paper's Table 1 beside them."""
    run = f"{manifest.stated_total_tokens / 1e12:.4g}T"
    table = _table(
        "source",
        "share",
        "paper",
        "documents",
        "tokens",
        f"epochs/{run}",
        "paper",
        "bytes/token",
        "paper",
        numbers=8,
    )
    table.columns[0].no_wrap = True
    for name, source in manifest.sources.items():
        row = source.paper
        table.add_row(
            Text(name),
            f"{source.proportion:.1%}",
            f"{row.proportion:.1%}" if row else "-",
            f"{source.documents:,}",
            f"{source.tokens:,}",
            _figure(source.implied_epochs),
            _figure(row.epochs if row else None),
            _figure(source.bytes_per_token),
            _figure(row.bytes_per_token if row else None),
        )
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 1000 else f"{value:.2e}"
