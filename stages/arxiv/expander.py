"""A small TeX mouth and gullet: reads a paper from its main file on, as TeX would, and writes text.

One pass from left to right. Files are read where they are named; comments and what conditions leave
out are skipped; a definition holds from where it stands to the end of its group, and a macro is
replaced by what its definition then says, as TeX does it. What is not understood is copied.

Deliberate differences from TeX: only abbreviations are expanded (see `macros`), a condition that
cannot be decided keeps both branches, and line ends behind an expanded macro stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from stages.arxiv.lexer import COMMENT, WORD, blanks_end, bracket_end, group_end, without_comments
from stages.arxiv.macros import Macro, delimiter_pattern, single_token
from stages.arxiv.output import BombError, Output
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.source import Source
from stages.arxiv.tree import Tree
from stages.arxiv.words import words

Handler = Callable[["Expander", Source, int], bool]
"""Does what a command does: (expander, source, where the command begins in it) -> whether it did.
The source stands behind the command's name. If not, the command is copied."""

# Commands whose arguments may be single tokens: a macro there needs braces around its replacement.
_TAKES = {
    **dict.fromkeys(("frac", "dfrac", "tfrac", "cfrac", "binom", "stackrel", "overset"), 2),
    **dict.fromkeys(("underset", "textcolor"), 2),
    **dict.fromkeys(
        words("""
        sqrt hat bar tilde vec dot ddot acute grave check breve widehat widetilde overline underline
        overrightarrow overleftarrow overbrace underbrace mathbf mathrm mathcal mathbb mathfrak
        mathsf mathit mathtt mathscr boldsymbol bm pmb operatorname text textbf textit emph textrm
        texttt textsf textsc mbox not
        """),
        1,
    ),
}
SHORT_FORM = ""
"""Key of the handler of characters that are short for \\verb; no command has this name."""

_BLANKS_ON_LINE = re.compile(r"[ \t]+(?=[^\s%])")
_BLANKS = re.compile(r"[ \t]+")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")
_SCOPES_SEARCHED = 50


class Scope:
    """A group: what opened it, and the meanings that its end gives back."""

    __slots__ = ("pending", "saved", "tag")

    def __init__(self, tag: str, pending: int = 0) -> None:
        self.tag, self.pending = tag, pending
        self.saved: dict[str, Macro | None] | None = None


class Expander:
    """The state of one paper. `run` reads it; the text is in `out` then."""

    def __init__(self, tree: Tree, settings: ArxivSettings, handlers: dict[str, Handler]) -> None:
        self.tree, self.settings, self.handlers = tree, settings, handlers
        self.out = Output(settings.max_output_chars)
        self.macros: dict[str, Macro] = {}
        self.switches: dict[str, bool] = {}
        self.conditions: list[bool | None] = []
        self.verbatims: set[str] = set()
        self.comments: set[str] = {"comment"}
        self.stack: list[Source] = []
        self.scopes: list[Scope] = []
        self.files_read: list[str] = []
        self.missing: set[str] = set()
        self.in_document = False
        self.latex = False
        self.everywhere = False
        self.calls = self.left_alone = 0
        self._steps = self._work = 0
        self._pending = 0

    # -- reading ---------------------------------------------------------------------------------

    def run(self, main: str) -> None:
        """Raises BombError."""
        self.open_file(main)
        out, stack = self.out, self.stack
        while stack:
            source = stack[-1]
            start = source.pos
            match = source.pattern.match(source.text, start)
            if match is None:
                self.leave()
                continue
            source.pos = match.end()
            token = match.group()
            first = token[0]
            if first == "\\":
                self._control(token, source, start)
            elif first == "{":
                self.scopes.append(Scope("{", self._pending))
                self._pending = 0
                out.text(token)
            elif first == "}":
                self._pending = 0
                self.close("{")
                out.text(token)
            elif first == "%":
                self._comment(source, start)
            elif source.short and first in source.short:
                if not self.handlers[SHORT_FORM](self, source, start):
                    out.text(token)
            else:
                if self._pending:
                    self._pending = max(0, self._pending - len(token.strip()))
                out.text(token)

    def open_file(self, name: str, style: bool = False, part: bool = False) -> None:
        """Goes on in another file. `part`: a document of its own, of which only the body counts."""
        if len(self.stack) >= self.settings.max_depth:
            raise BombError(f"macro_bomb: files open more than {self.settings.max_depth} deep")
        text = self.tree.text(name)
        self.charge(len(text) >> 4)
        outer = next((s for s in reversed(self.stack) if s.file), None)
        at = style or (outer is not None and outer.at)
        short = outer.short if outer is not None else ""
        if style or part:
            self.out.hold += 1
        self.stack.append(Source(text, name, at, short, style=style, part=part))
        self.files_read.append(name)

    def leave(self) -> None:
        """Goes back to what was read before."""
        source = self.stack.pop()
        if source.style or source.preamble:
            self.out.hold -= 1
        if source.preamble:
            self.missing.add(source.file)  # a part whose document never began

    def stop(self) -> None:
        """The end of the document: nothing further is read."""
        while self.stack:
            self.leave()

    def end_document(self) -> None:
        """\\end{document}: the end of a part, or of all."""
        part = next((s for s in reversed(self.stack) if s.part), None)
        while self.stack:
            ended = self.stack[-1] is part
            self.leave()
            if ended:
                return

    def is_open(self, name: str) -> bool:
        return any(source.file == name for source in self.stack)

    def file(self) -> Source:
        """The innermost file."""
        return next(s for s in reversed(self.stack) if s.file)

    def charge(self, steps: int) -> None:
        """Counts work. Raises BombError when there is too much of it."""
        self._work += steps
        if self._work > self.settings.max_work:
            raise BombError(f"macro_bomb: more than {self.settings.max_work} steps of work")

    def next_char(self) -> str:
        """The next character to be read that is not blank, "" at the end; reads nothing."""
        for source in reversed(self.stack):
            place = blanks_end(source.text, source.pos)
            if place < len(source.text):
                return source.text[place]
        return ""

    def swallow_line(self, source: Source) -> None:
        """Removes what is left of a line on which nothing was written: TeX sees no paragraph end
        where a definition stood, and neither shall a reader of the text."""
        match = _LINE_END.match(source.text, source.pos)
        if match is not None and source.file and self.out.at_line_start:
            self.out.drop_indent()
            source.pos = match.end()

    def _comment(self, source: Source, start: int) -> None:
        text = source.text
        end = text.find("\n", start)
        if end < 0:
            source.pos = len(text)
            return
        source.pos = end + 1
        before = text[text.rfind("\n", 0, start) + 1 : start]
        if not before.strip(" \t"):
            if before and self.out.at_line_start:
                self.out.drop_indent()
            return
        after = end + 1
        while text[after : after + 1] in (" ", "\t"):
            after += 1
        # Where a blank line follows, the paragraph ends; else the lines are joined.
        source.pos = end if text[after : after + 1] == "\n" else after

    def _control(self, token: str, source: Source, start: int) -> None:
        name = token[1:]
        macro = self.macros.get(name)
        if macro is not None:
            if macro.alias is not None:
                name = macro.alias
                token = "\\" + name
            elif macro.usable and self._call(macro, source):
                return
            else:
                self.left_alone += 1
                self.copy(token)
                return
        handler = self.handlers.get(name)
        if handler is not None and handler(self, source, start):
            return
        self.copy(token)
        takes = _TAKES.get(name)
        if takes is not None:
            self._pending = takes

    def copy(self, token: str) -> None:
        """Writes a control sequence as it is."""
        if self._pending:
            self._pending -= 1
        self.out.word(token)

    # -- groups and definitions ------------------------------------------------------------------

    def open_scope(self, tag: str) -> None:
        self.scopes.append(Scope(tag))

    def close(self, tag: str) -> None:
        """Ends the innermost group that `tag` opened, and those inside it; papers err."""
        scopes = self.scopes
        lowest = max(0, len(scopes) - _SCOPES_SEARCHED)
        i = len(scopes) - 1
        while i >= lowest and scopes[i].tag != tag:
            i -= 1
        if i < lowest:
            return
        self._pending = max(0, scopes[i].pending - 1)
        while len(scopes) > i:
            saved = scopes.pop().saved
            for name, old in saved.items() if saved else ():
                if old is None:
                    self.macros.pop(name, None)
                else:
                    self.macros[name] = old

    def define(self, macro: Macro) -> None:
        """Gives a name its meaning, in this group or (after \\global, \\gdef) in all."""
        name = macro.name
        old = self.macros.get(name)
        if old is not None and old != macro and None in self.conditions:
            # Which branch is read is not known, so neither is the meaning.
            macro = replace(macro, usable=False, alias=None)
        if self.everywhere:
            self.charge(len(self.scopes))
            for scope in self.scopes:
                if scope.saved:
                    scope.saved.pop(name, None)
        elif self.scopes:
            scope = self.scopes[-1]
            if scope.saved is None:
                scope.saved = {}
            scope.saved.setdefault(name, old)
        self.macros[name] = macro

    # -- macro calls -----------------------------------------------------------------------------

    def _call(self, macro: Macro, source: Source) -> bool:
        """Puts the replacement of a macro before what is read next; False if it cannot be."""
        settings = self.settings
        self.calls += 1
        self._steps = 0 if source.file else self._steps + 1
        if self.calls > settings.max_calls or self._steps > settings.max_steps:
            raise BombError(f"macro_bomb: too many calls, last of \\{macro.name[:50]}")
        if len(self.stack) >= settings.max_depth:
            raise BombError(f"macro_bomb: calls too deep, last of \\{macro.name[:50]}")
        bare = macro.arity == 0 and not macro.delimiters[0]
        arguments = [] if bare else self._arguments(macro)
        if arguments is None:
            return False
        source = self.stack[-1]
        if bare and macro.name[-1].isalpha():
            if source.text.startswith("{}", source.pos):
                source.pos += 2  # it only kept TeX from skipping the blank behind the name
            elif not macro.ends_in_xspace and (
                match := _BLANKS_ON_LINE.match(source.text, source.pos)
            ):
                source.pos = match.end()
        body = macro.replacement(arguments)
        self.charge(1 + (len(body) >> 4))
        if not body:
            self.swallow_line(source)
            return True
        if self._pending and not single_token(body) and group_end(body, 0, len(body)) != len(body):
            body = "{" + body + "}"
        self.stack.append(Source(body, at=macro.at, short=source.short))
        return True

    def _arguments(self, macro: Macro) -> list[str] | None:
        """Reads a macro's arguments; None, with nothing read, where they do not fit."""
        top = self.stack[-1]
        places: list[tuple[Source, int]] = [(top, top.pos)]
        left: list[Source] = []
        arguments: list[str] = []
        if macro.name[-1].isalpha() and (match := _BLANKS.match(top.text, top.pos)):
            top.pos = match.end()  # what TeX skips behind a control word
        fits = not macro.delimiters[0] or self._literal(macro.delimiters[0], places, left)
        for i, delimiter in enumerate(macro.delimiters[1:] if fits else (), 1):
            until_brace = macro.brace and i == macro.arity
            optional = i == 1 and macro.default is not None
            undelimited = not delimiter and not until_brace
            source = self._ready(places, left, skip=undelimited or optional)
            argument: str | None
            if optional:
                argument = self._optional(source, macro.default or "")
            elif source is None:
                break
            elif undelimited:
                argument = self._undelimited(source)
            else:
                argument = self._delimited(source, delimiter, until_brace)
            if argument is None:
                break
            arguments.append(argument)
        fits = fits and len(arguments) == macro.arity
        if fits:
            return arguments
        for source, place in places:
            source.pos = place
        self.stack.extend(reversed(left))
        return None

    def _ready(
        self, places: list[tuple[Source, int]], left: list[Source], skip: bool
    ) -> Source | None:
        """The source in which the next argument begins; replacement texts read out are left."""
        while True:
            source = self.stack[-1]
            place = blanks_end(source.text, source.pos) if skip else source.pos
            if place < len(source.text):
                if skip:
                    source.pos = place
                return source
            if source.file or len(self.stack) == 1:
                return None
            left.append(self.stack.pop())
            places.append((self.stack[-1], self.stack[-1].pos))

    def _literal(
        self, delimiter: str, places: list[tuple[Source, int]], left: list[Source]
    ) -> bool:
        """Reads what must stand before the first argument."""
        source = self._ready(places, left, skip=False)
        match = None
        if source is not None:
            match = _literal_pattern(delimiter).match(source.text, source.pos)
        if source is None or match is None:
            return False
        source.pos = match.end()
        return True

    def _undelimited(self, source: Source) -> str | None:
        text, place = source.text, source.pos
        first = text[place]
        if first == "{":
            end = group_end(text, place, self.settings.max_argument_chars, self.charge)
            if end < 0:
                if not source.file and len(text) - place > self.settings.max_argument_chars:
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

    def _optional(self, source: Source | None, default: str) -> str | None:
        if source is None or source.text[source.pos] != "[":
            return default
        limit = self.settings.max_argument_chars
        end = bracket_end(source.text, source.pos + 1, limit, self.charge)
        if end < 0:
            return None
        argument = source.text[source.pos + 1 : end - 1]
        source.pos = end
        return _unbraced(without_comments(argument))

    def _delimited(self, source: Source, delimiter: str, brace: bool) -> str | None:
        text, place = source.text, source.pos
        pattern = _delimited_pattern(delimiter, brace)
        limit = self.settings.max_argument_chars
        stop = min(len(text), place + limit)
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
                place = group_end(text, match.start(), limit, self.charge)
            if first == "}" or place < 0:
                break
        self.charge(steps)
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
