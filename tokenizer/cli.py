"""`python -m tokenizer`: train a tokenizer, use it, and look into models and token shards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from typer.exceptions import TyperException
from typer.main import get_command

from tokenizer import inspection, ledger_cli
from tokenizer.encode import Encoder
from tokenizer.files import file_system, read_bytes
from tokenizer.inputs import expand, read_texts
from tokenizer.sample import SampleRule
from tokenizer.train import TokenizerSettings, train_tokenizer

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True)
app.add_typer(ledger_cli.app, name="ledger")

Model = Annotated[str, typer.Option("--model", "-m", help="SentencePiece model file.")]
Files = Annotated[list[str] | None, typer.Argument(help="Files; standard input if none.")]


@app.command()
def train(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Globs of .txt, .jsonl or .parquet files, or compressed ones."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Model file to write.")],
    column: Annotated[str, typer.Option(help="Parquet column or JSON key of the text.")] = "text",
    vocab_size: Annotated[int, typer.Option(help="Pieces (LLaMA: 32,000).")] = 32_000,
    long_lines: Annotated[
        str, typer.Option(help="`skip` (as LLaMA did) or `split` lines over 4,192 bytes.")
    ] = "skip",
    rate: Annotated[float, typer.Option(help="Share of the texts to train on, by hash.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of that draw.")] = 0,
) -> None:
    """Train a tokenizer with LLaMA's settings; prints what came out as JSON."""
    settings = TokenizerSettings.model_validate(
        {"vocab_size": vocab_size, "long_lines": long_lines}
    )
    rule = SampleRule(rate, seed)
    texts = read_texts(expand(inputs), column)
    info = train_tokenizer((t.text for t in texts if rule.keep(t.id)), out, settings)
    for note in info.notes:
        print(f"note: {note}", file=sys.stderr)
    print(info.model_dump_json(indent=1))


@app.command()
def encode(
    model: Model,
    files: Files = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line is a text.")] = False,
    pieces: Annotated[bool, typer.Option("--pieces", help="Print pieces (JSON).")] = False,
) -> None:
    """Print the ids of texts, one line a text; no `<s>` or `</s>` is added."""
    encoder = Encoder(model)
    for name, content in _contents(files):
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: byte {error.start} is not UTF-8") from error
        for one in _split(text) if lines else [text]:
            ids = encoder.encode(one)
            if pieces:
                print(orjson.dumps(encoder.pieces(ids)).decode())
            else:
                print(" ".join(map(str, ids.tolist())))


@app.command()
def decode(model: Model, files: Files = None) -> None:
    """Print the texts of ids as `encode` prints them, with a newline between texts."""
    encoder = Encoder(model, "sentencepiece")
    out = sys.stdout.buffer
    first = True
    for name, content in _contents(files):
        for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
            try:
                text = encoder.decode([int(word) for word in line.split()])
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{name}: line {number}: {error}") from error
            out.write((b"" if first else b"\n") + text.encode())
            first = False
    out.flush()


@app.command()
def inspect(
    path: Annotated[
        str, typer.Argument(help="A model file, a shard (.bin), or a manifest or its folder.")
    ],
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Read the shards through.")
    ] = True,
) -> None:
    """Show what a tokenizer model or a folder of token shards holds, and check it."""
    # Tables are not squeezed where no terminal sets a width.
    console = Console(width=None if sys.stdout.isatty() else 120)
    fs, place = file_system(path)
    if fs.isdir(place) or path.endswith(".json"):
        problems = inspection.show_shards(path, console, check=check)
    elif path.endswith(".bin"):
        problems = inspection.show_shard(path, console)
    else:
        problems = inspection.show_model(path, console)
    if problems:
        for problem in problems:
            print(f"tokenizer: {problem}", file=sys.stderr)
        raise typer.Exit(1)


def _contents(files: Sequence[str] | None) -> Iterator[tuple[str, bytes]]:
    if not files:
        yield "standard input", sys.stdin.buffer.read()
        return
    for url in expand(files):
        yield url, read_bytes(url)


def _split(text: str) -> list[str]:
    """Lines by newline alone; the end of the last line starts no further one."""
    return text.removesuffix("\n").split("\n") if text else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0, or 1 if a check failed, or 2 with one line for bad input."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal's encoding must not decide whether a text can be shown.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        code = get_command(app).main(
            list(sys.argv[1:] if arguments is None else arguments),
            prog_name="python -m tokenizer",
            standalone_mode=False,
        )
        return code if isinstance(code, int) else 0
    except TyperException as error:
        show = getattr(error, "format_message", error.__str__)
        return _refuse(show())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "--" + ".".join(str(part) for part in first["loc"]).replace("_", "-")
        return _refuse(f"{option}: {first['msg']}")
    except FileNotFoundError as error:
        return _refuse(f"{error.filename or error}: no such file")
    except BrokenPipeError:
        return 0
    except (ValueError, OSError) as error:
        return _refuse(str(error))


def _refuse(message: str) -> int:
    lines = message.strip().splitlines() or ["bad input"]
    print(f"tokenizer: {lines[0]}", file=sys.stderr)
    return 2
