"""Texts of the sample's languages: short articles, and sentence frames that make more of them.

A text file holds articles (`# Title`, then paragraphs parted by blank lines) and, after the line
`@frames`, one sentence frame a line. A frame's `{slot}` is filled from the list `@slot` (one entry
a line); `{number}` and `{year}` need no list. All of it was written for this project.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

_CODES = "bg ca cs da de en es fr hr hu it nl pl pt ro ru sl sr sv uk"
LANGUAGES = tuple(_CODES.split())
"""The 20 Wikipedia languages of LLaMA-1 (arXiv 2302.13971, section 2.1)."""

TEXTS = Path(__file__).parent / "texts"
_SLOT = re.compile(r"\{(\w+)\}")
_BUILT_IN = frozenset({"number", "year"})


class SampleTextError(ValueError):
    """A text file is missing or does not follow the format; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Article:
    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LanguageText:
    """All that is known in one language; every random choice is the caller's `rng`."""

    language: str
    articles: tuple[Article, ...]
    frames: tuple[str, ...]
    lists: dict[str, tuple[str, ...]]

    def sentence(self, rng: Random) -> str:
        return self._fill(rng.choice(self.frames), rng)

    def _fill(self, frame: str, rng: Random) -> str:
        def value(match: re.Match[str]) -> str:
            slot = match.group(1)
            if slot == "number":
                return str(rng.randrange(2, 1000))
            if slot == "year":
                return str(rng.randrange(1700, 2020))
            return rng.choice(self.lists[slot])

        return _SLOT.sub(value, frame)

    def paragraph(self, rng: Random, shortest: int = 3, longest: int = 6) -> str:
        """Sentences of different frames."""
        count = min(rng.randint(shortest, longest), len(self.frames))
        return " ".join(self._fill(frame, rng) for frame in rng.sample(self.frames, count))

    def topic(self, rng: Random) -> str:
        """A title such as `Anna (1873)`: a word of the lists and a year."""
        words = self.lists[rng.choice(sorted(self.lists))] if self.lists else ("Nota",)
        return f"{rng.choice(words)} ({rng.randrange(1700, 2020)})"

    def word(self, rng: Random) -> str:
        if not self.lists:
            return rng.choice(self.articles).title
        return rng.choice(self.lists[rng.choice(sorted(self.lists))])


def parse(content: str, language: str, name: str = "text") -> LanguageText:
    """Reads the format of the module docstring. Raises `SampleTextError` with the line."""
    articles: list[tuple[str, list[str]]] = []
    lists: dict[str, list[str]] = {}
    section: list[str] | None = None
    paragraph: list[str] = []

    def end_paragraph() -> None:
        if paragraph:
            articles[-1][1].append(" ".join(paragraph))
            paragraph.clear()

    for number, raw in enumerate(content.splitlines(), 1):
        line = raw.strip()
        if line.startswith("@"):
            if articles:
                end_paragraph()
            section = lists.setdefault(line[1:].strip(), [])
        elif section is not None:
            if line:
                section.append(line)
        elif line.startswith("# "):
            if articles:
                end_paragraph()
            articles.append((line[2:].strip(), []))
        elif not line:
            if articles:
                end_paragraph()
        elif not articles:
            raise SampleTextError(f"{name}:{number}: text before the first '# Title'")
        else:
            paragraph.append(line)
    if articles:
        end_paragraph()

    frames = lists.pop("frames", [])
    if not articles or not frames:
        raise SampleTextError(f"{name}: needs at least one article and one frame")
    for title, paragraphs in articles:
        if not paragraphs:
            raise SampleTextError(f"{name}: article {title!r} has no paragraph")
    filled = {key for key, entries in lists.items() if entries} | _BUILT_IN
    for frame in frames:
        for slot in _SLOT.findall(frame):
            if slot not in filled:
                raise SampleTextError(f"{name}: frame {frame!r} names the unknown list {slot!r}")
    return LanguageText(
        language=language,
        articles=tuple(Article(title, tuple(paragraphs)) for title, paragraphs in articles),
        frames=tuple(frames),
        lists={key: tuple(entries) for key, entries in lists.items() if entries},
    )


def load(folder: Path = TEXTS) -> dict[str, LanguageText]:
    """One `LanguageText` for each of `LANGUAGES`; `SampleTextError` names those without a file."""
    missing = [language for language in LANGUAGES if not (folder / f"{language}.txt").is_file()]
    if missing:
        raise SampleTextError(f"{folder}: no text for {', '.join(missing)}")
    return {
        language: parse(
            (folder / f"{language}.txt").read_text(encoding="utf-8"), language, f"{language}.txt"
        )
        for language in LANGUAGES
    }
