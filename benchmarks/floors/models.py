"""Floors of the steps that train models."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.floors.normal_forms import model_line
from benchmarks.floors.tables import Floor, Work, read, size_of


def language_model(parts: list[str], language: str, head_chars: int, out: str) -> Floor:
    import sentencepiece

    from stages.language_model.kenlm_tools import find_tools

    tools = find_tools()
    normalise = model_line()

    def run() -> Work:
        documents, lines, size = 0, [], 0
        for path in parts:
            table = read(path, ["text", "language"])
            for text, code in zip(
                table["text"].to_pylist(), table["language"].to_pylist(), strict=True
            ):
                documents += 1
                if code == language:
                    head = text[:head_chars]
                    size += len(head.encode())
                    lines.append(normalise(head.replace("\n", " ")))
        folder = Path(out)
        folder.mkdir(parents=True)
        with (folder / "sp.model").open("wb") as model:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="unigram",
                vocab_size=65_536,
                hard_vocab_limit=False,
                character_coverage=0.9995,
                num_threads=4,
                minloglevel=2,
            )
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))
        with (folder / "pieces").open("w") as stream:
            for line in lines:
                stream.write(" ".join(pieces.encode(line, out_type=str)) + "\n")
        options = ["--memory", "2G", "--temp_prefix", f"{out}/", "--vocab_estimate", "65536"]
        options += ["--discount_fallback", "--skip_symbols"]
        options += ["--text", str(folder / "pieces"), "--arpa", str(folder / "arpa")]
        for command in (
            [str(tools.lmplz), "--order", "5", *options],
            [str(tools.build_binary), "probing", str(folder / "arpa"), str(folder / "arpa.bin")],
        ):
            subprocess.run(command, check=True, capture_output=True)
        return Work(documents, size)

    return run


def tokenizer(parts: list[str], out: str) -> Floor:
    import sentencepiece

    from tokenizer.train import LLAMA_FLAGS

    def run() -> Work:
        texts = [text for path in parts for text in read(path, ["text"])["text"].to_pylist()]
        folder = Path(out)
        folder.mkdir(parents=True)
        with (folder / "tokenizer.model").open("wb") as model:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(line for text in texts for line in text.split("\n")),
                model_writer=model,
                vocab_size=32_000,
                hard_vocab_limit=False,
                character_coverage=0.99995,
                input_sentence_size=200_000_000,
                num_threads=16,
                minloglevel=2,
                **LLAMA_FLAGS,
            )
        return Work(len(texts), size_of(texts))

    return run
