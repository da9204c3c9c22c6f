"""Base of the stages that judge documents one by one with a `Rule`."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import pyarrow as pa

from stages.documents import PartWriter, apply_rule, further_columns, read_batches
from stages.engine.progress import Reporter
from stages.engine.step import Record, S, Stage
from stages.engine.units import WorkUnit
from stages.outcomes import Rule


class RuleStage(Stage[S]):
    """Applies one rule to every document; subclasses name the rule and the columns it adds."""

    columns: ClassVar[tuple[pa.Field, ...]] = ()

    @abstractmethod
    def rule(self) -> Rule:
        """The rule with its models loaded; made once per worker process."""

    def rule_for(self, batch: pa.RecordBatch) -> Rule:
        """The rule as it is asked about the documents of one batch, in order."""
        return self._rule

    def warm(self) -> None:
        if not hasattr(self, "_rule"):
            self._rule: Rule = self.rule()

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        RuleStage.warm(self)
        own = {c.name for c in self.columns}
        carried = [f for f in further_columns(unit.pieces[0].path) if f.name not in own]
        columns = [*carried, *self.columns]
        with PartWriter(self.step.output, unit.part, self.step.name, columns) as out:
            for piece in unit.pieces:
                groups = piece.row_groups
                for batch in read_batches(piece.path, row_groups=groups):
                    apply_rule(batch, self.rule_for(batch), out, piece.path)
                    reporter.advanced(
                        "process", unit.key, out.counts.documents_in, out.counts.text_bytes_in
                    )
        return Record(unit.name, counts=out.counts, files=out.files)
