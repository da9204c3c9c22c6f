"""`python -m tokenizer ledger`: look into a run's ledger, and add to it.

LEDGER is a ledger file or a training run's folder. What the run was told (batch, corpus, ...) is
read from the `settings.json` beside the ledger where there is one; options come before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from tokenizer import ledger as ledgers
from tokenizer import manifest as manifests
from tokenizer import run_data
from tokenizer.ledger import Ledger, MixtureChange, Quarantine
from tokenizer.mixture import block_counts
from tokenizer.order import DataOrder
from tokenizer.run_data import RunData, parse_weights

# "Up to four epochs of repeated data": Muennighoff et al. 2023, arXiv 2305.16264, abstract.
MANY_EPOCHS = 4

app = typer.Typer(help=__doc__, no_args_is_help=True)

Where = Annotated[str, typer.Argument(metavar="LEDGER", help="ledger file, or a run's folder")]
Batch = Annotated[int | None, typer.Option(min=1, help="sequences of a step [the run's]")]
Reason = Annotated[str, typer.Option(help="why, for whoever reads the ledger later")]


@app.command()
def show(ledger: Where, batch: Batch = None) -> None:
    """Show the entries of a ledger."""
    path, run = _open(ledger)
    known, batch = ledgers.load(path), batch or _batch(run)
    print(
        f"{path}: {_many(len(known.mixture), 'change')} of the mixture,"
        f" {_many(len(known.quarantine), 'quarantine')}"
    )
    for change in known.mixture:
        step = _step(change.from_sequence, batch)
        print(f"from sequence {change.from_sequence:,}{step} on {_shares(change.weights)}", end="")
        print(_why(change.reason))
    for entry in known.quarantine:
        print(f"not trained on: {_sequences(entry, batch)}{_why(entry.reason)}")


@app.command()
def quarantine(
    ledger: Where,
    first: Annotated[int | None, typer.Option(min=0, help="first sequence")] = None,
    last: Annotated[int | None, typer.Option(min=0, help="last one [default: the first]")] = None,
    step: Annotated[int | None, typer.Option(min=1, help="or: a step")] = None,
    last_step: Annotated[
        int | None, typer.Option(min=1, help="last one [default: the first]")
    ] = None,
    batch: Batch = None,
    reason: Reason = "",
) -> None:
    """Keep sequences from being trained on. They keep their numbers, so nothing else moves."""
    path, run = _open(ledger)
    batch = batch or _batch(run)
    if (first is None) == (step is None):
        raise ValueError("--first (and --last), or --step (and --last-step), please")
    if (last is not None and first is None) or (last_step is not None and step is None):
        raise ValueError("--last goes with --first, --last-step with --step")
    if step is not None:
        size = _needed(batch)
        first, last = (step - 1) * size, (last_step or step) * size - 1
    assert first is not None
    last = first if last is None else last
    if last < first:
        raise ValueError("the last one comes before the first")
    entry = Quarantine(first=first, last=last, reason=reason)
    known = _existing(path)
    changed = known.with_quarantine(entry)
    before, after = _in_quarantine(known), _in_quarantine(changed)
    changed.save(path)
    print(f"{path}: not trained on: {_sequences(entry, batch)}{_why(reason)}")
    print(f"in quarantine: {after:,} sequences, {after - before:,} of them new")
    _tell_checkpoints(entry.first, batch)


@app.command()
def mixture(
    ledger: Where,
    weights: Annotated[
        str, typer.Option(metavar="NAME=W,...", help="shares of sequences; who is not named has 0")
    ],
    sequence: Annotated[int | None, typer.Option(min=1, help="from this sequence on")] = None,
    step: Annotated[int | None, typer.Option(min=2, help="or: from this step on")] = None,
    batch: Batch = None,
    corpus: Annotated[
        str | None, typer.Option(help="work folder, to check sources and count epochs [the run's]")
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option(min=1, help="tokens of a sequence [the run's]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="of the whole run [the run's]")] = None,
    reason: Reason = "",
) -> None:
    """Change the mixture from a sequence on: no window is repeated or left out by that."""
    path, run = _open(ledger)
    batch = batch or _batch(run)
    if (sequence is None) == (step is None):
        raise ValueError("--sequence or --step, please")
    at = sequence if sequence is not None else ((step or 0) - 1) * _needed(batch)
    known, shares = _existing(path), parse_weights(weights)
    block = block_counts(shares)
    if known.mixture and at <= known.mixture[-1].from_sequence:
        raise ValueError(
            f"a change at sequence {at} would come before the last one in {path}, at"
            f" {known.mixture[-1].from_sequence}; only the last can be followed by another"
        )
    change = MixtureChange(from_sequence=at, weights=shares, reason=reason)
    changed = known.with_change(change)
    corpus = corpus or (run.corpus if run else None)
    told = list(
        _epochs(corpus, known, changed, run, seq_len, batch, steps) if corpus is not None else ()
    )
    changed.save(path)
    counts = ", ".join(f"{name} {count}" for name, count in block.items())
    print(f"{path}: from sequence {at:,}{_step(at, batch)} on {_shares(shares)}{_why(reason)}")
    print(f"blocks of {sum(block.values()):,} sequences: {counts}")
    for line in told:
        print(line)
    _tell_checkpoints(at, batch)


def _epochs(
    corpus: str,
    known: Ledger,
    changed: Ledger,
    run: RunData | None,
    seq_len: int | None,
    batch: int | None,
    steps: int | None,
) -> Iterator[str]:
    """How often each source is seen to the run's end, with the change and without.

    Raises ValueError for sources that the corpus does not have, or not enough of.
    """
    manifest, root = manifests.load(corpus), manifests.root_of(corpus)
    for name, weight in changed.mixture[-1].weights.items():
        if name not in manifest.sources:
            there = ", ".join(sorted(manifest.sources))
            raise ValueError(f"{name}: no such source in {corpus}, which has {there}")
        if weight and not manifest.sources[name].tokens:
            raise ValueError(f"{name}: {corpus} has no tokens of it to train on")
    length = seq_len or (run.seq_len if run else None)
    steps = steps or (run.steps if run else None)
    if length is None or batch is None or steps is None:
        yield "epochs are not told without --seq-len, --batch and --steps"
        return
    before, after = (
        DataOrder(
            manifest,
            root,
            seq_len=length,
            seed=run.seed if run else 0,
            weights=run.mixture() if run else None,
            changes=ledger.mixture,
        ).epochs_after(steps * batch)
        for ledger in (known, changed)
    )
    yield f"epochs per source to the end of the run, step {steps:,} (without the change):"
    for name, epochs in after.items():
        yield f"  {name} {epochs:.2f} ({before.get(name, 0):.2f})"
    yield from many_epochs(after)


def many_epochs(epochs: Mapping[str, float]) -> Iterator[str]:
    """A warning for each source that is seen too often to be worth it."""
    for name, n in epochs.items():
        if n > MANY_EPOCHS:
            yield (
                f"warning: {name} is seen {n:.1f} times; beyond four epochs repeated text is worth"
                " little (Muennighoff et al. 2023)"
            )


def _open(given: str) -> tuple[Path, RunData | None]:
    """The ledger's path, and the settings of the run that it is of, where they are known."""
    path = Path(given)
    if path.is_dir():
        path /= ledgers.FILE_NAME
    folder = path.parent
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    return path, run_data.load(folder) if run_data.is_run(folder) else None


def _existing(path: Path) -> Ledger:
    return ledgers.load(path) if path.exists() else ledgers.EMPTY


def _batch(run: RunData | None) -> int | None:
    return run.batch if run else None


def _needed(batch: int | None) -> int:
    if batch is None:
        raise ValueError("--step needs --batch, or a ledger in a run's folder")
    return batch


def _in_quarantine(known: Ledger) -> int:
    """How many sequences are; an overlap of entries counts once."""
    end = max((q.last for q in known.quarantine), default=0) + 1
    return sum(q.last - q.first + 1 for q in known.before(end).quarantine)


def _tell_checkpoints(first: int, batch: int | None) -> None:
    if batch is not None:
        print(
            f"a run that is begun goes on from a checkpoint of step {first // batch:,} or before;"
            " later ones are refused"
        )


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _step(sequence: int, batch: int | None) -> str:
    if batch is None:
        return ""
    step, row = divmod(sequence, batch)
    return f" (step {step + 1:,}{f', row {row:,}' if row else ''})"


def _sequences(entry: Quarantine, batch: int | None) -> str:
    if entry.first == entry.last:
        return f"sequence {entry.first:,}{_step(entry.first, batch)}"
    steps = ""
    if batch is not None:
        first, last = entry.first // batch + 1, entry.last // batch + 1
        steps = f" (step {first:,})" if first == last else f" (steps {first:,} to {last:,})"
    return f"sequences {entry.first:,} to {entry.last:,}{steps}"


def _shares(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={weight:g}" for name, weight in weights.items())


def _why(reason: str) -> str:
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in reason)
    return f": {shown}" if shown else ""
