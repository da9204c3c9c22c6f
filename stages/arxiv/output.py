"""The text that is left of a paper, as it is written: where it begins, and what is left out."""

from __future__ import annotations

import re

from stages.arxiv.macros import ends_in_word

_PARAGRAPHS = re.compile(r"\n{3,}")
_MUCH = 600  # characters: more than keywords and dates behind an abstract, less than a paragraph


class BombError(Exception):
    """A paper that grows without end; the message begins with a word of `FAULTS`."""


class Verbatim(str):
    """Text that is kept to the letter."""

    __slots__ = ()


class Output:
    """Collects text. `hold` keeps text out while it is above 0 (style files, preambles of parts);
    `bibliography` while it is not None: the environment that ends it, or `*` for a section."""

    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self.hold = 0
        self.bibliography: str | None = None
        self.bibliography_chars = 0
        self.first_section: int | None = None
        self.front_end: int = 0
        self.titled = False  # a title or an abstract ended before `front_end`
        self._limit, self._chars = limit, 0
        self._after_word = False
        self._line_start = True  # of the first `_looked_at` parts: see `at_line_start`
        self._looked_at = 0

    def text(self, text: str) -> None:
        if not text:
            return
        first = text[0]
        if self._after_word and first.isalpha() and first.isascii():
            text = " " + text
        self._after_word = False
        self._put(text)

    def word(self, token: str) -> None:
        """A control sequence with its backslash."""
        self._put(token)
        self._after_word = token[-1].isalpha() or token[-1] == "@"

    def stretch(self, text: str, command: bool) -> None:
        """Text and control sequences; `command`: a control sequence stands at the end."""
        self.text(text)
        if command:
            self._after_word = text[-1].isalpha() or text[-1] == "@"

    def verbatim(self, text: str) -> None:
        self._after_word = ends_in_word(text)
        self._put(Verbatim(text))

    def _put(self, text: str) -> None:
        if self.hold or self.bibliography is not None:
            if not self.hold:
                self.bibliography_chars += len(text)
            return
        self._chars += len(text)
        if self._chars > self._limit:
            raise BombError(f"macro_bomb: the text grows beyond {self._limit} characters")
        self.parts.append(text)

    @property
    def at_line_start(self) -> bool:
        """Whether nothing but blanks stands on the line that is being written."""
        looked_at, self._looked_at = self._looked_at, len(self.parts)
        for i in range(self._looked_at - 1, looked_at - 1, -1):
            line = self.parts[i].rfind("\n") + 1
            if self.parts[i][line:].strip(" \t"):
                self._line_start = False
                break
            if line > 0:
                self._line_start = True
                break
        return self._line_start

    @property
    def open(self) -> bool:
        return not self.hold and self.bibliography is None

    def ends_blank(self) -> bool:
        """Whether what was written last is a blank or the end of a line."""
        return bool(self.parts) and self.parts[-1][-1:].isspace()

    def drop_indent(self) -> None:
        """Removes blanks at the end."""
        if self.open and self.parts and not isinstance(self.parts[-1], Verbatim):
            self.parts[-1] = self.parts[-1].rstrip(" \t")

    def section_begins(self, weak: bool = False) -> None:
        """A section begins with what is written next.

        A `weak` one (a run-in heading, back matter) is not the first where much text stands
        between the front matter and it: that text is the paper, and begins without a heading.
        """
        if self.bibliography == "*":
            self.bibliography = None
        if self.first_section is None and not self.hold:
            here = len(self.parts)
            if weak and self.titled and _longer(self.parts[self.front_end :], _MUCH):
                here = self.front_end
            self.first_section = here

    def front_ends(self, titled: bool = True) -> None:
        """The title or abstract is over: text without a section may begin here."""
        if not self.hold:
            self.front_end = len(self.parts)
            self.titled = titled

    def front(self) -> str:
        """What stands before the text."""
        return "".join(self.parts[: self._begin])

    def body(self) -> str:
        """The text from the first section on, or behind the front matter where there is none."""
        return tidy(self.parts[self._begin :])

    @property
    def _begin(self) -> int:
        return self.front_end if self.first_section is None else self.first_section


def _longer(parts: list[str], limit: int) -> bool:
    """Whether parts hold more than `limit` characters."""
    left = limit
    for part in parts:
        left -= len(part)
        if left < 0:
            return True
    return False


def tidy(parts: list[str]) -> str:
    """Joins parts; outside verbatim text no blanks end a line and no two blank lines follow."""
    runs: list[str] = []
    loose: list[str] = []
    for part in parts:
        if isinstance(part, Verbatim):
            runs += [_tidy("".join(loose)), part]
            loose = []
        else:
            loose.append(part)
    runs.append(_tidy("".join(loose)))
    return "".join(runs).strip("\n").rstrip()


def _tidy(text: str) -> str:
    if " \n" in text or "\t\n" in text:
        *lines, last = text.split("\n")
        text = "\n".join([*(line.rstrip(" \t") for line in lines), last])
    return _PARAGRAPHS.sub("\n\n", text) if "\n\n\n" in text else text
