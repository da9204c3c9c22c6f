"""Export and import: the same logits as transformers' own LLaMA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenizer.cli import main as tokenizer_main
from tokenizer.encode import Encoder
from trainer_min import checkpoint, hugging_face, mmlu, ready
from trainer_min.cli import main
from trainer_min.config import SIZES
from trainer_min.errors import RefusedError
from trainer_min.generate import PROMPTS
from trainer_min.mmlu import Question
from trainer_min.model import Transformer

from .conftest import lines
from .test_train import arguments, column, logged


def tokens() -> torch.Tensor:
    return torch.randint(3, 300, (2, 33), generator=torch.Generator().manual_seed(0))


def newest(run: Path) -> checkpoint.Saved:
    found = checkpoint.newest(run / "checkpoints")
    assert found is not None
    return checkpoint.read(found)


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hf") / "run"
    assert main(arguments(corpus, out, steps=3)) == 0
    return out


def ours(saved: checkpoint.Saved) -> Transformer:
    model = Transformer(hugging_face.config_of(saved))
    checkpoint.load(saved, model, None)
    return model.eval()


def theirs(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def test_logits_are_those_of_transformers(run: Path, tmp_path: Path) -> None:
    saved = newest(run)
    hugging_face.export(saved, tmp_path / "hf", None, "float32")
    mine, other = ours(saved)(tokens()), theirs(tmp_path / "hf")(tokens()).logits
    assert (mine - other).abs().max() < 1e-5
    assert mine.abs().max() > 0.1


@torch.no_grad()
def test_transformers_25199_rows_in_the_wrong_order_show(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hugging_face, "to_halves", lambda weight, heads: weight)
    saved = newest(run)
    hugging_face.export(saved, tmp_path / "hf", None, "float32")
    assert (ours(saved)(tokens()) - theirs(tmp_path / "hf")(tokens()).logits).abs().max() > 1e-3


def test_there_and_back(
    run: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several files, as a large model's; and a run can begin with them."""
    monkeypatch.setattr(hugging_face, "_FILE_BYTES", 1 << 20)
    saved = newest(run)
    written = hugging_face.export(saved, tmp_path / "hf", None, "float32")
    assert len([p for p in written if p.suffix == ".safetensors"]) > 2
    index = json.loads((tmp_path / "hf" / "model.safetensors.index.json").read_text())
    config = hugging_face.read_config(tmp_path / "hf")
    assert config == hugging_face.config_of(saved)
    assert index["metadata"]["total_size"] == 4 * config.parameters()
    model = Transformer(config)
    hugging_face.load_weights(tmp_path / "hf", model)
    for (name, a), (_, b) in zip(
        model.named_parameters(), ours(saved).named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name
    out = tmp_path / "tuned"
    given = {"init_from": tmp_path / "hf", "steps": 1, "warmup": 0, "lr": 1e-9}
    assert main(arguments(corpus, out, **given)) == 0
    assert column(out, "loss")[0] < column(run, "loss")[0]


@pytest.mark.parametrize("size", ["7B", "13B", "33B", "65B"])
def test_torchtitan_2137_each_size_has_its_own_config(size: str) -> None:
    shape = SIZES[size].model(32_000)
    found = hugging_face.config_json(shape, 2048, torch.float16)
    assert found["rms_norm_eps"] == (1e-5 if size == "65B" else 1e-6)
    assert (
        found["intermediate_size"] == {"7B": 11008, "13B": 13824, "33B": 17920, "65B": 22016}[size]
    )
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**found))
    assert sum(p.numel() for p in model.parameters()) == shape.parameters()
    shapes = {
        theirs: hugging_face.shape_of(mine, shape)
        for mine, theirs in hugging_face.names(shape).items()
    }
    assert shapes == {name: p.shape for name, p in model.named_parameters()}


def test_other_models_are_refused(tmp_path: Path) -> None:
    good = hugging_face.config_json(SIZES["debug"].model(300), 64, torch.float32)
    for change, said in (
        ({"num_key_value_heads": 2}, "num_key_value_heads is 2"),
        ({"model_type": "mistral"}, "model_type"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rotary embedding is scaled"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"hidden_size": "x"}, "no config.json"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(good | change))
        with pytest.raises(RefusedError, match=said):
            hugging_face.read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(good))
    with pytest.raises(RefusedError, match="no weights"):
        hugging_face.load_weights(tmp_path, Transformer(hugging_face.read_config(tmp_path)))
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.norm.weight": "../../etc/passwd"}})
    )
    with pytest.raises(RefusedError, match="elsewhere"):
        hugging_face.load_weights(tmp_path, Transformer(hugging_face.read_config(tmp_path)))


@pytest.fixture(scope="module")
def spoken_run(spoken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spoken-run") / "run"
    given = {"steps": 30, "warmup": 3, "sample_tokens": 8, "seq_len": 64, "batch": 4}
    assert main(arguments(spoken, out, **given)) == 0
    return out


def test_the_tokenizer_goes_along_and_must_be_the_runs(
    run: Path, spoken: Path, spoken_run: Path, tmp_path: Path
) -> None:
    model = spoken / "tokenizer.model"
    with pytest.raises(RefusedError, match="has sha256"):
        hugging_face.export(newest(run), tmp_path / "hf", model, "float32")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(RefusedError, match="not empty"):
        hugging_face.export(newest(run), tmp_path / "full", None, "float32")
    with pytest.raises(RefusedError, match="neither a run"):
        ready.load(tmp_path / "full", model, "cpu", "float32")
    out = tmp_path / "exported"
    assert main(["export", "--run", str(spoken_run), "--out", str(out)]) == 0
    assert (out / "tokenizer.model").read_bytes() == model.read_bytes()
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(out)
    mine = Encoder(model)
    for text in [*lines(20), "  two  spaces", "digits 123", "unseen ß 字"]:
        assert theirs(text)["input_ids"] == mine.encode(text).tolist()


def test_generate_writes_what_the_training_sampled(
    spoken_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the run, and from its export: greedy, so the same text."""
    (record,) = logged(spoken_run, "samples")
    assert len(record["texts"]) == len(PROMPTS)
    assert record["texts"][0].startswith(PROMPTS[0])
    assert main(["generate", "--model", str(spoken_run), "--tokens", "8", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert [text for text in record["texts"] if text not in said] == []
    out = tmp_path / "hf"
    assert main(["export", "--run", str(spoken_run), "--out", str(out), "--dtype", "float32"]) == 0
    prompt = ["--prompt", "the sun", "--tokens", "9", "--device", "cpu"]
    capsys.readouterr()
    written = []
    for extra in ([], ["--temperature", "1", "--seed", "4"], ["--temperature", "1", "--seed", "5"]):
        assert main(["generate", "--model", str(spoken_run), *prompt, *extra]) == 0
        written.append(capsys.readouterr().out)
    assert len(set(written)) == 3 and all(text.startswith("the sun") for text in written)


def test_mmlu_of_a_run_and_of_a_folder(
    spoken_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("dev", "test"):
        (tmp_path / split).mkdir()
        rows = "".join(f"the sun {i} is,a,b,c,d,{'ABCD'[i % 4]}\n" for i in range(5))
        (tmp_path / split / f"virology_{split}.csv").write_text(rows)
    given = ["--data", str(tmp_path), "--subjects", "virology", "--shots", "1", "--device", "cpu"]
    out = tmp_path / "found.json"
    assert main(["mmlu", "--model", str(spoken_run), *given, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "virology" in said and "of 5" in said and "guessing" in said
    assert json.loads(out.read_text())["categories"]["Other"]["questions"] == 5
    assert main(["mmlu", "--model", str(spoken_run), *given[:2], "--shots", "9"]) == 2


def test_the_answer_is_one_forward_of_the_same_model(
    spoken_run: Path, spoken: Path, tmp_path: Path
) -> None:
    """The letters' order by our scorer is that of transformers' logits, for the exported model."""
    out = tmp_path / "hf"
    hugging_face.export(newest(spoken_run), out, spoken / "tokenizer.model", "float32")
    model = ready.load(spoken_run, None, "cpu", "float32")
    questions = [Question(f"the moon {i}", ("x", "y", "z", "w"), "A") for i in range(6)]
    prompts = [
        mmlu.fitted("virology", questions[: i % 2], q, model)[0] for i, q in enumerate(questions)
    ]
    letters = mmlu.letter_ids(model.encoder)
    other = theirs(out)
    with torch.no_grad():
        best = [int(other(torch.tensor([ids])).logits[0, -1, letters].argmax()) for ids in prompts]
    assert mmlu.answers(model, prompts, 4) == ["ABCD"[i] for i in best]


def test_a_quarantined_step_is_left_out_by_the_resumed_run(corpus: Path, tmp_path: Path) -> None:
    assert main(arguments(corpus, tmp_path, stop_at=2, save_every=1)) == 0
    for more in (["--step", "4"], ["--first", "11", "--last", "12"]):
        tokenizer_main(["ledger", "quarantine", str(tmp_path), *more, "--reason", "spike"])
    assert main(arguments(corpus, tmp_path, resume="auto")) == 0
    assert column(tmp_path, "skipped") == [False, False, False, True, False, False]
