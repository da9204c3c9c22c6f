"""Whether what an unfinished step left can be gone on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stages.engine import files, manifest, records
from stages.engine.step import STATE, InputError, ShuffleStage, Stage
from stages.engine.units import WorkUnit

# Of what pieces of work leave for each other: a step that was begun with another one is redone.
_SCRATCH_FORMAT = 2


def prepare(
    stage: Stage[Any],
    inputs: Sequence[dict[str, Any]],
    fingerprint: str,
    units: Sequence[WorkUnit],
) -> None:
    """Makes the output folder ready: empty, or with the finished units of the same work.

    `inputs`, `fingerprint`: rows and digest of what the step reads, as its manifest will have them.
    Raises InputError where the folder holds files of something else.
    """
    output = stage.step.output
    state = {
        "output": output,
        "fingerprint": fingerprint,
        "inputs": list(inputs),
        "units": files.digest_of([u.to_json() for u in units]),
        "scratch": _SCRATCH_FORMAT,
    }
    if isinstance(stage, ShuffleStage) and (way := stage.relay(units)):
        state["relay"] = way.to_json()
    path = files.join(output, STATE)
    left = files.json_or_none(path) if files.exists(path) else None
    written_in = left.pop("boot", None) if isinstance(left, dict) else None
    if left == state:
        # A bucket keeps what it took, whatever becomes of this machine.
        crashed = written_in != _boot() and not files.is_remote(output)
        records.drop_unsound(stage.step, every_byte=crashed)
    else:
        _clear(stage)
    files.write_json(path, {**state, "boot": _boot()})


def _clear(stage: Stage[Any]) -> None:
    output = stage.step.output
    if files.is_dir(output):
        names = {n for n in files.names(output) if not n.startswith(files.TEMPORARY)}
        before = manifest.load(output)
        if (names and not {manifest.NAME, STATE} & names) or (
            before is not None and before.stage != stage.name
        ):
            raise InputError(
                f"{stage.step.name}: {output} holds files of something else; give another --output"
            )
        # From here on the folder is known as ours, and as unfit to go on from, however far the
        # clearing gets. The manifest goes first: without one, nobody takes it for a finished step.
        if names:
            files.write_json(files.join(output, STATE), "being cleared")
        for name in sorted(names - {STATE}, key=lambda n: (n != manifest.NAME, n)):
            files.remove(files.join(output, name))
    files.make_dirs(output)


def _boot() -> str:
    """Which start of the machine this is: files that were written before a crash of it, and not yet
    on the disk, may have their size and not their content."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as told:
            return told.read().strip()
    except OSError:
        return "unknown"
