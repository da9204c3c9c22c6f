"""How many pieces of work each phase of a step has: the local runner knows it when a phase begins,
since all that it groups lies before it by then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apache_beam.runners.portability.fn_api_runner import execution

_BEFORE_PROCESS = ("emit", "gather", "reduce", "scatter")


def tell_totals(runner: Any, step: str, say: Callable[[str, int], None]) -> None:
    """Has a FnApiRunner call `say(phase, number of elements)` before each phase of a step."""
    usual = runner._get_bundle_manager

    def bundle_manager(context: Any) -> Any:
        manager = usual(context)
        phase = phase_of([t.unique_name for t in context.stage.transforms], step)
        process = manager.process_bundle

        def telling(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            grouped = [b for b in inputs.values() if isinstance(b, execution.GroupingBuffer)]
            if phase and grouped:
                say(phase, max(len(buffer._table) for buffer in grouped))
            return process(inputs, *args, **kwargs)

        manager.process_bundle = telling
        return manager

    runner._get_bundle_manager = bundle_manager


def phase_of(transforms: list[str], step: str) -> str:
    """The phase that a stage of the runner is about, by the names of its transforms, or ""."""
    names = {name.split("/")[0] for name in transforms}
    named = {f"{step}.{phase}": phase for phase in _BEFORE_PROCESS} | {step: "process"}
    return next((phase for name, phase in named.items() if name in names), "")
