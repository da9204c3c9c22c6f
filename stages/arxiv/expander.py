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
from typing import TYPE_CHECKING

from stages.arxiv.arguments import read_arguments
from stages.arxiv.lexer import blanks_end, group_end
from stages.arxiv.macros import Macro, single_token, starts_with
from stages.arxiv.output import BombError, Output
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.source import Source
from stages.arxiv.tree import Tree
from stages.arxiv.words import words

if TYPE_CHECKING:
    from stages.arxiv.environments import Environment

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
_NAME, _BRACE = 1, 3  # groups of `lexer`
SHORT_FORM = ""
"""Key of the handler of characters that are short for \\verb; no command has this name."""

_BLANKS_ON_LINE = re.compile(r"[ \t]+(?=[^\s%])")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")
_SCOPES_SEARCHED = 50
_BRANCHES_FOLLOWED = 100


class Scope:
    """A group: what opened it, and the meanings that its end gives back; `silent`: not written."""

    __slots__ = ("pending", "saved", "silent", "tag")

    def __init__(self, tag: str, pending: int = 0, silent: bool = False) -> None:
        self.tag, self.pending, self.silent = tag, pending, silent
        self.saved: dict[str, Macro | None] | None = None

    @property
    def plain(self) -> bool:
        """Whether a `{` opened it, and nothing changes by its end."""
        return self.tag == "{" and self.saved is None and not self.silent


class Expander:
    """The state of one paper. `run` reads it; the text is in `out` then."""

    def __init__(self, tree: Tree, settings: ArxivSettings, handlers: dict[str, Handler]) -> None:
        self.tree, self.settings, self.handlers = tree, settings, handlers
        self.out = Output(settings.max_output_chars)
        self.macros: dict[str, Macro] = {}
        self.switches: dict[str, bool | None] = {}
        self.conditions: list[bool] = []  # open ones: whether they were decided
        self.undecided = 0  # of them
        self.environments: dict[str, Environment] = {}
        self.renamed: list[tuple[str, str]] = []  # open ones, and what their ends stand for
        self.verbatims: set[str] = set()
        self.comments: set[str] = {"comment"}
        self.stack: list[Source] = []
        self.scopes: list[Scope] = []
        self.files_read: list[str] = []
        self.missing: set[str] = set()
        self.in_document = False
        self.appended = False  # \appendix or the bibliography was met
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
            token = self._copy(source)
            start = source.pos
            source.pos += len(token)
            if not token:
                self.leave()
            elif token[0] == "\\":
                self._control(token, source, start)
            elif token == "}":
                self._pending = 0
                silent = bool(self.scopes) and self.scopes[-1].silent
                self.close("{")
                if not silent:
                    out.text(token)
            elif token == "%":
                self._comment(source, start)
            elif not self.handlers[SHORT_FORM](self, source, start):
                out.text(token)

    def _copy(self, source: Source) -> str:
        """Writes what stands for itself, in one piece: text, groups, and commands that are neither
        macros nor have a handler. Returns the first other token, "" at the end."""
        text, match = source.text, source.pattern.match
        macros, handlers, scopes = self.macros, self.handlers, self.scopes
        start = place = source.pos
        pending = self._pending
        groups: list[int] = []  # those opened here: what was pending before
        last = None
        while (found := match(text, place)) is not None:
            end, kind = found.end(), found.lastindex
            if kind == _NAME:
                name = found[_NAME]
                if name in macros or name in handlers or (len(name) == 1 and _like_letter(name)):
                    break
                pending = _TAKES.get(name, pending - 1 if pending else 0)
            elif kind == _BRACE:
                if text[place] == "{":
                    groups.append(pending)
                    pending = 0
                else:
                    if groups:
                        pending = groups.pop()
                    elif scopes and scopes[-1].plain:
                        pending = scopes.pop().pending
                    else:
                        break
                    pending = pending - 1 if pending else 0
            elif end == place:
                break
            elif kind and pending:
                pending -= 1
            if pending:
                behind = text[found.end(kind) if kind else place : end]
                pending = max(0, pending - len(behind.strip()))
            last, place = found, end
        if last is not None:
            source.pos = place
            self._pending = pending
            if groups:
                scopes += [Scope("{", before) for before in groups]
            self.out.stretch(text[start:place], command=last.end(_NAME) == place)
        return "\\" + name if kind == _NAME else text[place : place + 1]

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

    def swallow_blanks(self, source: Source) -> None:
        """Passes over the blanks behind a control word, as TeX does, and an empty line end."""
        if (match := _BLANKS_ON_LINE.match(source.text, source.pos)) is not None:
            source.pos = match.end()
        else:
            self.swallow_line(source)

    def peek(self, token: str) -> Source | None:
        """The source in which `token` comes next but for blanks, standing before it; else None.

        Replacement texts that are read out are left on the way, and blanks are passed over only if
        the token is there.
        """
        for i in range(len(self.stack) - 1, -1, -1):
            source = self.stack[i]
            place = blanks_end(source.text, source.pos)
            if place < len(source.text):
                if not starts_with(source.text, place, token):
                    return None
                del self.stack[i + 1 :]
                source.pos = place
                return source
            if source.file:
                return None
        return None

    def push(self, text: str, like: Source) -> None:
        """Reads `text` next, as `like` was read."""
        if len(self.stack) >= self.settings.max_depth:
            raise BombError("macro_bomb: choices too deep")
        self.charge(1 + (len(text) >> 4))
        self._leave_read()
        self.stack.append(Source(text, at=like.at, short=like.short))

    def _leave_read(self) -> None:
        """Leaves replacement texts that are read out, so that a last call goes no deeper."""
        while not (source := self.stack[-1]).file and source.pos >= len(source.text):
            self.stack.pop()

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
            elif macro.usable and self._sound(macro) and self._call(macro, source):
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

    # -- conditions, groups and definitions --------------------------------------------------------

    def open_condition(self, decided: bool) -> None:
        self.conditions.append(decided)
        self.undecided += not decided

    def close_condition(self) -> bool | None:
        """Whether the innermost condition was decided; None where none is open."""
        if not self.conditions:
            return None
        decided = self.conditions.pop()
        self.undecided -= not decided
        return decided

    def set_switch(self, name: str, on: bool) -> None:
        """Turns a switch; where it is not known whether this is read, nor is its state."""
        known = not self.undecided or self.switches.get(name) is on
        self.switches[name] = on if known else None

    def open_scope(self, tag: str) -> None:
        self.scopes.append(Scope(tag))

    def within(self, tag: str) -> bool:
        """Whether `tag` opened one of the innermost groups."""
        return any(scope.tag == tag for scope in self.scopes[-_SCOPES_SEARCHED:])

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
        if old is not None and old != macro and self.undecided:
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

    def _sound(self, macro: Macro) -> bool:
        """Whether all that a macro's choices may lead to is followed."""
        if not macro.branches:
            return True
        seen: set[str] = set()
        queue = list(macro.branches)
        while queue and len(seen) < _BRANCHES_FOLLOWED:
            name = queue.pop()
            inner = self.macros.get(name)
            if inner is None or not inner.usable:
                return False
            if name not in seen:
                seen.add(name)
                queue += inner.branches
        self.charge(len(seen))
        return not queue

    def count_call(self, name: str, source: Source) -> None:
        """Raises BombError where calls lead to calls without end."""
        self.calls += 1
        self._steps = 0 if source.file else self._steps + 1
        if self.calls > self.settings.max_calls or self._steps > self.settings.max_steps:
            raise BombError(f"macro_bomb: too many calls, last of \\{name[:50]}")

    def _call(self, macro: Macro, source: Source) -> bool:
        """Puts the replacement of a macro before what is read next; False if it cannot be."""
        settings = self.settings
        self.count_call(macro.name, source)
        if len(self.stack) >= settings.max_depth:
            raise BombError(f"macro_bomb: calls too deep, last of \\{macro.name[:50]}")
        bare = macro.arity == 0 and not macro.delimiters[0]
        arguments = [] if bare else read_arguments(self, macro)
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
            if self.out.ends_blank() and source.text[source.pos : source.pos + 1] in (" ", "\t"):
                source.pos += 1  # one blank is enough
            self.swallow_line(source)
            return True
        if self._pending and not single_token(body) and group_end(body, 0, len(body)) != len(body):
            body = "{" + body + "}"
        self._leave_read()
        self.stack.append(Source(body, at=macro.at, short=source.short))
        return True


def _like_letter(symbol: str) -> bool:
    """Whether a control symbol is taken for a control word, so that a letter behind it is parted
    from it."""
    return symbol == "@" or (symbol.isalpha() and not symbol.isascii())
