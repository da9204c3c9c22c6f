"""`corpus trace` on a terminal or as JSON. Pages are hostile: nothing of them reaches a terminal
but printable characters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.trace import Data, Sightings, Traced
from pipeline.trace_run import Logged, Tracing
from pipeline.why_show import safe

_CHARS = 500


def to_json(facts: Mapping[str, Any]) -> bytes:
    """Indented JSON in ASCII, so that nothing in it means anything to a terminal."""
    return json.dumps(facts, indent=2).encode() + b"\n"


def run_facts(tracing: Tracing, data: Data) -> dict[str, Any]:
    run = tracing.run
    return {
        "corpus": tracing.root,
        "train": None if tracing.folder is None else str(tracing.folder),
        "seq_len": run.seq_len,
        "batch": run.batch,
        "steps": run.steps,
        "seed": run.seed,
        "weights": run.mixture(),
        "world": data.world,
        "ledger": data.ledger.model_dump(include={"mixture", "quarantine"}),
        "warnings": list(tracing.warnings),
    }


def sequences_facts(
    traced: Sequence[Traced], step: int | None, logged: Logged, digest: str | None
) -> dict[str, Any]:
    return {
        "step": step,
        "digest": digest,
        "logged_digest": logged.digest,
        "loss": logged.loss,
        "spikes": list(logged.spikes),
        "sequences": [asdict(one) for one in traced],
    }


def document_facts(found: Sequence[tuple[str, Sightings]], last_step: int) -> dict[str, Any]:
    return {
        "last_step_done": last_step,
        "documents": [{"found_by": how, "kind": kind(s), **asdict(s)} for how, s in found],
    }


def kind(found: Sightings) -> str:
    """Whether the run can see the document, in a word or two."""
    if found.place.split != "train":
        return f"held out ({found.place.split})"
    if not found.weighted:
        return "without weight"
    if found.dropped == found.place.tokens:
        return "in the dropped tail"
    return "train"


def show_run(tracing: Tracing, data: Data, console: Console) -> None:
    run = tracing.run
    where = f"run {tracing.folder}" if tracing.folder else f"a run over {tracing.root}"
    facts = [f"sequences of {run.seq_len:,} tokens"]
    if run.batch:
        facts.append(f"{run.batch:,} a step")
    if run.steps:
        facts.append(f"{run.steps:,} steps")
    facts += [f"seed {run.seed}", f"weights {run.weights or 'of the manifest'}"]
    if data.world:
        facts.append("1 process" if data.world == 1 else f"{data.world} processes")
    if data.ledger.mixture:
        at = " and ".join(f"{change.from_sequence:,}" for change in data.ledger.mixture)
        facts.append(f"another mixture from sequence {at} on")
    if data.ledger.quarantine:
        facts.append("sequences in quarantine")
    _say(console, f"{where}: {', '.join(facts)}")


def show_sequences(
    traced: Sequence[Traced],
    step: int | None,
    logged: Logged,
    digest: str | None,
    console: Console,
) -> None:
    if step is not None:
        _say(console, f"step {step:,}: {_digests(logged, digest)}", "bold")
        for spike in logged.spikes:
            _say(console, f"spike at this step: {spike.get('why')}", "yellow")
    blamed = _blamed(logged)
    for one in traced:
        console.print()
        _show_sequence(one, blamed.get(one.sequence), console)
    shown = {one.sequence for one in traced}
    for sequence in blamed:
        if sequence not in shown:
            said = f"of the spike also sequence {sequence:,}, loss {blamed[sequence]:.4f}"
            _say(console, said, "yellow")


def _digests(logged: Logged, digest: str | None) -> str:
    loss = "" if logged.loss is None else f", loss {logged.loss:.4f}"
    if logged.digest is None:
        return f"digest {digest}, not in a log"
    if digest == logged.digest:
        return f"digest {digest} as logged{loss}"
    return f"DIGEST {digest} IS NOT THE LOGGED {logged.digest}{loss}"


def _blamed(logged: Logged) -> dict[int, float]:
    """The worst sequences of the step's spikes, with their losses."""
    found: dict[int, float] = {}
    for spike in logged.spikes:
        for entry in spike.get("sequences", ()):
            found[int(entry["sequence"])] = float(entry["loss"])
    return found


def _show_sequence(one: Traced, loss: float | None, console: Console) -> None:
    facts = [f"sequence {one.sequence:,}"]
    if one.step is not None:
        facts.append(f"step {one.step:,}, row {one.row:,}")
    if one.rank is not None:
        facts.append(f"rank {one.rank:,}")
    facts.append(f"{one.source}, epoch {one.epoch:,}, window {one.window:,}")
    if one.quarantined:
        facts.append("QUARANTINED, not trained on")
    if loss is not None:
        facts.append(f"blamed for the spike, loss {loss:.4f}")
    style = "yellow" if one.quarantined or loss is not None else "bold"
    _say(console, ": ".join([facts[0], "; ".join(facts[1:])]), style)
    for part in one.documents:
        _say(
            console,
            f"  tokens {part.at:,} to {part.at + part.tokens - 1:,}: document {part.id}, its"
            f" {part.position:,} to {part.position + part.tokens - 1:,} of {part.whole:,}"
            f" ({part.shard} from {part.first_token:,})",
        )
        for name, value in (("url", part.url), ("origin", part.origin)):
            if value:
                _say(console, f"    {name:<6} {safe(value, _CHARS)}")
        for line in _lines(part.text):
            _say(console, f"    | {line}", "dim")


def _lines(text: str | None) -> Iterator[str]:
    if text:
        yield from text.split("\n")


def show_document(
    how: str, found: Sightings, last_step: int, steps: int | None, console: Console
) -> None:
    """Where a document lies and when it is seen, with what is logged up to `last_step` of `steps`
    told apart from what is to come."""
    place = found.place
    _say(console, f"{place.source} document {place.id} (found by {how})", "bold")
    for name, value in (("url", place.url), ("origin", place.origin)):
        if value:
            _say(console, f"  {name:<7} {safe(value, _CHARS)}")
    _say(
        console,
        f"  tokens  {place.tokens:,} from token {place.first_token:,} of {place.shard}"
        f" ({place.split})",
    )
    _say(console, f"  seen    {_seen(found, last_step)}")
    if 0 < found.dropped < place.tokens:
        _say(console, f"          its last {found.dropped:,} tokens are in the dropped tail")
    if found.never:
        _say(console, f"          {found.never:,} windows never come: a change of the mixture")
    if found.seen:
        console.print(_table(found, last_step, steps))


def _seen(found: Sightings, last_step: int) -> str:
    what = kind(found)
    if what.startswith("held out"):
        return f"never trained on: {what}"
    if what == "without weight":
        return f"never: the run does not draw from {found.place.source}"
    if what == "in the dropped tail":
        return "never: in the dropped tail of its source, which is too short for a sequence"
    if not found.seen:
        return "never in the steps of the run"
    said = f"in {len(found.seen):,} sequences"
    if last_step:
        done = sum((s.step or 0) <= last_step for s in found.seen)
        said += f", {done:,} of them up to step {last_step:,}, the last in the log"
    out = sum(s.quarantined for s in found.seen)
    return said + (f"; {out:,} in quarantine, not trained on" if out else "")


def _table(found: Sightings, last_step: int, steps: int | None) -> Table:
    names = ("step", "row", "rank", "sequence", "epoch", "window", "tokens", "its tokens", "")
    table = Table(*names)
    for column in table.columns[:-1]:
        column.justify, column.no_wrap = "right", True
    for seen in found.seen:
        notes = ["quarantined"] if seen.quarantined else []
        if steps and seen.step is not None and seen.step > steps:
            notes.append("after the run")
        elif last_step and seen.step is not None and seen.step > last_step:
            notes.append("to come")
        table.add_row(
            *("" if n is None else f"{n:,}" for n in (seen.step, seen.row, seen.rank)),
            f"{seen.sequence:,}",
            f"{seen.epoch:,}",
            f"{seen.window:,}",
            f"{seen.at:,} to {seen.at + seen.tokens - 1:,}",
            f"{seen.position:,} to {seen.position + seen.tokens - 1:,}",
            ", ".join(notes),
        )
    return table


def not_found(text: str, tracing: Tracing, work: str) -> str:
    """One line: what was looked for, and where."""
    shards = tracing.manifest.shards
    return (
        f"{safe(text, _CHARS)}: no id, URL or origin of the {sum(s.documents for s in shards):,}"
        f" documents in the {len(shards):,} token shards of {safe(tracing.root)}; `corpus why"
        f" {safe(work)}` tells what became of the others"
    )


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(safe(text), style), soft_wrap=True)
