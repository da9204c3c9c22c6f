"""One document at one step: what the functions that explain a stage work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.find_document import Place
from pipeline.why_findings import Finding
from stages import registry
from stages.engine import files
from stages.engine.manifest import Manifest
from stages.engine.step import Step


@dataclass
class Case:
    """One document at one step that met it.

    `before` and `after` are its rows in the input and the output, None where it is not there;
    `place` is where `before` lies. `later` are the steps after this one, as planned. `holders` is
    how many other documents are named where there are many.
    """

    step: Step
    done: Manifest
    finding: Finding
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    place: Place | None
    later: Sequence[Step]
    holders: int

    def written(self) -> list[str]:
        return self.done.documents(self.step.output)

    def documents(self, port: str) -> list[str]:
        """Paths of the documents that the step reads on a port."""
        stage = registry.stage_class(self.step.stage)(self.step)
        return [path for _, paths in stage.documents(port) for path in paths]

    def left(self) -> list[str]:
        return parts(self.done, self.step.output, "rejected")

    def use(self, *settings: str) -> None:
        """Shows settings of the step that mattered."""
        known = self.done.settings
        self.finding.settings |= {name: known[name] for name in settings if name in known}


def parts(done: Manifest, folder: str, which: str) -> list[str]:
    """Paths of a finished step's parts: documents (""), `rejected` or `bad`."""
    if not which:
        return done.documents(folder)
    listed = [f["path"] for f in done.files if f["path"].startswith(f"{which}/")]
    return [files.join(folder, path) for path in listed]
