"""`reference_model`: trains the classifier of references against random pages, and tests it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import Field, model_validator

from stages import urls as web
from stages.documents import TableFile, read_batches, text_bytes
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Port, Record, ShuffleStage
from stages.engine.units import WorkUnit
from stages.reference import evaluate
from stages.reference.columns import lacking
from stages.reference.examples import Choice, Pages, choose, split_of
from stages.reference.model import (
    CARD_FILE,
    MODEL_FILE,
    PREFIX,
    Card,
    ModelError,
    Scorer,
    TrainingSettings,
    score_lines,
    train,
)
from stages.reference.pages import COLUMNS as LABELLED
from stages.reference.pages import RANDOM, REFERENCE, chance, url_hash
from stages.reference.text import classifier_text

_COLUMNS = ["id", "url", "text", "language", "label", "domain", "tool"]
_PREPARED = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("reference", pa.bool_(), nullable=False),
        pa.field("url", pa.uint64(), nullable=False),
        pa.field("content", pa.uint64(), nullable=False),
        pa.field("chars", pa.int64(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("tool", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("line", pa.large_string(), nullable=False),
    ]
)
_KEY = "train"


class ReferenceModelSettings(TrainingSettings):
    min_positives: int = Field(
        1000,
        ge=1,
        description="references in the training split without which no model is made: fewer are a"
        " few sites, and the scores would be worse than none. RedPajama had about 300,000",
    )
    min_chars: int = Field(
        300,
        ge=0,
        description="characters (as prepared) of a page that is trained on, for both classes;"
        " CCNet's least length. RedPajama asked 1000 of references alone, so length told the class",
    )
    max_per_domain: int = Field(
        100,
        ge=1,
        description="most references of one registered domain: a few newspapers and archives have"
        " most of Wikipedia's citations and would be what the model learns",
    )
    random_per_reference: int = Field(
        1,
        ge=1,
        description="random pages trained on for each reference. With 1, a score of 0.5 is where"
        " both are equally likely",
    )
    valid_share: float = Field(
        0.1, ge=0, lt=1, description="share of the domains that the best threshold is found on"
    )
    test_share: float = Field(0.2, ge=0, lt=1, description="share of the domains for the figures")
    keep_untrained: bool = Field(
        False,
        description="keep a model even if the 95 % interval of its test AUC holds one half, or its"
        " scores hardly differ; by default there is none then, and scores are null: a threshold"
        " would cut by chance",
    )

    @model_validator(mode="after")
    def _something_to_train_on(self) -> ReferenceModelSettings:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share leave nothing to train on")
        return self


class ReferenceModel(ShuffleStage[ReferenceModelSettings]):
    """Units prepare their pages; one reducer chooses, trains and tests. Its memory holds some
    numbers of each page and the model; texts stay in files."""

    name = "reference_model"
    version = 2
    summary = "train and test the classifier of pages used as references in Wikipedia"
    Settings = ReferenceModelSettings
    produces = "model"
    final: ClassVar[bool] = False
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("documents", "pages of a reference_pages step"),
    }

    def units(self) -> list[WorkUnit]:
        """Raises InputError for documents that `reference_pages` did not leave."""
        paths = [path for _, paths in self.documents("input") for path in paths]
        if path := lacking(paths, [column.name for column in LABELLED]):
            raise InputError(
                f"{self.step.name}: {path} was not left by reference_pages: it has no labels"
            )
        return super().units()

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        path = self.scratch(f"prepared-{unit.name}.parquet")
        with TableFile(path, _PREPARED) as out:
            for batch in self.batches(unit, _COLUMNS):
                record.counts.documents_in += batch.num_rows
                record.counts.text_bytes_in += text_bytes(batch.column("text"))
                out.write(self._prepared(batch))
                reporter.advanced(
                    "emit", unit.key, record.counts.documents_in, record.counts.text_bytes_in
                )
        record.counts.documents_out = record.counts.documents_in
        record.emitted = [(_KEY, [unit.index, path])]
        return record

    def _prepared(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        s = self.settings
        rows = []
        for row in batch.to_pylist():
            line = classifier_text(row["text"], s.max_chars, s.cleaning)
            rows.append(
                {
                    "key": chance(row["id"], s.seed),
                    "reference": row["label"] == REFERENCE,
                    "url": url_hash(row["url"] or row["id"]),
                    "content": xxhash.xxh3_64_intdigest(line.encode()),
                    "chars": len(line),
                    # A page without a domain stands for itself.
                    "domain": row["domain"] or row["id"],
                    "host": web.host(row["url"] or "") or "",
                    "tool": row["tool"],
                    "language": row["language"] or "",
                    "line": line,
                }
            )
        return pa.RecordBatch.from_pylist(rows, schema=_PREPARED)

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        paths = [path for _, path in sorted(values)]
        pages, hosts = self._pages(paths)
        s = self.settings
        choice = choose(pages, s.min_chars, s.max_per_domain, s.random_per_reference)
        chosen = pages.take(choice.rows)
        splits = evaluate.split_counts(chosen)
        facts: dict[str, Any] = {
            "pages": {
                "references": int(pages.reference.sum()),
                "random": int((~pages.reference).sum()),
            },
            "left_out": choice.left_out,
            "splits": splits,
            "leaks": evaluate.leaks(chosen, hosts),
            "length_only_before_matching": evaluate.length_leak_before(pages),
        }
        record = Record(key)
        have = splits["train"]["references"]
        if have < s.min_positives:
            why: str | None = (
                f"no model: {have:,} references to train on, fewer than min_positives"
                f" {s.min_positives:,}"
            )
            notes = [why]
        else:
            facts["model"], facts["test"], doubt = self._train(chosen, choice, paths, record)
            facts["untrained"] = doubt
            why = None if doubt is None or s.keep_untrained else f"no model: {doubt}"
            notes = [*_notes(facts), *([why or f"kept all the same: {doubt}"] if doubt else [])]
        card = Card(model=why is None, cleaning=s.cleaning, max_chars=s.max_chars, why_none=why)
        files.write_json(files.join(self.step.output, CARD_FILE), card.model_dump(mode="json"))
        record.files.append(files.entry(self.step.output, CARD_FILE))
        record.extra = {"reference_model": facts, "notes": notes}
        return record

    def _train(
        self, chosen: Pages, choice: Choice, paths: Sequence[str], record: Record
    ) -> tuple[dict[str, Any], dict[str, Any], str | None]:
        """What the model is, its figures, and why it is as good as none, if so. Writes it into the
        output if it is kept."""
        s = self.settings
        scratch = None if files.is_remote(self.step.output) else self.scratch()
        with tempfile.TemporaryDirectory(dir=scratch, prefix="model-") as folder:
            spool = Path(folder, "lines")
            places = _copy_lines(paths, choice.rows, spool)
            lines, model = Path(folder, "train"), Path(folder, MODEL_FILE)
            for_training = np.flatnonzero(chosen.split == 0)
            with lines.open("wb") as out:
                for row, line in zip(for_training, _read(spool, places[for_training]), strict=True):
                    label = REFERENCE if chosen.reference[row] else RANDOM
                    out.write(f"{PREFIX}{label} {line}\n".encode())
            try:
                made = train(lines, model, s, len(for_training))
                scorer = Scorer(model, REFERENCE, s.cleaning, s.max_chars)
            except ModelError as error:
                raise RuntimeError(f"{self.step.name}: {error}") from error
            scores = score_lines(scorer, _read(spool, places))
            test = evaluate.report(chosen, scores)
            doubt = evaluate.untrained(test, scores)
            if doubt is None or s.keep_untrained:
                with (
                    model.open("rb") as source,
                    files.atomic_writer(files.join(self.step.output, MODEL_FILE)) as target,
                ):
                    while block := source.read(1 << 20):
                        target.write(block)
                record.files.append(target.digest.entry(MODEL_FILE))
        return made, test, doubt

    def _pages(self, paths: Sequence[str]) -> tuple[Pages, list[str]]:
        """The numbers of all pages, rows in the order of the files; the names of the hosts."""
        names = [n for n in _PREPARED.names if n != "line"]
        batches = [b for path in paths for b in read_batches(path, names)]
        table = pa.Table.from_batches(batches, pa.schema([_PREPARED.field(n) for n in names]))
        columns = {n: table.column(n).combine_chunks() for n in names}
        s = self.settings
        numbered = {n: _numbered(columns[n]) for n in ("domain", "host", "tool", "language")}
        domains, which = numbered["domain"]
        shares = (s.valid_share, s.test_share)
        splits = np.fromiter((split_of(d, shares, s.seed) for d in domains), np.int64, len(domains))
        found = Pages(
            key=_numpy(columns["key"]),
            reference=_numpy(columns["reference"]),
            url=_numpy(columns["url"]),
            content=_numpy(columns["content"]),
            chars=_numpy(columns["chars"]),
            domain=which,
            host=numbered["host"][1],
            tool=numbered["tool"][1],
            language=numbered["language"][1],
            split=splits[which] if len(which) else which,
        )
        return found, numbered["host"][0]

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        (trained,) = [r for r in records if r.extra]
        return trained.files, trained.extra


def _numpy(column: Any) -> Any:
    return column.to_numpy(zero_copy_only=False)


def _numbered(column: Any) -> tuple[list[str], Any]:
    """The distinct values in the order in which they come, and per entry which one it is."""
    coded = column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _copy_lines(paths: Sequence[str], rows: Iterable[int], spool: Path) -> Any:
    """Copies the lines of chosen rows (numbered over all files) to `spool`; per chosen row, in the
    order given, the offset and length in bytes: int64, shape (rows, 2)."""
    wanted = np.asarray(rows, dtype=np.int64)
    order = np.argsort(wanted, kind="stable")
    places = np.zeros((len(wanted), 2), dtype=np.int64)
    done = row = offset = 0
    with spool.open("wb") as out:
        for path in paths:
            for batch in read_batches(path, ["line"]):
                end = row + batch.num_rows
                while done < len(order) and wanted[order[done]] < end:
                    data = batch.column(0)[int(wanted[order[done]]) - row].as_py().encode()
                    out.write(data)
                    places[order[done]] = offset, len(data)
                    offset += len(data)
                    done += 1
                row = end
    return places


def _read(spool: Path, places: Any) -> Iterator[str]:
    with spool.open("rb") as stream:
        for offset, length in places.tolist():
            stream.seek(offset)
            yield stream.read(length).decode()


def _notes(facts: dict[str, Any]) -> list[str]:
    splits, test, leaks = facts["splits"], facts["test"], facts["leaks"]
    notes = [
        f"{s['references']:,} references and {s['random']:,} random pages of {s['domains']:,}"
        f" domains to {'train' if name == 'train' else name}"
        for name, s in splits.items()
    ]
    for threshold, figures in test["thresholds"].items():
        notes.append(
            f"test at {threshold}: precision {_said(figures['precision'])}, recall"
            f" {_said(figures['recall'])}, F1 {_said(figures['f1'])}, random pages kept"
            f" {_said(figures['random_kept'])}"
        )
    notes.append(
        f"test AUC {_area(test)}, calibration error {_said(test['calibration']['ece'])}; AUC from"
        f" length alone {_area(leaks['length_only'])}, from the host's name alone"
        f" {_area(leaks['domain_name_only'])}, from the domain alone, were pages dealt to the"
        f" splits and not domains, {_area(leaks['domain_only_by_page'])}"
    )
    return notes


def _area(found: dict[str, Any] | None) -> str:
    if found is None or found["auc"] is None:
        return "unknown"
    return f"{found['auc']:.3f} ± {found['auc_standard_error']:.3f}"


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
