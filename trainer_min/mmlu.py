"""MMLU, 5-shot, as Hendrycks et al. (2021) run it and the LLaMA paper reports it (section 3.6).

The prompt is theirs to the byte, with the two spaces before the subject. A question's answer is the
letter whose id has the highest probability after "Answer:"; averages are over questions, not over
subjects. Where a prompt is longer than the model's context, examples are left out, first to last
fewer, until it fits.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tokenizer.encode import Encoder
from trainer_min.errors import RefusedError
from trainer_min.ready import Ready

LETTERS = "ABCD"
CATEGORIES: dict[str, tuple[str, ...]] = {
    # The category of each subject in Hendrycks' code. LLaMA's Table 16 prints anatomy as STEM, but
    # its averages count it under Other, as here.
    "Humanities": (
        "formal_logic",
        "high_school_european_history",
        "high_school_us_history",
        "high_school_world_history",
        "international_law",
        "jurisprudence",
        "logical_fallacies",
        "moral_disputes",
        "moral_scenarios",
        "philosophy",
        "prehistory",
        "professional_law",
        "world_religions",
    ),
    "STEM": (
        "abstract_algebra",
        "astronomy",
        "college_biology",
        "college_chemistry",
        "college_computer_science",
        "college_mathematics",
        "college_physics",
        "computer_security",
        "conceptual_physics",
        "electrical_engineering",
        "elementary_mathematics",
        "high_school_biology",
        "high_school_chemistry",
        "high_school_computer_science",
        "high_school_mathematics",
        "high_school_physics",
        "high_school_statistics",
        "machine_learning",
    ),
    "Social Science": (
        "econometrics",
        "high_school_geography",
        "high_school_government_and_politics",
        "high_school_macroeconomics",
        "high_school_microeconomics",
        "high_school_psychology",
        "human_sexuality",
        "professional_psychology",
        "public_relations",
        "security_studies",
        "sociology",
        "us_foreign_policy",
    ),
    "Other": (
        "anatomy",
        "business_ethics",
        "clinical_knowledge",
        "college_medicine",
        "global_facts",
        "human_aging",
        "management",
        "marketing",
        "medical_genetics",
        "miscellaneous",
        "nutrition",
        "professional_accounting",
        "professional_medicine",
        "virology",
    ),
}


@dataclass(frozen=True)
class Question:
    """A question, its four choices, and the right letter."""

    text: str
    choices: tuple[str, str, str, str]
    answer: str


def read_questions(path: Path) -> list[Question]:
    """A file of Hendrycks' layout: question, four choices, letter; or with a header line and the
    answer as a number from 0, as Hugging Face's copy is exported.

    Raises:
        RefusedError: a line is not of either kind; it is named.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RefusedError(f"{path}: {error}") from error
    questions = []
    for number, row in enumerate(rows, 1):
        if number == 1 and row[:1] == ["question"] and row[-1:] == ["answer"]:
            continue
        letter = dict(zip("0123", LETTERS, strict=True)).get(row[-1], row[-1]) if row else ""
        if len(row) != 6 or letter not in tuple(LETTERS):
            raise RefusedError(f"{path}: row {number} is no question, four choices and a letter")
        questions.append(Question(row[0], (row[1], row[2], row[3], row[4]), letter))
    return questions


def find_data(path: Path) -> Path:
    """The folder with `dev` and `test`, at or below a path. Raises RefusedError."""
    for folder in (path, *(p.parent for p in sorted(path.glob("**/dev")))):
        if (folder / "dev").is_dir() and (folder / "test").is_dir():
            return folder
    raise RefusedError(f"{path}: no folders dev and test with SUBJECT_dev.csv and SUBJECT_test.csv")


def shown(question: Question, with_answer: bool) -> str:
    """A question as it stands in the prompt."""
    lines = [question.text, *(f"{x}. {c}" for x, c in zip(LETTERS, question.choices, strict=True))]
    return "\n".join(lines) + "\nAnswer:" + (f" {question.answer}\n\n" if with_answer else "")


def prompt(subject: str, examples: Sequence[Question], question: Question) -> str:
    """The whole prompt. Each word of the subject brings a space of its own, hence two of them."""
    name = "".join(f" {word}" for word in subject.split("_"))
    head = f"The following are multiple choice questions (with answers) about {name}.\n\n"
    return head + "".join(shown(e, True) for e in examples) + shown(question, False)


def letter_ids(encoder: Encoder) -> list[int]:
    """The ids of A, B, C, D as they follow "Answer:" (with the space: the bare letters are other
    pieces).

    Raises:
        RefusedError: this tokenizer needs more than one piece for one of them.
    """
    before = encoder.encode("Answer:").tolist()
    found = [encoder.encode(f"Answer: {letter}").tolist() for letter in LETTERS]
    if any(ids[: len(before)] != before or len(ids) != len(before) + 1 for ids in found):
        raise RefusedError("this tokenizer has no single pieces for the letters after a space")
    return [ids[-1] for ids in found]


def fitted(
    subject: str, examples: Sequence[Question], question: Question, ready: Ready
) -> tuple[list[int], int]:
    """The ids of the prompt with as many examples as the context holds, and their number.

    A question that is too long without any is cut at its beginning.
    """
    for shots in range(len(examples), -1, -1):
        text = prompt(subject, examples[:shots], question)
        ids = [ready.start, *ready.encoder.encode(text).tolist()]
        if len(ids) <= ready.longest:
            return ids, shots
    return [ready.start, *ids[1 - ready.longest :]], 0


@torch.no_grad()
def answers(ready: Ready, prompts: Sequence[Sequence[int]], batch: int) -> list[str]:
    """The model's letter for each prompt; prompts of like length run together."""
    letters = torch.tensor(letter_ids(ready.encoder), device=ready.device)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found = [""] * len(prompts)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        width = len(prompts[chosen[-1]])
        rows = [list(prompts[i]) + [0] * (width - len(prompts[i])) for i in chosen]
        ends = torch.tensor([len(prompts[i]) - 1 for i in chosen], device=ready.device)
        logits = ready.model(torch.tensor(rows, device=ready.device))
        last = logits[torch.arange(len(chosen), device=ready.device), ends]
        best = last.float()[:, letters].argmax(-1)
        for i, choice in zip(chosen, best.tolist(), strict=True):
            found[i] = LETTERS[choice]
    return found


@dataclass(frozen=True)
class Score:
    """Right answers of questions asked."""

    right: float
    asked: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked if self.asked else math.nan

    @property
    def standard_error(self) -> float:
        """Of the accuracy, binomial."""
        p = self.accuracy
        return math.sqrt(p * (1 - p) / self.asked) if self.asked else math.nan


def total(scores: Iterable[Score]) -> Score:
    """Over questions (micro average)."""
    every = list(scores)
    return Score(sum(s.right for s in every), sum(s.asked for s in every))


def by_category(scores: Mapping[str, Score]) -> dict[str, Score]:
    """The four categories and the average, as in the paper's Table 9, from scores by subject."""
    found = {
        category: total(scores[s] for s in subjects if s in scores)
        for category, subjects in CATEGORIES.items()
    }
    return found | {"Average": total(scores.values())}


def evaluate(
    ready: Ready,
    data: Path,
    *,
    shots: int = 5,
    subjects: Sequence[str] | None = None,
    limit: int | None = None,
    batch: int = 8,
) -> Iterator[tuple[str, Score, int]]:
    """Subject by subject: its name, its score, and how many prompts had fewer examples.

    Raises:
        RefusedError: files are missing or damaged, or a subject is unknown.
    """
    folder = find_data(data)
    known = [s for names in CATEGORIES.values() for s in names]
    if unknown := sorted(set(subjects or ()) - set(known)):
        raise RefusedError(f"no subject is called {unknown[0]}")
    for subject in sorted(subjects or known):
        examples = read_questions(folder / "dev" / f"{subject}_dev.csv")[:shots]
        if len(examples) < shots:
            raise RefusedError(f"{folder}: {subject} has {len(examples)} examples, not {shots}")
        questions = read_questions(folder / "test" / f"{subject}_test.csv")[:limit]
        prompts = [fitted(subject, examples, q, ready) for q in questions]
        given = answers(ready, [ids for ids, _ in prompts], batch)
        right = sum(a == q.answer for a, q in zip(given, questions, strict=True))
        yield subject, Score(right, len(questions)), sum(n < shots for _, n in prompts)


def as_json(name: str, scores: Mapping[str, Score], shots: int) -> str:
    """The results of a run."""

    def row(score: Score) -> dict[str, float]:
        return {
            "questions": score.asked,
            "accuracy": score.accuracy,
            "standard_error": score.standard_error,
        }

    return json.dumps(
        {
            "model": name,
            "shots": shots,
            "categories": {k: row(v) for k, v in by_category(scores).items() if v.asked},
            "subjects": {k: row(v) for k, v in scores.items()},
        },
        indent=1,
    )
