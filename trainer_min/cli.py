"""The command line. Options are the fields of the settings, so both are described once."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from trainer_min.config import LLAMA_VOCABULARY, PRESETS, SIZES, TrainSettings
from trainer_min.errors import RefusedError, RunError, StoppedError
from trainer_min.plan import GPUS
from trainer_min.plan import lines as plan_lines

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
        if field.annotation in (bool, bool | None):
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
    _add_uses(commands)
    return parser


def _add_uses(commands: Any) -> None:
    """What is done with a trained model."""

    def command(name: str, help_: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, allow_abbrev=False, help=help_, description=help_)
        assert isinstance(made, argparse.ArgumentParser)
        return made

    def model(parser: argparse.ArgumentParser, *, dtype: str) -> None:
        parser.add_argument(
            "--model",
            type=Path,
            required=True,
            help="a run's folder (its newest checkpoint), a checkpoint, or a Hugging Face folder",
        )
        parser.add_argument(
            "--tokenizer", type=Path, help="tokenizer.model [that beside the run's corpus]"
        )
        parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
        parser.add_argument("--dtype", default=dtype, choices=["float32", "bfloat16", "float16"])

    export = command("export", "write a checkpoint as a Hugging Face LLaMA folder (safetensors)")
    export.add_argument("--run", type=Path, required=True, help="a run's folder, or a checkpoint")
    export.add_argument("--out", type=Path, required=True, help="the folder to make")
    export.add_argument(
        "--tokenizer", type=Path, help="tokenizer.model [that beside the run's corpus]"
    )
    export.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16", "float16"])

    generate = command("generate", "write on after a text")
    model(generate, dtype="float32")
    generate.add_argument("--prompt", action="append", help="[the paper's prompts, Appendix C]")
    generate.add_argument("--tokens", type=int, default=128, help="to write at most [128]")
    generate.add_argument("--temperature", type=float, default=0.0, help="0: the likeliest [0]")
    generate.add_argument("--top-p", type=float, default=0.95, help="with a temperature [0.95]")
    generate.add_argument("--seed", type=int, default=0)

    mmlu = command("mmlu", "MMLU as Hendrycks et al. run it and the paper reports it")
    model(mmlu, dtype="float32")
    mmlu.add_argument("--data", type=Path, required=True, help="folder with dev/ and test/")
    mmlu.add_argument("--shots", type=int, default=5, help="examples in the prompt [5]")
    mmlu.add_argument("--subjects", help="names with commas [all 57]")
    mmlu.add_argument("--limit", type=int, help="first questions of each subject [all]")
    mmlu.add_argument("--batch", type=int, default=8, help="prompts at once [8]")
    mmlu.add_argument("--out", type=Path, help="also write the results there as JSON")

    bench = command("bench", "tokens/s and MFU of the trainer, beside a plain loop; torchrun too")
    bench.add_argument("--model", default="134M", choices=sorted(SIZES), help="size [134M]")
    bench.add_argument("--seq-len", type=int, help="[the size's]")
    bench.add_argument("--micro-batch", type=int, default=8, help="[8]")
    bench.add_argument("--batch", type=int, help="sequences a step [micro-batch x processes]")
    bench.add_argument("--steps", type=int, default=20, help="that count [20]")
    bench.add_argument("--warm", type=int, default=5, help="before them [5]")
    bench.add_argument(
        "--activation-checkpoint", default="none", choices=["none", "linear", "full"]
    )
    bench.add_argument("--corpus", type=Path, help="token shards [random ones]")
    bench.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    bench.add_argument("--json", action="store_true", help="one line of JSON instead of a table")

    instruct = command("instruct", "prompts and responses (JSON lines) to a corpus for fine-tuning")
    instruct.add_argument("--input", type=Path, required=True, help="one JSON object a line")
    instruct.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.model")
    instruct.add_argument("--out", type=Path, required=True, help="folder to make; then train")
    instruct.add_argument("--prompt", default="prompt", help="name of the field [prompt]")
    instruct.add_argument("--response", default="response", help="name of the field [response]")
    instruct.add_argument(
        "--joint", default="\n", help="between prompt and response; not a label [a newline]"
    )
    instruct.add_argument(
        "--valid-share", type=float, default=0.0, help="prompts held out, by hash [0]"
    )
    instruct.add_argument("--seed", type=int, default=0)

    plan = command("plan", "what a run would take: memory, days, energy, and the size to train")
    plan.add_argument("--model", required=True, choices=sorted(SIZES), help="size")
    plan.add_argument("--tokens", type=float, help="[the size's: its steps]")
    plan.add_argument("--gpu", default="H100", choices=sorted(GPUS), help="[H100]")
    plan.add_argument("--gpus", type=int, default=8, help="[8]")
    plan.add_argument(
        "--mfu", type=float, default=0.4, help="share of the GPU's peak that training uses [0.4]"
    )
    plan.add_argument(
        "--inference-tokens", type=float, default=0, help="to be served by the trained model [0]"
    )


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


def _export(options: dict[str, Any]) -> None:
    from trainer_min import checkpoint, hugging_face, ready

    found = checkpoint.find(options["run"])
    if found is None:
        raise RefusedError(f"{options['run']}: no checkpoint here")
    tokenizer = ready.find_tokenizer(found, options["tokenizer"])
    saved = checkpoint.read(found)
    for path in hugging_face.export(saved, options["out"], tokenizer, options["dtype"]):
        print(f"{path.stat().st_size:>16,}  {path}")


def _generate(options: dict[str, Any]) -> None:
    if options["tokens"] < 1 or options["temperature"] < 0 or not 0 < options["top_p"] <= 1:
        raise RefusedError("--tokens is at least 1, --temperature not negative, --top-p in (0, 1]")
    from trainer_min.generate import PROMPTS, continuations
    from trainer_min.ready import load

    model = load(*(options[name] for name in ("model", "tokenizer", "device", "dtype")))
    prompts = options["prompt"] or PROMPTS
    ids = [[model.start, *model.encoder.encode(text).tolist()] for text in prompts]
    written = continuations(
        model.model,
        ids,
        options["tokens"],
        longest=model.longest,
        device=model.device,
        stop=model.encoder.eos_id,
        temperature=options["temperature"],
        top_p=options["top_p"],
        seed=options["seed"],
    )
    for before, after in zip(ids, written, strict=True):
        print(model.encoder.decode([*before[1:], *after]), end="\n\n")


def _mmlu(options: dict[str, Any]) -> None:
    limit = options["limit"]
    if options["batch"] < 1 or options["shots"] < 0 or (limit is not None and limit < 1):
        raise RefusedError("--batch and --limit are at least 1, --shots not negative")
    from trainer_min import mmlu
    from trainer_min.ready import load

    model = load(*(options[name] for name in ("model", "tokenizer", "device", "dtype")))
    subjects = options["subjects"].split(",") if options["subjects"] else None
    scores: dict[str, mmlu.Score] = {}
    for subject, score, fewer in mmlu.evaluate(
        model,
        options["data"],
        shots=options["shots"],
        subjects=subjects,
        limit=options["limit"],
        batch=options["batch"],
    ):
        scores[subject] = score
        note = f"  ({fewer} with fewer examples)" if fewer else ""
        print(f"{subject:<40} {_percent(score)}{note}", flush=True)
    for category, score in mmlu.by_category(scores).items():
        if score.asked:
            print(f"{category:<40} {_percent(score)}")
    print("guessing would have 25.0 %; averages are over questions")
    if options["out"]:
        options["out"].write_text(mmlu.as_json(model.name, scores, options["shots"]) + "\n")


def _percent(score: Any) -> str:
    error = f"± {100 * score.standard_error:.1f}"
    return f"{100 * score.accuracy:6.1f} % {error:>6} of {score.asked:,}"


def _bench(options: dict[str, Any]) -> None:
    for name in ("seq_len", "micro_batch", "batch", "steps", "warm"):
        if options[name] is not None and options[name] < 1:
            raise RefusedError(f"--{name.replace('_', '-')} is at least 1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from trainer_min import bench
    from trainer_min.parallel import open_world

    with open_world(options["device"]) as world:
        told = {
            "seq_len": options["seq_len"] or SIZES[options["model"]].seq_len,
            "micro_batch": options["micro_batch"],
            "batch": options["batch"] or options["micro_batch"] * world.size,
            "steps": options["steps"],
            "warm": options["warm"],
            "recompute": options["activation_checkpoint"],
        }
        found = list(bench.measure(options["model"], world, corpus=options["corpus"], **told))
        if world.first and options["json"]:
            print(bench.as_json(found, options["model"], world))
        elif world.first:
            print("\n".join(bench.lines(found, options["model"], world, **told)))


def _instruct(options: dict[str, Any]) -> None:
    from trainer_min.instruct import write

    if not 0 <= options["valid_share"] < 1:
        raise RefusedError("--valid-share is from 0 to below 1")
    names = ("prompt", "response", "joint", "valid_share", "seed")
    out = options["out"]
    counts = write(
        options["input"], options["tokenizer"], out, **{name: options[name] for name in names}
    )
    train, valid = counts.documents["train"], counts.documents["valid"]
    print(
        f"{counts.read:,} examples read = {train:,} to train on + {valid:,} held out"
        f" + {len(counts.bad):,} bad; {counts.tokens:,} tokens, {counts.labels:,} of them labels"
    )
    for line in counts.bad:
        print(f"bad: {line}", file=sys.stderr)
    print(f"python -m trainer_min train --corpus {out} --init-from MODEL ...")


def _plan(options: dict[str, Any]) -> None:
    tokens, served = options["tokens"], options["inference_tokens"]
    if options["gpus"] < 1 or not 0 < options["mfu"] <= 1 or not 0 <= served < math.inf:
        raise RefusedError("--gpus is at least 1, --mfu in (0, 1], --inference-tokens not negative")
    if tokens is not None and not 0 < tokens < math.inf:
        raise RefusedError(f"--tokens {tokens:g}: a number above 0")
    size = SIZES[options["model"]]
    for line in plan_lines(
        options["model"],
        size.model(size.vocab_size or LLAMA_VOCABULARY),
        tokens=options["tokens"] or size.steps * size.batch * size.seq_len,
        gpu=GPUS[options["gpu"]],
        gpus=options["gpus"],
        mfu=options["mfu"],
        seq_len=size.seq_len,
        batch=size.batch,
        inference_tokens=options["inference_tokens"],
    ):
        print(line)


_COMMANDS = {
    "train": _train,
    "export": _export,
    "generate": _generate,
    "mmlu": _mmlu,
    "bench": _bench,
    "instruct": _instruct,
    "plan": _plan,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    try:
        options = vars(_parser().parse_args(arguments))
        _COMMANDS[options.pop("command")](options)
    except (RefusedError, RunError) as error:
        if os.environ.get("RANK", "0") == "0":  # once, not once a process
            print(f"trainer_min: {error}", file=sys.stderr)
        return REFUSED if isinstance(error, RefusedError) else FAILED
    except StoppedError as stop:
        if os.environ.get("RANK", "0") == "0":
            print(f"trainer_min: {stop}", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print("trainer_min: interrupted", file=sys.stderr)
        return 130
    return DONE
