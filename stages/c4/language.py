"""Which language a page is in, told as C4's authors told it (langdetect) or by fastText's lid.176.

The authors' program (`is_language` in `c4_utils.py`) asks langdetect for the languages of a page
after its duplicate lines are gone, and keeps the page if the best one has a probability of 0.99 or
more and is English; a page of which langdetect finds no language leaves.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from stages.engine.models import load_once
from stages.language.model import ModelMissingError, model_digest, model_path
from stages.language.rule import REASONS, LanguageRule
from stages.language.settings import LanguageSettings
from stages.outcomes import Reject

Detector: TypeAlias = Literal["lid", "langdetect"]
Judge: TypeAlias = Callable[[str], "tuple[str, float] | Reject"]
"""A page's text -> its language and the detector's score of it, or why the page leaves."""

THRESHOLDS: dict[Detector, float] = {"langdetect": 0.99, "lid": 0.5}
"""langdetect: `min_probability` of c4_utils; lid: CCNet's, as in the stage `language`."""

__all__ = ["REASONS", "THRESHOLDS", "Detector", "Judge", "LangDetect", "judge", "model_digests"]

_PACKAGE = "langdetect"
_SEED = 0  # as in c4_utils
# langdetect reads 10,000 characters, but first takes out addresses, which may lie before them. No
# page of C4 has more than this, so what is cut off here was not looked at there either.
_MAX_CHARS = 190_000


def model_digests(detector: Detector | None, model: str | None) -> dict[str, str]:
    """sha256 by name of what decides: the model, or langdetect's profiles and code.

    Raises stages.language.model.ModelMissingError where it is not there.
    """
    if detector is None:
        return {}
    if detector == "lid":
        return {"lid": model_digest(model_path(model))}
    folder = _package_folder()
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and (path.suffix == ".py" or inside.parts[0] == "profiles"):
            digest.update(f"{inside.as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return {"langdetect": digest.hexdigest()}


def judge(
    detector: Detector, languages: tuple[str, ...], threshold: float | None, model: str | None
) -> Judge:
    """The judge of a detector, its model loaded once per process.

    Raises stages.language.model.ModelMissingError.
    """
    limit = THRESHOLDS[detector] if threshold is None else threshold
    if detector == "langdetect":
        detect = load_once((_PACKAGE,), LangDetect)
        return lambda text: _decide(*detect(text), languages, limit)
    settings = LanguageSettings(threshold=limit, languages=languages, decimals=None, model=model)
    rule = load_once(("language", settings), lambda: LanguageRule(settings))

    def by_lid(text: str) -> tuple[str, float] | Reject:
        verdict = rule(text)
        return verdict if isinstance(verdict, Reject) else verdict[:2]

    return by_lid


def _decide(
    language: str, score: float, languages: tuple[str, ...], limit: float
) -> tuple[str, float] | Reject:
    """The authors' order: first the probability, then the language."""
    if score < limit:
        return Reject("language_below_threshold", f"{language} {score:.4f}")
    if language not in languages:
        return Reject("language_not_wanted", f"{language} {score:.4f}")
    return language, score


class LangDetect:
    """langdetect's best language of a text, with its probability; `und` and 0 where it finds none.

    langdetect draws n-grams at random. Each text is given a generator of its own with seed 0, so
    neither the texts before it nor other users of the package in this process have a say. The
    package reads its profiles in the order of the file system, which decides between languages of
    equal probability; here they are sorted.

    Raises stages.language.model.ModelMissingError.
    """

    def __init__(self) -> None:
        folder = _package_folder() / "profiles"
        from langdetect.detector_factory import DetectorFactory
        from langdetect.lang_detect_exception import LangDetectException

        self._factory = DetectorFactory()
        self._factory.set_seed(_SEED)  # of this factory; the package's own is left alone
        self._factory.load_json_profile(
            [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]
        )
        self._nothing_found = LangDetectException

    def __call__(self, text: str) -> tuple[str, float]:
        detector = self._factory.create()
        detector.append(text[:_MAX_CHARS])
        try:
            found = detector.get_probabilities()
        except self._nothing_found:
            found = []
        return (found[0].lang, min(float(found[0].prob), 1.0)) if found else ("und", 0.0)


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissingError(
            f"detector: langdetect needs the package {_PACKAGE}; install it, or set detector: lid"
        )
    return Path(spec.submodule_search_locations[0])
