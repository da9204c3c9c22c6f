"""Every shuffle of every stage by a relay: the same bytes as straight."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages import registry
from stages.engine import manifest, relay
from stages.engine.run import run_step
from stages.engine.step import ShuffleStage
from tests.runners import every_stage


@pytest.mark.slow
def test_every_stage_gives_the_same_bytes_by_a_relay(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = every_stage.write_recipe(tmp_path / "every.yaml", str(raw))
    for name in ("straight", "relayed"):
        if name == "relayed":
            monkeypatch.setattr(relay, "DIRECT", 0)
            monkeypatch.setattr(relay, "_LARGEST_SIDE", 3)
        for step in every_stage.steps(recipe, str(tmp_path / name)):
            run_step(step)
    straight = every_stage.digests(tmp_path / "straight")
    assert len(straight) > 100
    assert every_stage.differing(straight, every_stage.digests(tmp_path / "relayed")) == []
    relayed = set()
    for step in every_stage.steps(recipe, str(tmp_path / "relayed")):
        done = manifest.load(step.output)
        assert done is not None
        if "gather" in done.run["cpu_s_by_phase"]:
            relayed.add(step.stage)
    shuffles = {n for n in registry.STAGES if issubclass(registry.stage_class(n), ShuffleStage)}
    # It shuffles only with a setting that the recipe leaves alone.
    assert shuffles - relayed <= {"decontaminate"}
