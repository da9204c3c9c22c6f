"""The verdict on one file of a repository, as far as its licence, mode and path decide it.

One content may lie in many repositories and under many paths. Each place gets a rank, and the place
that came furthest (the smallest rank, then repository, then path) speaks for the content: a file
that one project vendors is still that of the project that wrote it.
"""

from __future__ import annotations

from stages.github import paths
from stages.github.expressions import is_kept
from stages.github.languages import language_of
from stages.github.settings import GithubSettings

# Rank -> reason. A place that fails an early rule has a high rank.
REASON_OF_RANK = (
    "",
    "minified",
    "vendored",
    "data_language",
    "other_language",
    "unknown_language",
    "generated",
    "license_text",
    "symlink",
    "license",
    "no_license",
)
OK = 0
RANK = {reason: rank for rank, reason in enumerate(REASON_OF_RANK)}

_TYPE_BITS, _LINK, _COMMIT = 0o170000, 0o120000, 0o160000


class Verdicts:
    """Ranks places by the settings; the rules go in the order of `REASON_OF_RANK`, from its end."""

    def __init__(self, settings: GithubSettings) -> None:
        self._settings = settings
        self._kept = frozenset(settings.licenses)
        self._known: dict[str | None, bool] = {}
        self._data = frozenset(settings.data_languages)
        self._languages = None if settings.languages is None else frozenset(settings.languages)

    def kept(self, licence: str | None) -> bool:
        if licence not in self._known:
            self._known[licence] = is_kept(licence, self._kept)
        return self._known[licence]

    def rank(self, path: str, licence: str | None, mode: int | None, is_link: bool) -> int:
        """0 if nothing speaks against the file; `mode` is git's, or None if it is not known."""
        if licence is None:
            return RANK["no_license"]
        if not self.kept(licence):
            return RANK["license"]
        if is_link or (mode is not None and mode & _TYPE_BITS in (_LINK, _COMMIT)):
            return RANK["symlink"]
        return RANK[self._reason(path)]

    def _reason(self, path: str) -> str:
        if paths.is_licence(path):
            return "license_text"
        if not self._settings.keep_generated and paths.is_generated(path):
            return "generated"
        language = language_of(path)
        if language is None:
            return "unknown_language"
        if self._languages is not None:
            if language not in self._languages:
                return "other_language"
        elif language in self._data:
            return "minified" if paths.is_minified(path) else "data_language"
        if not self._settings.keep_vendored and paths.is_vendored(path):
            return "vendored"
        return "minified" if paths.is_minified(path) else ""
