"""`python -m stages list` and `python -m stages NAME ...`: any stage alone, on any runner."""

from __future__ import annotations

import contextlib
import logging
import sys
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

import click
import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from stages import registry
from stages.engine import files, yaml_core
from stages.engine.console import StepProgress, plain_width, step_table
from stages.engine.execute import (
    LOCAL,
    Engine,
    Executor,
    StageError,
    check_options,
    check_places,
)
from stages.engine.manifest import ManifestError
from stages.engine.memory import LEAST_MB, bounded
from stages.engine.options import STALL_S, place_problem
from stages.engine.run import run_step
from stages.engine.step import MAX_BAD, WRONG_PLACE, InputError, Layout, Port, Stage, Step, plain

# An output or input that cannot be what it was given as; other OSErrors befall good arguments.


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 the work failed, 2 bad arguments or inputs."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        _Commands(name="stages", help=__doc__).main(
            args=list(sys.argv[1:] if arguments is None else arguments),
            prog_name="python -m stages",
            standalone_mode=False,
        )
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if error.format_message():
            print(f"error: {error.format_message()}", file=sys.stderr)
        return 2
    except (InputError, ManifestError, *WRONG_PLACE) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (StageError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except (ImportError, ValueError) as error:
        if not (problem := place_problem(error)):
            raise
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("stopped; finished units are kept, the same command goes on", file=sys.stderr)
        return 1
    return 0


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["list", *sorted(registry.STAGES)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "list":
            return click.Command("list", callback=_list, help="all stages, a line each")
        return _command(registry.stage_class(name))


def _list() -> None:
    table = Table("stage", "version", "inputs", "what it does", box=None)
    for name in sorted(registry.STAGES):
        stage = registry.stage_class(name)
        table.add_row(name, str(stage.version), ", ".join(stage.ports), stage.summary)
    Console().print(table)


def _command(stage: type[Stage[Any]]) -> click.Command:
    options: list[click.Parameter] = [
        _port_option(name, port) for name, port in stage.ports.items()
    ]
    options += [
        click.Option(["--output"], required=True, help="folder of the step; made if absent"),
        click.Option(["--name"], help="name of the step in manifests [default: the stage's]"),
        click.Option(
            ["--workers"], type=click.IntRange(1), help="local processes [default: all cores]"
        ),
        click.Option(
            ["--worker-memory-mb"],
            type=click.IntRange(LEAST_MB),
            help="memory of one worker, MiB [default: no bound]",
        ),
        click.Option(
            ["--stall-s"],
            type=click.FloatRange(0),
            default=STALL_S,
            show_default=True,
            help="seconds after which a local worker that does nothing is killed; 0: never",
        ),
        click.Option(
            ["--runner"], default=LOCAL, show_default=True, help="a Beam runner, or `local`"
        ),
        click.Option(
            ["--max-bad"],
            type=click.FloatRange(0, 1),
            default=MAX_BAD,
            show_default=True,
            help="share of the records that may be bad before the step fails",
        ),
    ]
    options += [_setting_option(n, f, "setting") for n, f in _settings(stage).items()]
    options += [_setting_option(n, f, "layout") for n, f in Layout.model_fields.items()]

    def run(**values: Any) -> None:
        _run(stage, values, click.get_current_context().args)

    reasons = "\n".join(f"  {k}: {v}" for k, v in stage.reasons.items())
    return click.Command(
        stage.name,
        params=options,
        callback=run,
        help=stage.summary,
        epilog=f"\b\nReasons for rejection:\n{reasons}" if reasons else None,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


def _settings(stage: type[Stage[Any]]) -> dict[str, FieldInfo]:
    """Settings that can be typed; what is an input too is given as that."""
    return {n: f for n, f in stage.Settings.model_fields.items() if n not in stage.ports}


def _port_option(name: str, port: Port) -> click.Option:
    return click.Option(
        [f"--{name.replace('_', '-')}", f"port_{name}"],
        multiple=True,
        help=f"{port.help} (may be given several times)",
        required=port.required,
    )


def _setting_option(name: str, field: FieldInfo, kind: str) -> click.Option:
    default = field.get_default(call_default_factory=True)
    shown = yaml.safe_dump(plain(default), default_flow_style=True, width=1 << 30).splitlines()[0]
    return click.Option(
        [f"--{name.replace('_', '-')}", f"{kind}_{name}"],
        metavar=_metavar(field.annotation),
        help=f"{field.description or ''} [default: {shown}]",
    )


def _metavar(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return "|".join(str(a) for a in get_args(annotation))
    if origin in (Union, types.UnionType):
        return "|".join(_metavar(a) for a in get_args(annotation) if a is not type(None))
    if origin in (tuple, list, frozenset, set):
        return "LIST"
    return getattr(annotation, "__name__", str(annotation)).upper()


def parse_value(annotation: Any, text: str) -> Any:
    """A setting as typed: a YAML value, else a list with commas, else the bare text, whichever the
    setting can be. The first of them where none fits, for the complaint."""
    candidates: list[Any] = [[part.strip() for part in text.split(",")], text]
    with contextlib.suppress(ValueError):
        candidates.insert(0, yaml_core.parse(text))
    fits = TypeAdapter(annotation)
    for candidate in candidates:
        with contextlib.suppress(ValidationError):
            fits.validate_python(candidate)
            return candidate
    return candidates[0]


def _run(stage: type[Stage[Any]], values: dict[str, Any], beam_options: list[str]) -> None:
    def chosen(kind: str, fields: dict[str, FieldInfo]) -> dict[str, Any]:
        given = {name: values[f"{kind}_{name}"] for name in fields}
        return {
            name: parse_value(fields[name].annotation, text)
            for name, text in given.items()
            if text is not None
        }

    engine = Engine(
        **({"workers": values["workers"]} if values["workers"] else {}),
        runner=values["runner"],
        options=tuple(beam_options),
        worker_memory_mb=values["worker_memory_mb"],
        stall_s=values["stall_s"],
    )
    if beam_options and engine.local:
        raise InputError(
            f"no setting of {stage.name} is called {beam_options[0]} (see --help);"
            " Beam's own options need --runner"
        )
    check_options(engine)
    output = files.bare(values["output"]).rstrip("/") or "/"
    settings, layout = bounded(
        stage.Settings.model_fields,
        chosen("setting", _settings(stage)),
        chosen("layout", Layout.model_fields),
        engine.worker_memory_mb,
    )
    step = Step(
        name=values["name"] or stage.name,
        stage=stage.name,
        output=output,
        inputs={
            k.removeprefix("port_"): list(v) for k, v in values.items() if k[:5] == "port_" and v
        },
        settings=settings,
        layout=layout,
        progress=None if files.is_remote(output) or not engine.local else f"{output}.progress",
        max_bad=values["max_bad"],
    )
    check_places(engine, [step])
    registry.create(step)
    with Executor(engine) as executor, StepProgress() as progress:
        result = run_step(step, executor, progress.tick(step))
    plain_width(Console()).print(step_table([result.manifest], {step.name: result.skipped}))
