"""`github`: the BigQuery export or folders of repositories to documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import orjson
import pyarrow as pa

from stages.documents import PartWriter
from stages.engine import files
from stages.engine.models import load_once
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Port, Record, ShuffleStage, input_row
from stages.engine.units import Piece, WorkUnit, raw_units
from stages.github import export, folder, join
from stages.github.content import REASONS, ContentRules, Place
from stages.github.formats import UnknownFormatError, format_of
from stages.github.join import Chunk, RunWriter
from stages.github.licences import Licences
from stages.github.records import Limits
from stages.github.settings import GithubSettings
from stages.github.verdicts import Verdicts
from stages.outcomes import Bad, Outcome, Reject, Skipped, Tally

_MIN_PARTITIONS = 4
# Bytes of a row of the files table, for the number of partitions: as gzip or Parquet, and plain.
_PACKED_ROW, _PLAIN_ROW = 20, 120
_REPORT_EVERY = 64


class Github(ShuffleStage[GithubSettings]):
    """Rows of the files table (or, of a folder, its files) meet the contents that they name in a
    shuffle by content id; see `stages.github.join`. Licences of repositories are a table of 12
    bytes a repository that each worker holds."""

    name = "github"
    summary = "read GitHub's BigQuery export or repositories; filter; remove licence headers"
    Settings = GithubSettings
    ports: ClassVar[dict[str, Port]] = {
        "input": Port("raw", "tables licenses, files and contents, or folders of repositories")
    }
    reasons = REASONS

    # -- planning --------------------------------------------------------------------------------

    def units(self) -> list[WorkUnit]:
        if self._format() == "folder":
            units = self._folder_units()
            places = sum(len(u.pieces) for u in units)
        else:
            units, places = self._export_units()
        memory = self.settings.partition_memory_mb << 20
        partitions = max(_MIN_PARTITIONS, join.partitions_for(places, memory))
        return [replace(u, extra={**u.extra, "partitions": partitions}) for u in units]

    def _format(self) -> str:
        given = self.settings.format
        if given != "auto":
            return given
        try:
            return format_of(self.step.inputs["input"], self.settings.repository_depth)
        except UnknownFormatError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def raw_files(self, where: str) -> list[str]:
        """Of repositories, what can be named and opened; links are not followed."""
        if self._format() == "bigquery":
            return files.glob(where)
        return [e.path for e in self._folder(where).entries if not (e.error or e.is_link)]

    def _folder(self, where: str) -> folder.Folder:
        try:
            return folder.Folder.open(where, self.settings.repository_depth)
        except folder.NotAFolderError as error:
            raise InputError(f"{self.step.name}: {error}; see the setting `format`") from error

    def _folder_units(self) -> list[WorkUnit]:
        folders = [self._folder(where) for where in self.step.inputs["input"]]
        units = folder.units(folders, self.layout.bundle_bytes)
        return [replace(u, extra={**u.extra, "table": "folder"}) for u in units]

    def _export_units(self) -> tuple[list[WorkUnit], int]:
        tables: dict[str, str] = {}
        for path in files.glob(self.step.inputs["input"]):
            table = export.table_of(path)
            if table is None:
                raise InputError(
                    f"{self.step.name}: {path} is none of the tables licenses, files and contents,"
                    " by its name or first row; see the setting `format`"
                )
            tables[path] = table
        for needed in export.COLUMNS:
            if needed not in tables.values():
                raise InputError(f"{self.step.name}: its input has no table `{needed}`")
        units = raw_units(
            sorted(tables, key=lambda p: (tables[p], p)),
            split_bytes=self.layout.split_bytes,
            bundle_bytes=self.layout.bundle_bytes,
            split=export.split,
            together=lambda path: tables[path],
        )
        licences = sorted(p for p, table in tables.items() if table == "licenses")
        places = sum(_rows_of(p) for p, table in tables.items() if table == "files")
        out = []
        for unit in units:
            mine = tables[unit.pieces[0].path]
            extra = {"table": mine, **({"licenses": licences} if mine == "files" else {})}
            out.append(replace(unit, extra=extra))
        return out, places

    # -- the shuffle -----------------------------------------------------------------------------

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        record = Record(unit.name)
        if unit.extra["table"] == "licenses":
            return record
        partitions = unit.extra["partitions"]
        with (
            RunWriter(self.scratch(f"places-{unit.name}.arrow"), partitions) as places,
            RunWriter(self.scratch(f"contents-{unit.name}.arrow"), partitions) as contents,
        ):
            if unit.extra["table"] == "files":
                self._emit_files(unit, places)
            elif unit.extra["table"] == "contents":
                self._emit_contents(unit, contents)
            else:
                self._emit_folder(unit, places, contents)
        for kind, run in (("places", places), ("contents", contents)):
            for partition, stretches in sorted(run.stretches.items()):
                key = f"{partition:06d}-of-{partitions:06d}"
                record.emitted.append((key, [kind, unit.index, stretches]))
        return record

    def _emit_files(self, unit: WorkUnit, out: RunWriter) -> None:
        """Also notes what is left to say of the table (bad rows, the number of good ones), so that
        `process_with` need not read it again."""
        verdicts = Verdicts(self.settings)
        licences = self._licences(unit.extra["licenses"])
        known: dict[str, str | None] = {}
        chunk = Chunk(join.PLACES)
        good = 0
        with files.atomic_writer(self._left(unit)) as left:
            for piece, row in self._rows(unit, "files"):
                found = row if isinstance(row, Bad) else export.file_row(row, piece.path)
                if isinstance(found, Bad):
                    left.write(orjson.dumps([found.file, found.offset, _utf8(found.error)]) + b"\n")
                    continue
                if found.repository not in known:
                    if len(known) > 10_000:
                        known.clear()
                    known[found.repository] = licences.find(found.repository)
                licence = known[found.repository]
                rank = verdicts.rank(found.path, licence, found.mode, found.is_link)
                foreign = None if verdicts.kept(licence) else licence or "no licence"
                chunk.add(found.id, rank, found.repository, found.path, licence, 1, foreign)
                good += 1
                if chunk.full:
                    out.by_id(join.merged(chunk.table()))
            left.write(orjson.dumps(good))
        out.by_id(join.merged(chunk.table()))

    def _emit_contents(self, unit: WorkUnit, out: RunWriter) -> None:
        chunk = Chunk(join.CONTENTS)
        n = 0
        for piece in unit.pieces:
            for row in export.read(piece, ("id",), self._limits()):
                key = row if isinstance(row, Bad) else export.id_of(row, piece.path)
                if isinstance(key, Bad):
                    continue
                chunk.add(key, unit.index, n)
                n += 1
                if chunk.full:
                    out.by_id(chunk.table())
        out.by_id(chunk.table())

    def _emit_folder(self, unit: WorkUnit, places: RunWriter, contents: RunWriter) -> None:
        verdicts, licences = Verdicts(self.settings), folder.licences(unit)
        found, asked = Chunk(join.PLACES), Chunk(join.CONTENTS)
        for n, piece in enumerate(unit.pieces):
            file = folder.content(unit, piece.path, self.settings.max_file_bytes)
            if isinstance(file, Bad):
                continue
            repository, path = file.place.repository, file.place.path
            licence = licences.get(repository)
            rank = verdicts.rank(path, licence, None, file.linked)
            foreign = None if verdicts.kept(licence) else licence or "no licence"
            found.add(file.key, rank, repository, path, licence, 1, foreign)
            asked.add(file.key, unit.index, n)
        places.by_id(join.merged(found.table()))
        contents.by_id(asked.table())

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        references: dict[str, list[Any]] = {"places": [], "contents": []}
        for kind, _, stretches in values:
            references[kind].append(stretches)
        output = self.scratch(f"answers-{key}.arrow")
        return Record(
            key, emitted=join.answer(key, references["places"], references["contents"], output)
        )

    # -- documents -------------------------------------------------------------------------------

    def process_with(self, unit: WorkUnit, values: Sequence[Any], reporter: Reporter) -> Record:
        record = Record(unit.name)
        tally = Tally()
        makers = {
            "licenses": self._license_outcomes,
            "files": self._file_outcomes,
            "contents": lambda u, t: self._content_outcomes(u, join.collect(values), t),
            "folder": lambda u, t: self._folder_outcomes(u, join.collect(values), t),
        }
        with PartWriter(self.step.output, unit.part, self.step.name) as out:
            for n, outcome in enumerate(makers[unit.extra["table"]](unit, tally)):
                out.outcome(outcome)
                if n % _REPORT_EVERY == 0:
                    reporter.advanced(
                        "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                    )
        record.inputs = [
            input_row(p.path, whole=p.start == 0)
            for p in unit.pieces
            if unit.extra["table"] != "folder" or folder.is_readable(unit, p.path)
        ]
        out.counts.records = tally.records
        out.counts.other["raw_bytes"] = sum(piece.size for piece in unit.pieces)
        record.counts, record.files = out.counts, out.files
        return record

    def _license_outcomes(self, unit: WorkUnit, tally: Tally) -> Iterator[Outcome]:
        for piece, row in self._rows(unit, "licenses"):
            tally.record()
            found = row if isinstance(row, Bad) else export.license_row(row, piece.path)
            yield found if isinstance(found, Bad) else Skipped("row of licenses")

    def _file_outcomes(self, unit: WorkUnit, tally: Tally) -> Iterator[Outcome]:
        with files.open_read(self._left(unit)) as left:
            for line in left:
                value = orjson.loads(line)
                if isinstance(value, list):
                    tally.record()
                    yield Bad(*value)
                    continue
                for _ in range(value):
                    tally.record()
                    yield Skipped("row of files")

    def _content_outcomes(
        self, unit: WorkUnit, answers: pa.Table, tally: Tally
    ) -> Iterator[Outcome]:
        rules, places = ContentRules(self.settings), _Answers(answers)
        for piece, row in self._rows(unit, "contents"):
            tally.record()
            key = row if isinstance(row, Bad) else export.id_of(row, piece.path)
            if isinstance(row, Bad) or isinstance(key, Bad):
                yield key  # type: ignore[misc]
                continue
            origin = f"{piece.path}#{key.hex()}"
            place = places.next(key)
            content = export.content_of(row, piece.path)
            yield rules.outcome(piece.path, key, origin, place, content)

    def _folder_outcomes(
        self, unit: WorkUnit, answers: pa.Table, tally: Tally
    ) -> Iterator[Outcome]:
        rules, places = ContentRules(self.settings), _Answers(answers)
        for bad in folder.bad_names(unit):
            tally.record()
            yield bad
        for piece in unit.pieces:
            tally.record()
            file = folder.content(unit, piece.path, self.settings.max_file_bytes)
            if isinstance(file, Bad):
                yield file
                continue
            place, origin = places.next(file.key), f"{piece.path}#0"
            content: str | Reject = ""
            if not file.linked:
                too_large = Reject("too_large", f"{piece.size} bytes")
                content = too_large if file.data is None else folder.decode(file.data)
            yield rules.outcome(piece.path, file.key, origin, place, content)

    # -- helpers ---------------------------------------------------------------------------------

    def _limits(self) -> Limits:
        return Limits(self.settings.max_record_bytes, self.settings.max_expansion)

    def _rows(self, unit: WorkUnit, table: str) -> Iterator[tuple[Piece, Any]]:
        for piece in unit.pieces:
            for row in export.read(piece, export.COLUMNS[table], self._limits()):
                yield piece, row

    def _left(self, unit: WorkUnit) -> str:
        return self.scratch(f"left-{unit.name}.jsonl")

    def _licences(self, tables: Sequence[str]) -> Licences:
        """The licences of all repositories, read once per worker process."""

        def rows() -> Iterator[tuple[str, str]]:
            for path in tables:
                for row in export.read(Piece(path), export.COLUMNS["licenses"], self._limits()):
                    found = row if isinstance(row, Bad) else export.license_row(row, path)
                    if not isinstance(found, Bad):
                        yield found

        return load_once(("github licences", self.step.output, *tables), lambda: Licences(rows()))


class _Answers:
    """The answers of a unit, in the order in which its contents asked.

    Damage may take rows away that were there when only their ids were read; their answers are
    passed over.
    """

    def __init__(self, answers: pa.Table) -> None:
        self._rows = (row for batch in answers.to_batches(1024) for row in batch.to_pylist())

    def next(self, key: bytes) -> Place | Reject:
        """Raises RuntimeError if the input is not what it was when it was sent to the shuffle."""
        row = next((row for row in self._rows if row["id"] == key), None)
        if row is None:
            raise RuntimeError("contents changed while the step ran")
        if row["rank"] is None:
            return Reject("no_file")
        place = Place(
            row["repository"],
            row["path"],
            row["license"],
            row["rank"],
            row["places"],
            row["foreign"],
        )
        return Reject("duplicate_content", place.path) if row["again"] else place


def _rows_of(path: str) -> int:
    """About how many rows a file of the files table has."""
    plain = not path.lower().endswith((".gz", ".parquet"))
    return files.size(path) // (_PLAIN_ROW if plain else _PACKED_ROW)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
