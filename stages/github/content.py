"""One content becomes a document or leaves: the rules that look at the text."""

from __future__ import annotations

from dataclasses import dataclass

from stages.github import paths, quality
from stages.github.header import remove_header
from stages.github.languages import language_of
from stages.github.settings import GithubSettings
from stages.github.syntax import syntax_of
from stages.github.verdicts import RANK, REASON_OF_RANK
from stages.outcomes import Bad, Document, Outcome, Reject, Rejected

REASONS = {
    "no_license": "no licence of its repository is known",
    "license": "its repository has another licence; with license_policy `all`: one of them has",
    "symlink": "a symbolic link or submodule, not a file",
    "license_text": "the text of a licence (LICENSE, COPYING, NOTICE, ...)",
    "unknown_language": "its name tells no language",
    "other_language": "its language is none of `languages`",
    "data_language": "its format is one of `data_languages`",
    "vendored": "a copy of another project, or build output, by its folder",
    "generated": "written by a program, by its name or by its own words",
    "minified": "made small for machines, by its name or by its lines",
    "no_file": "no row of the files table has this content",
    "duplicate_content": "another file of the input has exactly these bytes",
    "binary": "no text: no content, or with NUL bytes",
    "too_large": "longer than max_file_bytes",
    "encoding": "bytes that are no text in UTF-8, UTF-16 or Windows-1252, or that were lost",
    "empty": "no visible character",
    "encoded_data": "mostly base64 or hexadecimal data",
    "long_line": "a line longer than max_line_chars",
    "long_mean_line": "lines longer than mean_line_chars on average",
    "few_alphanumeric": "fewer letters and digits than min_alphanumeric",
    "only_header": "nothing but a licence header",
}


@dataclass(frozen=True, slots=True)
class Place:
    """The place that speaks for a content (see `verdicts`); `places`: how many there are."""

    repository: str
    path: str
    license: str | None
    rank: int
    places: int
    foreign: str | None


class ContentRules:
    """Judges contents by the settings. The order is the paper's: filters, then the header."""

    def __init__(self, settings: GithubSettings) -> None:
        self._settings = settings

    def outcome(
        self,
        file: str,
        key: bytes,
        origin: str,
        place: Place | Reject,
        content: str | Reject | Bad | None,
    ) -> Outcome:
        """What becomes of a content; a rule that fails makes it a bad record.

        `key`: its git SHA-1. `place` and `content` may have been rejected before; a `content` of
        None is binary.
        """
        if isinstance(content, Bad):
            return content
        name = f"github/{key.hex()}"
        if isinstance(place, Reject):
            return Rejected(name, origin, place.reason, place.detail)
        language = language_of(place.path)
        verdict: tuple[str, int] | Reject | None = self._by_place(place)
        if content is None and (verdict is None or place.rank < RANK["symlink"]):
            verdict = Reject("binary", place.path)  # more than that its name tells no language
        if verdict is None and isinstance(content, Reject):
            verdict = content
        if verdict is None:
            try:
                verdict = self.judge(str(content), language)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - the dead letter of one content
                return Bad(file, key.hex(), f"rules: {type(error).__name__}: {error}")
        url = paths.url(place.repository, place.path)
        if isinstance(verdict, Reject):
            return Rejected(name, origin, verdict.reason, verdict.detail, url)
        text, removed = verdict
        meta = {
            "repository": place.repository,
            "path": place.path,
            "language": language,
            "places": place.places,
            "header_chars_removed": removed,
        }
        return Document(
            id=name,
            text=text,
            source="github",
            origin=origin,
            url=url,
            title=place.path,
            license=place.license,
            meta=meta,
        )

    def _by_place(self, place: Place) -> Reject | None:
        """What is wrong with a content by its place."""
        if reason := REASON_OF_RANK[place.rank]:
            detail = place.license or "" if reason == "license" else place.path
            return Reject(reason, detail)
        if self._settings.license_policy == "all" and place.foreign is not None:
            return Reject("license", f"also in a repository with {place.foreign}")
        return None

    def judge(self, text: str, language: str | None) -> tuple[str, int] | Reject:
        """The text without its header, and how many characters that had; or a `Reject`."""
        s = self._settings
        if len(text) > s.max_file_bytes // 4:  # less cannot be too long
            size = len(text.encode("utf-8", "replace"))
            if size > s.max_file_bytes:
                return Reject("too_large", f"{size} bytes")
        if "\0" in text:
            return Reject("binary", "NUL")
        if not text.strip():
            return Reject("empty")
        if s.normalise_newlines:
            text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        reject = (
            quality.damaged(text)
            or (None if s.keep_generated else quality.generated(text, syntax_of(language)))
            or quality.minified(text, language)
            or quality.line_lengths(text, s.max_line_chars, s.mean_line_chars)
            or quality.alphanumeric(text, s.min_alphanumeric)
            or quality.encoded_data(text, s.max_encoded)
        )
        if reject is not None:
            return reject
        syntax = syntax_of(language) if s.remove_headers else None
        if syntax is None:
            return text, 0
        clean, removed = remove_header(text, syntax)
        return (clean, removed) if clean.strip() else Reject("only_header")
