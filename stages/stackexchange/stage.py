"""`stackexchange`: dumps of posts to documents, one a question, its answers sorted by score.

Reading units (`emit`) write each post to the partition of its thread, in files of the step's
scratch folder; the shuffle carries where they lie; one reducer a partition turns HTML to text and
writes one part. The cleaning waits for the reducers, because a .7z archive is one unit, even with
100 GB of XML in it. Parts 0 to P-1 are the partitions; what leaves while dumps are read (damaged
rows) is in the `bad/` parts from P on, one a reading unit.

What the counts mean. A record is a row of the dumps, and has exactly one outcome: a question is a
document, rejected or bad; an answer that stands in its question's document is counted under
`skipped` as `answer_in_thread` (it is no document of its own), else it is rejected or bad; posts of
other kinds are skipped. So `records = documents in + skipped` says that no post was lost on the
way through the shuffle, and the engine checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from stages.documents import PartWriter
from stages.engine import files
from stages.engine.execute import StageError
from stages.engine.progress import Reporter
from stages.engine.step import InputError, Port, Record, ShuffleStage, input_row
from stages.engine.units import Piece, WorkUnit, byte_stretches, raw_units
from stages.outcomes import Bad, Skipped, Tally
from stages.stackexchange.html import HtmlConverter
from stages.stackexchange.pinned import site_notes
from stages.stackexchange.post import QUESTION, Post
from stages.stackexchange.reader import PostReader, Raw
from stages.stackexchange.settings import MIB, StackExchangeSettings
from stages.stackexchange.sites import site_of
from stages.stackexchange.spill import SpillWriter, partitions_for, read_threads
from stages.stackexchange.thread import MERGED, REASONS, assemble
from stages.stackexchange.volume import expanded_size

_REPORT_EVERY = 256
_NAMED = 5  # sites that a message names before it only counts them


class StackExchange(ShuffleStage[StackExchangeSettings]):
    name = "stackexchange"
    summary = "read StackExchange dumps; one document a question, answers sorted by score"
    Settings = StackExchangeSettings
    ports = {"input": Port("raw", "dumps: <site>.7z, <site>-Posts.7z, <site>/Posts.xml; folders")}
    reasons = REASONS
    final: ClassVar[bool] = False

    def units(self) -> list[WorkUnit]:
        """Units that read; Posts.xml of more than `split_bytes` are cut by bytes.

        Raises InputError where no file is a dump of posts, a wanted site is lacking, or a file does
        not say its site.
        """
        given = files.glob(self.step.inputs["input"])
        dumps = {path: site for path in given if (site := site_of(path)) is not None}
        nameless = [path for path, site in dumps.items() if not site]
        if nameless:
            raise InputError(
                f"{self.step.name}: {nameless[0]} does not say its site; put it into a folder"
                " named by the site"
            )
        wanted = set(self.settings.sites)
        if lacking := sorted(wanted - set(dumps.values())):
            more = f" and {len(lacking) - _NAMED} more sites" if len(lacking) > _NAMED else ""
            raise InputError(
                f"{self.step.name}: no dump of {', '.join(lacking[:_NAMED])}{more} in the input;"
                " give it, or take it out of the setting `sites`"
            )
        paths = [path for path, site in dumps.items() if not wanted or site in wanted]
        units = raw_units(
            paths,
            split_bytes=self.layout.split_bytes,
            bundle_bytes=self.layout.bundle_bytes,
            split=_split,
            together=lambda path: dumps[path] or "",
        )
        volume = sum(expanded_size(path, self.settings.max_expansion) for path in paths)
        partitions = partitions_for(volume, self.settings.partition_memory_mb * MIB)
        facts = {"partitions": partitions, "files_unused": len(given) - len(paths)}
        return [replace(unit, extra=facts) for unit in units]

    def emit(self, unit: WorkUnit, reporter: Reporter) -> Record:
        partitions = unit.extra["partitions"]
        record, tally = Record(unit.name), Tally()
        reader = PostReader(self.settings)
        sites: dict[str, dict[str, int]] = {}
        path = self.scratch(f"posts-{unit.name}.bin")
        spill = SpillWriter(path, partitions, self.settings.spill_mb * MIB)
        total = partitions + unit.of
        part = f"part-{partitions + unit.index:05d}-of-{total:05d}.parquet"
        leaving = PartWriter(self.step.output, part, self.step.name, only_leaving=True)
        read = size = 0
        with spill, leaving as out:
            for piece in unit.pieces:
                record.inputs.append(input_row(piece.path, whole=piece.start == 0))
                # A dump without a readable post is a site, too.
                sites.setdefault(site_of(piece.path) or "", {"answers": 0, "questions": 0})
                for outcome in _posts(reader, piece, tally):
                    if isinstance(outcome, Post):
                        spill.write(outcome)
                        kinds = sites.setdefault(outcome.site, {"answers": 0, "questions": 0})
                        kinds["questions" if outcome.kind == QUESTION else "answers"] += 1
                        read, size = read + 1, size + len(outcome.html)
                        if read % _REPORT_EVERY == 0:
                            reporter.advanced("emit", unit.key, read, size)
                    else:
                        out.outcome(outcome)
        counts = out.counts
        counts.records = tally.records
        counts.other.update(posts=read)
        if unit.index == 0 and unit.extra["files_unused"]:
            counts.other.update(files_unused=unit.extra["files_unused"])
        record.counts, record.files, record.extra = counts, out.files, {"sites": sites}
        # The first unit names every partition, so that each has a part, if an empty one.
        record.emitted = [
            (f"{p:05d}-of-{total:05d}", [unit.index, blocks])
            for p, blocks in enumerate(spill.blocks)
            if blocks or unit.index == 0
        ]
        return record

    def reduce(self, key: str, values: Sequence[Any], reporter: Reporter) -> Record:
        # The values come sorted as JSON texts, in which 10 is before 9.
        ordered = sorted(values, key=lambda value: value[0])
        record, convert = Record(key), HtmlConverter(self.settings)
        grouped = answers = outcomes = 0
        with PartWriter(self.step.output, f"part-{key}.parquet", self.step.name) as out:
            for thread in read_threads([block for _, blocks in ordered for block in blocks]):
                grouped += len(thread)
                for outcome in assemble(thread, self.settings, convert):
                    out.outcome(outcome)
                    outcomes += 1
                    answers += isinstance(outcome, Skipped)
                reporter.advanced("reduce", key, out.counts.documents_in, out.counts.text_bytes_in)
        if grouped != outcomes:
            raise RuntimeError(f"partition {key}: {grouped} posts in, {outcomes} accounted for")
        record.counts, record.files = out.counts, out.files
        record.counts.other.update(posts_grouped=grouped)
        return record

    def finish(self, records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Posts in = posts written + rejected + bad; posts by site for the manifest."""
        listed, extra = super().finish(records)
        sites: dict[str, dict[str, int]] = {}
        sent = grouped = 0
        for record in records:
            sent += record.counts.other["posts"]
            grouped += record.counts.other["posts_grouped"]
            for site, kinds in record.extra.get("sites", {}).items():
                mine = sites.setdefault(site, {"answers": 0, "questions": 0})
                for kind, number in kinds.items():
                    mine[kind] += number
        if sent != grouped:
            raise StageError(
                f"{self.step.name}: {sent} posts were read, {grouped} came to their threads"
            )
        notes = site_notes(self.settings.sites, sites)
        if isinstance(self.settings.sites, dict):
            for site, number in self.settings.sites.items():
                sites.setdefault(site, {"answers": 0, "questions": 0})["pinned_posts"] = number
        facts = {"sites": dict(sorted(sites.items())), "merged_as": MERGED, "notes": notes}
        return listed, {**extra, **facts}


def _split(path: str, size: int, target: int) -> Sequence[tuple[int, int | None]]:
    return byte_stretches(path, size, target) if path.lower().endswith(".xml") else [(0, None)]


def _posts(reader: PostReader, piece: Piece, tally: Tally) -> Iterator[Raw]:
    """A reader's posts; a reader that fails outright makes one bad record of what is left.

    Failures of the machine (memory, the disk or network: an OSError with a number) are raised.
    """
    due = tally.records
    try:
        with files.open_read(piece.path) as handle:
            for outcome in reader(handle, piece.path, tally, piece.start, piece.end):  # type: ignore[arg-type]
                due += 1
                yield outcome
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if tally.records == due:
            tally.record()
        yield Bad(piece.path, piece.start, f"reader: {type(error).__name__}: {error}")
