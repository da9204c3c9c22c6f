"""What `corpus trace` does with its options."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from pipeline import trace_find, trace_show
from pipeline.trace import sequences, sightings
from pipeline.trace_run import Tracing
from stages.engine.step import InputError
from stages.tokenizer_model import MODEL_FILE
from tokenizer.encode import Encoder
from tokenizer.files import join


@dataclass(frozen=True)
class Asked:
    """One of `step`, `sequence` and `document`, and what goes with it."""

    step: int | None = None
    sequence: int | None = None
    document: str | None = None
    rank: int | None = None
    row: int | None = None
    epochs: int | None = None
    text: bool = False

    def check(self) -> None:
        """Raises InputError for options that do not go together."""
        named = {"--step": self.step, "--sequence": self.sequence, "--document": self.document}
        if len([name for name, value in named.items() if value is not None]) != 1:
            raise InputError("one of --step, --sequence and --document, please")
        needs = {
            "--rank": (self.rank is not None, "--step"),
            "--row": (self.row is not None, "--step"),
            "--epochs": (self.epochs is not None, "--document"),
        }
        for name, (given, other) in needs.items():
            if given and named[other] is None:
                raise InputError(f"{name} goes with {other}")
        if self.text and self.document is not None:
            raise InputError("--text goes with --step or --sequence")
        if self.sequence is not None and self.sequence < 0:
            raise InputError(f"--sequence {self.sequence}: sequences are counted from 0")


def run(tracing: Tracing, asked: Asked, console: Console, work: str, as_json: bool) -> int:
    """Prints the answer; returns the exit code: 1 if a digest is not the logged one, or there is
    no such document.

    Raises InputError for what cannot be asked, RuntimeError where shards are missing or damaged.
    """
    asked.check()
    for warning in tracing.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if asked.document is not None:
        return _document(tracing, asked.document, asked.epochs, console, work, as_json)
    return _sequences(tracing, asked, console, as_json)


def _sequences(tracing: Tracing, asked: Asked, console: Console, as_json: bool) -> int:
    step = asked.step
    if asked.sequence is not None:
        step = tracing.data.where(asked.sequence)[0]
    logged = tracing.logged(step)
    data = tracing.data.in_processes(logged.processes)
    with _refusing():
        if asked.sequence is not None:
            numbers = [asked.sequence]
            data.check(asked.sequence)
        else:
            numbers = data.numbers(step or 0, asked.rank, asked.row)
        encoder = _encoder(tracing) if asked.text else None
    began = time.perf_counter()
    slots = data.slots(numbers)
    took = time.perf_counter() - began
    with _reading():
        traced = sequences(data, slots, encoder)
        digest = None if step is None else data.digest(step)
    if as_json:
        facts = trace_show.run_facts(tracing, data)
        facts |= trace_show.sequences_facts(traced, step, logged, digest)
        sys.stdout.buffer.write(trace_show.to_json(facts))
    else:
        trace_show.show_run(tracing, data, console)
        trace_show.show_sequences(traced, step, logged, digest, console)
    _cost("sequence to window", len(slots), took)
    if digest is not None and logged.digest is not None and digest != logged.digest:
        print(
            f"failed: step {step} has the digest {digest} in these shards with this ledger, but the"
            f" run logged {logged.digest}: it was trained on something else than is shown",
            file=sys.stderr,
        )
        return 1
    return 0


def _document(
    tracing: Tracing, text: str, epochs: int | None, console: Console, work: str, as_json: bool
) -> int:
    began = time.perf_counter()
    with _reading():
        found = trace_find.find(tracing.manifest, tracing.root, text)
    found_in = time.perf_counter() - began
    if not found:
        print(f"not found: {trace_show.not_found(text, tracing, work)}", file=sys.stderr)
        return 1
    began = time.perf_counter()
    with _refusing():
        seen = [(how, sightings(tracing.data, place, epochs)) for how, place in found]
    took = time.perf_counter() - began
    last_step = tracing.logged(None).last_step
    if as_json:
        facts = trace_show.run_facts(tracing, tracing.data)
        facts |= trace_show.document_facts(seen, last_step)
        sys.stdout.buffer.write(trace_show.to_json(facts))
    else:
        trace_show.show_run(tracing, tracing.data, console)
        for how, sighting in seen:
            console.print()
            trace_show.show_document(how, sighting, last_step, tracing.steps, console)
    print(f"found in {found_in * 1e3:,.1f} ms", file=sys.stderr)
    _cost("window to sequence", sum(s.lookups for _, s in seen), took)
    return 0


def _encoder(tracing: Tracing) -> Encoder:
    """The corpus's own tokenizer. Raises ValueError where there is none or another."""
    encoder = Encoder(join(tracing.root, MODEL_FILE), "sentencepiece")
    encoder.require(tracing.manifest)
    return encoder


def _cost(what: str, lookups: int, seconds: float) -> None:
    if lookups:
        each = seconds / lookups * 1e6
        many = "1 look-up" if lookups == 1 else f"{lookups:,} look-ups"
        print(f"{what}: {many}, {each:,.1f} µs each", file=sys.stderr)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise RuntimeError(f"{error}; `corpus verify` looks at all shards") from error
