"""The command line. Options are the fields of the settings, so both are described once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from trainer_min.config import PRESETS, TrainSettings
from trainer_min.errors import RefusedError, RunError, StoppedError

DONE, FAILED, REFUSED, STOPPED = 0, 1, 2, 143


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RefusedError(f"{message} (see {self.prog} --help)")


def _placeholder(field: FieldInfo) -> str:
    kinds = get_args(field.annotation) or (field.annotation,)
    if get_origin(field.annotation) is Literal:
        return "{" + ",".join(map(str, kinds)) + "}"
    return next(getattr(k, "__name__", "value") for k in kinds if k is not type(None)).upper()


def _describe(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    shown = field.default not in (None, False, True) and not field.is_required()
    return f"{text} [{field.default}]" if shown else text


def add_settings(parser: argparse.ArgumentParser, settings: type[BaseModel]) -> None:
    """Adds one option a field, `--like-this` for `like_this`; pydantic converts and checks."""
    for name, field in settings.model_fields.items():
        option = "--" + name.replace("_", "-")
        common: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
        if field.annotation is bool:
            action = argparse.BooleanOptionalAction
            parser.add_argument(option, action=action, help=_describe(field), **common)
        else:
            metavar = _placeholder(field)
            parser.add_argument(option, metavar=metavar, help=_describe(field), **common)


def _one_line(error: ValidationError) -> str:
    parts = []
    for problem in error.errors(include_url=False):
        option = "--" + str(problem["loc"][0]).replace("_", "-") if problem["loc"] else ""
        if problem["type"] == "missing":
            parts.append(f"{option} is needed")
        elif problem["type"] == "value_error":
            parts.append(problem["msg"].removeprefix("Value error, "))
        else:
            parts.append(f"{option} {problem['input']}: {problem['msg']}")
    return "; ".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m trainer_min", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser(
        "train",
        allow_abbrev=False,
        help="train a model on token shards",
        description="Trains a LLaMA model on the token shards of a corpus run. One process as "
        "`python -m trainer_min train ...`, more with `torchrun --nproc_per_node N -m trainer_min "
        "train ...`; the data and, within rounding, the losses are the same.",
        epilog="Exit codes: 0 done, 1 the run failed, 2 arguments, corpus or checkpoint refused, "
        "143 saved and stopped by a signal. (torchrun has its own: 1 for all but 0.)",
    )
    train.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        help="settings to start from; options given beside it win",
    )
    add_settings(train, TrainSettings)
    return parser


def settings_from(options: dict[str, Any]) -> TrainSettings:
    """Settings from parsed options, over those of `preset`.

    Raises:
        RefusedError: with one line that names each option that is missing or wrong.
    """
    preset = options.pop("preset", None)
    try:
        settings = TrainSettings(**(PRESETS[preset] if preset else {}) | options)
        settings.mixture()
    except ValidationError as error:
        raise RefusedError(_one_line(error)) from error
    except ValueError as error:
        raise RefusedError(f"--weights: {error}") from error
    return settings


def _train(options: dict[str, Any]) -> None:
    settings = settings_from(options)
    # Read when torch is loaded: a thread that waits by spinning takes the core that another process
    # of this run, or of another program, needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch takes seconds to import: wrong arguments and --help should not wait for it.
    from trainer_min.parallel import open_world
    from trainer_min.train import train

    with open_world(settings.device, settings.threads, settings.replicas) as world:
        train(settings, world)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    try:
        options = vars(_parser().parse_args(arguments))
        {"train": _train}[options.pop("command")](options)
    except (RefusedError, RunError) as error:
        if os.environ.get("RANK", "0") == "0":  # once, not once a process
            print(f"trainer_min: {error}", file=sys.stderr)
        return REFUSED if isinstance(error, RefusedError) else FAILED
    except StoppedError as stop:
        if os.environ.get("RANK", "0") == "0":
            print(f"trainer_min: {stop}", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print("trainer_min: interrupted; --resume auto goes on from there", file=sys.stderr)
        return 130
    return DONE
