from __future__ import annotations

import csv
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.data_paths import SHARED_DATA
from trainer_min import mmlu
from trainer_min.errors import RefusedError
from trainer_min.mmlu import CATEGORIES, LETTERS, Question, Score

SIZES = ("7B", "13B", "33B", "65B")
# LLaMA paper, Table 9: Humanities, STEM, Social Science, Other, Average.
TABLE_9 = {
    "7B": (34.0, 30.5, 38.3, 38.1, 35.1),
    "13B": (45.0, 35.8, 53.8, 53.3, 46.9),
    "33B": (55.8, 46.0, 66.7, 63.4, 57.8),
    "65B": (61.8, 51.7, 72.9, 67.4, 63.4),
}


def table_16() -> list[dict[str, str]]:
    """LLaMA paper, Table 16: accuracy by subject; and the questions each subject has."""
    with (Path(__file__).parent / "mmlu_table16.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("size", SIZES)
def test_table_16_gives_table_9(size: str) -> None:
    """All 20 figures: averages over questions, anatomy under Other."""
    scores = {
        row["subject"]: Score(float(row[size]) / 100 * int(row["questions"]), int(row["questions"]))
        for row in table_16()
    }
    found = mmlu.by_category(scores)
    assert tuple(round(100 * score.accuracy, 1) for score in found.values()) == TABLE_9[size]
    assert found["Average"].asked == 14_042
    macro = sum(s.accuracy for s in scores.values()) / len(scores)
    assert round(100 * macro, 1) != TABLE_9[size][-1], "an average over subjects is another figure"


def test_the_categories_hold_every_subject_once() -> None:
    subjects = [s for names in CATEGORIES.values() for s in names]
    assert len(subjects) == len(set(subjects)) == 57
    assert set(subjects) == {row["subject"] for row in table_16()}


def test_the_standard_error_of_the_7b() -> None:
    score = Score(0.351 * 14_042, 14_042)
    assert 100 * score.standard_error == pytest.approx(0.40, abs=0.005)


EXAMPLE = Question("One plus one?", ("1", "2", "3", "4"), "B")
ASKED = Question("Two plus\ntwo?", ("1", "2", "3", "4"), "D")


def test_the_prompt_to_the_byte() -> None:
    assert mmlu.prompt("high_school_physics", [EXAMPLE], ASKED) == (
        "The following are multiple choice questions (with answers) about  high school physics.\n\n"
        "One plus one?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B\n\n"
        "Two plus\ntwo?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    )


def test_both_layouts_of_the_files(tmp_path: Path) -> None:
    plain, headed = tmp_path / "plain.csv", tmp_path / "headed.csv"
    plain.write_text('"a, b?",1,"x\ny",3,4,B\nq,,2,3,4,D\n')
    headed.write_text(
        'question,choice0,choice1,choice2,choice3,answer\n"a, b?",1,"x\ny",3,4,1\nq,,2,3,4,3\n'
    )
    expected = [
        Question("a, b?", ("1", "x\ny", "3", "4"), "B"),
        Question("q", ("", "2", "3", "4"), "D"),
    ]
    assert mmlu.read_questions(plain) == mmlu.read_questions(headed) == expected


@pytest.mark.parametrize("row", ["q,1,2,3,4", "q,1,2,3,4,E", "q,1,2,3,4,4", "", "q,1,2,3,4,B,x"])
def test_damaged_files_are_refused_with_the_row(tmp_path: Path, row: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"q,1,2,3,4,A\n{row}\nq,1,2,3,4,A\n")
    with pytest.raises(RefusedError, match="row 2"):
        mmlu.read_questions(path)


class Words:
    """An encoder of one id a word; a letter after a space is one id, as in LLaMA's."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def encode(self, text: str) -> Any:
        words = text.replace("\n", " \n ").split(" ")
        return torch.tensor([self.known.setdefault(w, len(self.known) + 10) for w in words if w])


class Model:
    """Answers with the letter that stands after "right" in the question."""

    def __init__(self, encoder: Words) -> None:
        self.encoder = encoder

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*rows.shape, 500)
        names = {v: k for k, v in self.encoder.known.items()}
        for row, place in ((r, p) for r in range(len(rows)) for p in range(rows.shape[1])):
            seen = [names.get(int(i), "") for i in rows[row, : place + 1]]
            wanted = [seen[i + 1] for i, w in enumerate(seen[:-1]) if w == "right"]
            if wanted and wanted[-1] in LETTERS:
                logits[row, place, self.encoder.known[wanted[-1]]] = 1.0
            logits[row, place, 0] = 9.0  # the likeliest id of all is no letter
        return logits


def ready(longest: int = 400) -> Any:
    encoder = Words()
    return SimpleNamespace(
        model=Model(encoder),
        encoder=encoder,
        start=1,
        longest=longest,
        device=torch.device("cpu"),
        name="m",
    )


def test_the_letter_with_the_highest_probability_after_answer() -> None:
    asked = [
        Question(f"right {x} ?{'!' * i}", ("a", "b", "c", "d"), x) for i, x in enumerate("BDAC")
    ]
    subject = ready()
    prompts = [mmlu.fitted("x", [EXAMPLE] * n, q, subject)[0] for n, q in enumerate(asked)]
    assert len({len(p) for p in prompts}) > 1, "padding must not matter"
    for batch in (1, 3):
        assert mmlu.answers(subject, prompts, batch) == ["B", "D", "A", "C"]


def test_too_long_prompts_have_fewer_examples() -> None:
    whole = ready()
    one = len(mmlu.fitted("x", [], ASKED, whole)[0])
    two = len(mmlu.fitted("x", [EXAMPLE], ASKED, whole)[0])
    ids, shots = mmlu.fitted("x", [EXAMPLE] * 5, ASKED, ready(longest=two + 1))
    assert (len(ids), shots) == (two, 1)
    ids, shots = mmlu.fitted("x", [EXAMPLE] * 5, ASKED, ready(longest=one - 2))
    assert (len(ids), shots) == (one - 2, 0) and ids[0] == 1


def test_lm_eval_614_the_letters_follow_a_space() -> None:
    class Pieces:
        def encode(self, text: str) -> Any:
            return torch.tensor(
                [1, *([2, 3] if text.endswith(" A") else [4] * text.endswith(" B"))]
            )

    with pytest.raises(RefusedError, match="no single pieces"):
        mmlu.letter_ids(Pieces())  # type: ignore[arg-type]


def test_llamas_letters() -> None:
    path = SHARED_DATA / "models" / "llama" / "tokenizer.model"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    from tokenizer.encode import Encoder

    assert mmlu.letter_ids(Encoder(path, "sentencepiece")) == [319, 350, 315, 360]


def test_a_small_mmlu(tmp_path: Path) -> None:
    for split, texts in (("dev", "ABCDA"), ("test", "BBC")):
        (tmp_path / "d" / split).mkdir(parents=True)
        rows = "".join(f"right {x} ,a,b,c,d,{x}\n" for x in texts)
        (tmp_path / "d" / split / f"virology_{split}.csv").write_text(rows)
    with (tmp_path / "d" / "test" / "virology_test.csv").open("a") as stream:
        stream.write("right A ,a,b,c,d,D\n")
    ((subject, score, fewer),) = mmlu.evaluate(ready(), tmp_path, subjects=["virology"])
    assert (subject, score, fewer) == ("virology", Score(3, 4), 0)
    assert math.isclose(mmlu.by_category({subject: score})["Other"].accuracy, 0.75)
    with pytest.raises(RefusedError, match="no subject is called x"):
        list(mmlu.evaluate(ready(), tmp_path, subjects=["x"]))
    with pytest.raises(RefusedError, match="has 5 examples, not 6"):
        list(mmlu.evaluate(ready(), tmp_path, subjects=["virology"], shots=6))
    with pytest.raises(RefusedError, match="no folders dev and test"):
        list(mmlu.evaluate(ready(), tmp_path / "d" / "dev"))


def test_the_real_files_are_read() -> None:
    if not (SHARED_DATA / "eval" / "mmlu").exists():
        pytest.skip("no MMLU in the data folder")
    folder = mmlu.find_data(SHARED_DATA / "eval" / "mmlu")
    for row in table_16():
        questions = mmlu.read_questions(folder / "test" / f"{row['subject']}_test.csv")
        assert len(questions) == int(row["questions"])
        assert len(mmlu.read_questions(folder / "dev" / f"{row['subject']}_dev.csv")) == 5
