"""`perplexity`: scores documents, finds the cutoffs of each language, names the bucket.

Three passes in one step: units score their documents and count the scores; one reducer merges the
counts into cutoffs; units write their documents with score and bucket. Between the passes only
numbers are kept, so the expensive scoring is done once.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stages.documents import PartWriter, further_columns, text_bytes, with_columns
from stages.engine import files, manifest
from stages.engine.models import load_once
from stages.engine.progress import Reporter
from stages.engine.step import STATE, InputError, Port, Record, ShuffleStage
from stages.engine.units import WorkUnit
from stages.outcomes import Bad
from stages.perplexity.cutoffs import BucketRule, Histogram, published_cutoffs, recalibrated
from stages.perplexity.recalibration import report
from stages.perplexity.score import MODEL_FILES, ModelFileError, PerplexityScorer
from stages.perplexity.settings import PerplexitySettings

CUTOFFS_FILE = "cutoffs.json"
_FAILED = -1.0
_ALL = "cutoffs"


class Perplexity(ShuffleStage[PerplexitySettings]):
    name = "perplexity"
    version = 2
    summary = "score documents with their language's KenLM and sort them in head, middle, tail"
    Settings = PerplexitySettings
    ports = {
        "input": Port("documents", "documents: step folders or Parquet files"),
        "models": Port(
            "folder", "a language_model step's folder, or one with CCNet's files", required=False
        ),
    }

    def check(self) -> None:
        given = self.step.inputs.get("models", [])
        if len(given) > 1:
            raise InputError(f"{self.step.name}: one folder of models, please")
        if not given and self.settings.models is None and not self.settings.files:
            raise InputError(f"{self.step.name}: give --models, a folder of language models")
        # A finished step may have made no model, for want of text; any other folder must hold some.
        if (
            given
            and files.is_dir(given[0])
            and not files.exists(files.join(given[0], manifest.NAME))
            and not files.exists(files.join(given[0], STATE))
            and not any(n.endswith(".sp.model") for n in files.names(given[0]))
        ):
            raise InputError(f"{self.step.name}: no LANGUAGE.sp.model in {given[0]}")

    def chosen(self) -> PerplexitySettings:
        """The settings with the models' folder, brought to this machine if it is remote."""
        given = self.step.inputs.get("models", [])
        if not given:
            return self.settings
        return self.settings.model_copy(update={"models": files.local_folder(given[0])})

    def scorer(self) -> PerplexityScorer:
        try:
            return load_once(
                ("perplexity", files.digest_of(self.step.to_json())),
                lambda: PerplexityScorer(self.chosen()),
            )
        except ModelFileError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def warm(self) -> None:
        scorer = self.scorer()
        scorer.load_all()
        scorer.score("The river was high that spring.", next(iter(scorer.languages), None))

    def models(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for language, pair in sorted(self.scorer().files.items()):
            found[f"{language}.sp.model"] = files.sha256_of(pair.sentencepiece)
            found[f"{language}.arpa.bin"] = files.sha256_of(pair.kenlm)
        return found

    def mapped_memory(self) -> int:
        """All language models: pages come in any language."""
        given = self.step.inputs.get("models", [])
        folder = given[0] if given else self.settings.models
        paths = [str(path) for pair in self.settings.files.values() for path in vars(pair).values()]
        if folder is not None:
            paths += [files.join(folder, n) for n in files.names(folder) if n.endswith(MODEL_FILES)]
        return sum(files.size(path) for path in paths)

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        scorer = self.scorer()
        scores: list[float] = []
        failed: dict[str, str] = {}
        histograms: dict[str, Histogram] = defaultdict(Histogram)
        record = Record(unit.name)
        for batch in self.batches(unit, ["id", "text", "language"]):
            record.counts.documents_in += batch.num_rows
            record.counts.text_bytes_in += text_bytes(batch.column("text"))
            languages = batch.column("language").to_pylist()
            for row, score in enumerate(_scores(scorer, batch, languages, failed)):
                scores.append(np.nan if score is None else score)
                if score is not None and score != _FAILED:
                    histograms[languages[row]].add(score)
            reporter.advanced(
                "emit", unit.key, record.counts.documents_in, record.counts.text_bytes_in
            )
        buffer = io.BytesIO()
        np.save(buffer, np.array(scores, dtype=np.float64))
        files.write_bytes(self.scratch(f"scores-{unit.name}.npy"), buffer.getvalue())
        counted = {language: h.as_dict() for language, h in sorted(histograms.items())}
        path = self.scratch(f"histograms-{unit.name}.json")
        files.write_json(path, counted)
        record.emitted = [(_ALL, [unit.index, path])]
        record.extra = {"failed": failed}
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        merged: dict[str, Histogram] = defaultdict(Histogram)
        for _, path in values:
            for language, counted in files.read_json(path).items():
                merged[language] += Histogram(counted)
        if self.settings.cutoffs == "published":
            cutoffs = dict(published_cutoffs())
        else:
            cutoffs = recalibrated(merged, self.settings.percentiles)
        rows = report(
            merged,
            set(self.scorer().languages),
            cutoffs,
            published_cutoffs(),
            self.settings.percentiles,
        )
        table = {language: row.to_json() for language, row in rows.items()}
        files.write_json(files.join(self.step.output, CUTOFFS_FILE), table)
        used = {language: list(cutoffs[language]) for language in merged if language in cutoffs}
        return Record(key, emitted=[(index, used) for index, _ in values])

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        (cutoffs,) = values
        rule = BucketRule({language: (low, high) for language, (low, high) in cutoffs.items()})
        stored = files.read_bytes(self.scratch(f"scores-{unit.name}.npy"))
        scores = np.load(io.BytesIO(stored), allow_pickle=False)
        failed = files.read_json(self.scratch(f"emit-{unit.name}.json"))["extra"]["failed"]
        columns = further_columns(unit.pieces[0].path)
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            row = 0
            for batch in self.batches(unit, None):
                mine = scores[row : row + batch.num_rows]
                row += batch.num_rows
                out.counts.documents_in += batch.num_rows
                out.counts.text_bytes_in += text_bytes(batch.column("text"))
                keep = mine != _FAILED
                for i in np.flatnonzero(~keep).tolist():
                    document = batch.column("id")[i].as_py()
                    out.leave(Bad(unit.pieces[0].path, document, failed[document]))
                batch, mine = batch.filter(pa.array(keep)), mine[keep]
                known = [None if np.isnan(s) else float(s) for s in mine]
                languages = batch.column("language").to_pylist()
                buckets = [rule(s, code)[0] for s, code in zip(known, languages, strict=True)]
                for bucket in buckets:
                    out.counts.other[f"bucket_{bucket or 'none'}"] += 1
                out.batch(with_columns(batch, out.schema, {"perplexity": known, "bucket": buckets}))
            if row != len(scores):
                raise RuntimeError(f"{len(scores)} scores for {row} documents in {unit.key}")
        return Record(unit.name, counts=out.counts, files=out.files)

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        listed = [f for r in records for f in r.files]
        table = files.read_json(files.join(self.step.output, CUTOFFS_FILE))
        listed.append(files.entry(self.step.output, CUTOFFS_FILE, len(table)))
        seen = {code for r in records for code in r.counts.languages}
        without = sorted(seen - set(self.scorer().languages))
        notes = [f"cutoffs {self.settings.cutoffs}, languages with a model: {len(table)}"]
        if without:
            notes.append(f"no model and so no bucket for: {', '.join(without)}")
        few = [f"{code} {row['documents']:,}" for code, row in table.items() if not row["stable"]]
        if few and self.settings.cutoffs == "recalibrated":
            notes.append(f"too few documents for stable cutoffs: {', '.join(few)}")
        return listed, {"languages_without_model": without, "notes": notes}


def _scores(
    scorer: PerplexityScorer,
    batch: pa.RecordBatch,
    languages: list[str | None],
    failed: dict[str, str],
) -> list[float | None]:
    """Scores of a batch's documents; `_FAILED` for one that `failed` then tells of by its id."""
    texts = batch.column("text").to_pylist()
    try:
        return scorer.scores(texts, languages)
    except ModelFileError:
        raise
    except Exception:  # noqa: BLE001 - which document it was shows one by one
        return [
            _score(scorer, document, text, language, failed)
            for document, text, language in zip(
                batch.column("id").to_pylist(), texts, languages, strict=True
            )
        ]


def _score(
    scorer: PerplexityScorer, document: str, text: str, language: str | None, failed: dict[str, str]
) -> float | None:
    try:
        return scorer.score(text, language)
    except ModelFileError:
        raise
    except Exception as error:  # noqa: BLE001 - one document's dead letter
        failed[document] = f"{type(error).__name__}: {error}"
        return _FAILED
