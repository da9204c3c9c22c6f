"""A macro's arguments, read from what follows its name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from stages.arxiv.lexer import COMMENT, WORD, blanks_end, bracket_end, group_end, without_comments
from stages.arxiv.macros import Macro, Option, delimiter_pattern
from stages.arxiv.output import BombError
from stages.arxiv.source import Source

if TYPE_CHECKING:
    from stages.arxiv.expander import Expander

_BLANKS = re.compile(r"[ \t]+")


def read_arguments(x: Expander, macro: Macro) -> list[str] | None:
    """Reads a macro's arguments; None, with nothing read, where they do not fit."""
    return _Reading(x, macro).arguments()


def read_items(x: Expander, source: Source, count: int) -> list[str] | None:
    """So many groups (without braces) or tokens of one source, which goes behind them.

    None, with nothing read, where there are fewer.
    """
    found: list[str] = []
    text, place = source.text, source.pos
    for _ in range(count):
        place = blanks_end(text, place)
        if text.startswith("{", place):
            end = group_end(text, place, x.settings.max_argument_chars, x.charge)
            found.append(text[place + 1 : end - 1])
        else:
            match = WORD[source.at].match(text, place)
            end = match.end() if match is not None else place + 1
            found.append(text[place:end])
        if end < 0 or (found[-1] in ("", "}") and text[place : place + 1] != "{"):
            return None
        place = end
    source.pos = place
    return found


class _Reading:
    """One attempt. It may leave replacement texts that are read out; they come back if it fails."""

    def __init__(self, x: Expander, macro: Macro) -> None:
        self.x, self.macro = x, macro
        self.limit = x.settings.max_argument_chars
        top = x.stack[-1]
        self.places: list[tuple[Source, int]] = [(top, top.pos)]
        self.left: list[Source] = []

    def arguments(self) -> list[str] | None:
        macro, top = self.macro, self.x.stack[-1]
        arguments: list[str] = []
        if macro.name[-1].isalpha() and (match := _BLANKS.match(top.text, top.pos)):
            top.pos = match.end()  # what TeX skips behind a control word
        fits = not macro.delimiters[0] or self._literal(macro.delimiters[0])
        for i, delimiter in enumerate(macro.delimiters[1:] if fits else (), 1):
            option = macro.options[i - 1] if i <= len(macro.options) else None
            argument = self._optional(option) if option else self._mandatory(delimiter, i)
            if argument is None:
                break
            arguments.append(argument)
        if fits and len(arguments) == macro.arity:
            return arguments
        for source, place in self.places:
            source.pos = place
        self.x.stack.extend(reversed(self.left))
        return None

    def _ready(self, skip: bool) -> Source | None:
        """The source in which the next argument begins; replacement texts read out are left."""
        stack = self.x.stack
        while True:
            source = stack[-1]
            place = blanks_end(source.text, source.pos) if skip else source.pos
            if place < len(source.text):
                if skip:
                    source.pos = place
                return source
            if source.file or len(stack) == 1:
                return None
            self.left.append(stack.pop())
            self.places.append((stack[-1], stack[-1].pos))

    def _literal(self, delimiter: str) -> bool:
        """Reads what must stand before the first argument."""
        source = self._ready(skip=False)
        match = None
        if source is not None:
            match = _literal_pattern(delimiter).match(source.text, source.pos)
        if source is None or match is None:
            return False
        source.pos = match.end()
        return True

    def _optional(self, option: Option) -> str | None:
        """An argument that may be left out; nothing, not even blanks, is read where it is."""
        mark = option.mark or "["
        if self.x.next_char() != mark or (source := self._ready(skip=True)) is None:
            return option.absent
        if option.mark:
            source.pos += 1
            return option.present
        end = bracket_end(source.text, source.pos + 1, self.limit, self.x.charge)
        if end < 0:
            return None
        argument = source.text[source.pos + 1 : end - 1]
        source.pos = end
        return _unbraced(without_comments(argument))

    def _mandatory(self, delimiter: str, number: int) -> str | None:
        until_brace = self.macro.brace and number == self.macro.arity
        undelimited = not delimiter and not until_brace
        source = self._ready(skip=undelimited)
        if source is None:
            return None
        if undelimited:
            return self._undelimited(source)
        return self._delimited(source, delimiter, until_brace)

    def _undelimited(self, source: Source) -> str | None:
        text, place = source.text, source.pos
        first = text[place]
        if first == "{":
            end = group_end(text, place, self.limit, self.x.charge)
            if end < 0:
                if not source.file and len(text) - place > self.limit:
                    raise BombError("macro_bomb: an argument grows without end")
                return None
            source.pos = end
            return without_comments(text[place + 1 : end - 1])
        if first in "}\n%":
            return None
        if first == "\\":
            match = WORD[source.at].match(text, place)
            if match is None:
                return None
            source.pos = match.end()
            return match.group()
        source.pos = place + 1
        return first

    def _delimited(self, source: Source, delimiter: str, brace: bool) -> str | None:
        text, place = source.text, source.pos
        pattern = _delimited_pattern(delimiter, brace)
        stop = min(len(text), place + self.limit)
        argument = None
        steps = 1
        while place < stop and (match := pattern.match(text, place)):
            steps += 1
            if match.lastgroup == "end":
                argument = _unbraced(without_comments(text[source.pos : place]))
                source.pos = place if brace else match.end()
                break
            first = text[place]
            place = match.end()
            if first == "{":
                place = group_end(text, match.start(), self.limit, self.x.charge)
            if first == "}" or place < 0:
                break
        self.x.charge(steps)
        return argument


def _unbraced(argument: str) -> str:
    """An argument that is one group, without its braces."""
    if argument.startswith("{") and group_end(argument, 0, len(argument)) == len(argument):
        return argument[1:-1]
    return argument


@lru_cache(256)
def _literal_pattern(delimiter: str) -> re.Pattern[str]:
    return re.compile(delimiter_pattern(delimiter))


@lru_cache(256)
def _delimited_pattern(delimiter: str, brace: bool) -> re.Pattern[str]:
    """Matches the delimiter (group `end`), or what may stand before it, from any token on."""
    end = delimiter_pattern(delimiter) + (r"(?=\{)" if brace else "")
    first = delimiter[0] if delimiter else "{"
    fast = r"\s" if first.isspace() else re.escape(first)
    return re.compile(
        rf"(?P<end>{end})|\\(?:[A-Za-z@]+|[\s\S])|[{{}}]|{COMMENT}|[^\\{{}}%{fast}]+|[^\\{{}}%]"
    )
