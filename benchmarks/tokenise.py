"""The stage `tokens` beside other programs that turn the same Parquet into the same ids.

    python -m benchmarks.tokenise [--data FOLDER] [--json FILE] [--write]

Documents are those that the stage `commoncrawl` makes of WET files; the tokenizer is a given model,
LLaMA's where the data folder has it, or else one trained on these documents. All programs run in
turns, each on one core. Then their ids are compared, document by document.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import command, data, stages
from benchmarks.machine import Conditions, machine
from benchmarks.measure import REPO, Cost, MeasureError, in_new_process
from benchmarks.sheet import show
from benchmarks.tokenise_report import (
    JUDGE,
    STAGE,
    TITLES,
    Comparison,
    Measured,
    check,
    has_symbol,
    page,
    table,
)
from benchmarks.tokenisers import documents_of
from stages.engine.run import run_step
from stages.engine.step import Step
from stages.tokenizer_model import MODEL_FILE
from tests.peers import environments
from tests.peers.environments import DATATROVE, BrokenError, UnavailableError
from tokenizer.model import ModelFile
from tokenizer.tokenizer_json import tokenizer_json

_PAGE = REPO / "docs" / "throughput.md"


@dataclass(frozen=True)
class Input:
    """Documents in Parquet and a tokenizer, in both formats."""

    folder: str
    model: str
    tokenizer_json: str
    pieces: int
    separator: int

    @property
    def parts(self) -> list[str]:
        return sorted(str(path) for path in Path(self.folder).glob("part-*.parquet"))

    def texts(self) -> list[str]:
        return [
            text
            for part in self.parts
            for text in pq.read_table(part, columns=["text"])["text"].to_pylist()
        ]


def main() -> int:
    """Exit codes: those of `benchmarks.command`."""
    parser = command.Parser("benchmarks.tokenise", __doc__)
    parser.raw_data()
    parser.add_argument("--model", type=Path, help="a SentencePiece BPE model")
    parser.repeats(3, "of each program")
    parser.json()
    parser.page("docs/throughput.md")
    options = parser.parse_args()

    def work() -> None:
        conditions, folder = Conditions(), command.folder_of(options)
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as below:
            raw = data.find(folder, Path(below))
            model = options.model or model_of(folder)
            found = compare(raw, Path(below), model, options.repeats)
        about = (
            f"{machine()}. {found.data}: {found.documents:,} documents,"
            f" {found.text_bytes / 1e6:.1f} MB of text, {found.measured[JUDGE].tokens:,} tokens;"
            f" {found.tokenizer}."
            f" {options.repeats} repetitions in turns. {conditions}"
        )
        sheet = table(found)
        show([sheet], about)
        if options.json:
            told = {"about": about, **found.to_json()}
            options.json.write_text(json.dumps(told, indent=1) + "\n")
        if options.write:
            _PAGE.write_text(page(sheet, about))

    return command.run(work, BrokenError)


def model_of(folder: Path | None) -> Path | None:
    """The SentencePiece model that a data folder holds, if any."""
    return min(folder.rglob("llama/tokenizer.model"), default=None) if folder else None


def compare(raw: data.RawData, work: Path, model: Path | None, repeats: int) -> Comparison:
    """Measures all programs on the documents of `raw`. Raises MeasureError, BrokenError."""
    stages.import_everything()
    large = prepare(raw.wet.large, work / "large", model)
    small = prepare(data.tiny(raw, work / "raw").wet.small, work / "tiny", Path(large.model))
    programs, left_out = [*TITLES], dict[str, str]()
    try:
        environments.install(DATATROVE)
    except UnavailableError as error:
        programs.remove("datatrove")
        left_out["datatrove"] = str(error)
    measured = {name: Measured() for name in programs}
    for name in programs:
        measured[name].fixed = run(name, small, work / "out")
    sizes: dict[str, int] = {}
    for i in range(repeats):
        for name in programs:
            stages.to_stderr(f"{name}: {i + 1} of {repeats}")
            measured[name].costs.append(run(name, large, work / name))
            same_size(name, sizes.setdefault(name, size_of(work / name)), work / name)
    texts = large.texts()
    check(measured, texts, {name: written(name, work / name) for name in programs})
    size = sum(len(text.encode()) for text in texts)
    return Comparison(
        f"{len(raw.wet.large)} WET files{' (some are copies)' if raw.wet.copied else ''}",
        f"a tokenizer of {large.pieces:,} pieces {'given' if model else 'trained on them'}",
        len(texts),
        size,
        sum(map(has_symbol, texts)),
        measured,
        left_out,
    )


def prepare(wet: Sequence[str], work: Path, model: Path | None) -> Input:
    """Documents of WET files, and a tokenizer: the given one, or one trained on them."""
    documents = str(work / "documents")
    run_step(Step("commoncrawl", "commoncrawl", documents, {"input": list(wet)}))
    if model is None:
        step = Step("tokenizer", "tokenizer", str(work / "tokenizer"), {"input": [documents]})
        run_step(step)
        model = work / "tokenizer" / MODEL_FILE
    translated = work / "tokenizer.json"
    loaded = ModelFile.load(model)
    translated.write_text(json.dumps(tokenizer_json(loaded)))
    separator = int(loaded.trainer["eos_id"])
    return Input(documents, str(model), str(translated), loaded.vocab_size, separator)


def run(name: str, given: Input, out: Path) -> Cost:
    """One run of a program, alone in a process; what it writes is in `out`."""
    if name == STAGE:
        inputs = {"input": [given.folder], "tokenizer": [given.model]}
        return stages.run_stage(Step(STAGE, STAGE, str(out), inputs)).cost
    shutil.rmtree(out, ignore_errors=True)
    options = json.dumps(
        {
            "parts": given.parts,
            "model": given.model,
            "tokenizer_json": given.tokenizer_json,
            "separator": given.separator,
            "out": str(out),
        }
    )
    if name == "datatrove":
        printed = environments.run(DATATROVE, "benchmarks.tokenisers", name, options)
        return Cost(**json.loads(printed.splitlines()[-1]))
    return Cost(**in_new_process("benchmarks.tokenisers", name, options))


def size_of(out: Path) -> int:
    """Bytes of ids in the files that a program wrote."""
    return sum(p.stat().st_size for p in out.rglob("*") if p.suffix in (".bin", ".ds"))


def same_size(name: str, before: int, out: Path) -> None:
    """Raises MeasureError where a run wrote less or more than the first: it did other work."""
    if (now := size_of(out)) != before or not now:
        raise MeasureError(f"{name} wrote {now} bytes of ids, {before} before")


def written(name: str, out: Path) -> list[bytes]:
    """The ids of each document that a program wrote, in its own order."""
    if name != STAGE:
        return documents_of(out)
    found: list[bytes] = []
    for path in sorted(out.glob("*/*.bin")):
        payload = path.read_bytes()
        rows = pq.read_table(path.with_suffix(".docs.parquet"), columns=["first_token", "length"])
        first, length = (2 * rows[c].to_numpy() for c in ("first_token", "length"))
        found += [payload[a : a + n] for a, n in zip(first.tolist(), length.tolist(), strict=True)]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
