"""The commands of docs/dataflow.md and docs/flink.md are ones that the launcher takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipeline import plan, recipe
from stages.cli import _command
from stages.engine import options
from stages.engine.options import Engine, check_options, check_places
from stages.engine.step import Step
from stages.registry import stage_class
from tests.data_paths import REPO

_OF_CORPUS = {"--work", "--set", "--runner"}


def commands() -> list[list[str]]:
    """Each documented command that runs a recipe or a stage, in words, without the program."""
    found = []
    for name in ("dataflow.md", "flink.md"):
        for block in re.findall(
            r"^```\n(.*?)^```", (REPO / "docs" / name).read_text(), re.M | re.S
        ):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] in ([".venv/bin/corpus"], [".venv/bin/python"]) and "pip" not in words:
                    found.append(words[1:])
    return found


@pytest.mark.parametrize("words", commands(), ids=lambda w: " ".join(w[:3]))
def test_a_documented_command_is_taken(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As on a machine where everything is installed, and file systems in the cloud are there.
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(options.shutil, "which", lambda name: name)
    (tmp_path / "server.jar").touch()
    monkeypatch.setenv(options.FLINK_JAR, str(tmp_path / "server.jar"))
    if words[0] == "run":
        given = [(words[i], words[i + 1]) for i in range(2, len(words), 2)]
        values = {k: [v for name, v in given if name == k] for k in _OF_CORPUS}
        (work,), (runner,) = values["--work"], values["--runner"]
        steps = plan.steps(recipe.load(words[1], work, values["--set"])[0], work)
        assert len(steps) > 5
        beam = [part for pair in given if pair[0] not in _OF_CORPUS for part in pair]
    else:
        name, arguments = words[2], words[3:]
        assert words[:2] == ["-m", "stages"]
        command = _command(stage_class(name))
        context = command.make_context(name, list(arguments))
        runner, beam = context.params["runner"], context.args
        inputs = {"input": list(context.params["port_input"])}
        steps = [Step(name=name, stage=name, inputs=inputs, output=context.params["output"])]
    engine = Engine(runner=runner, options=tuple(beam))
    check_options(engine)
    monkeypatch.setattr(options.files, "filesystem", lambda path: (None, path))
    check_places(engine, steps)


def test_there_are_such_commands() -> None:
    assert len(commands()) >= 6
