"""Wikitext to plain text in time linear in its length.

One pass with an explicit stack over links, templates and tables, inner ones first: no recursion,
no backtracking, unbalanced marks become text. mwparserfromhell is not used here: it reads 1.4 MB/s
where this reads several, and its tokenizer, which is C code that cannot be interrupted, does not
end within minutes on 80 kB of `{{a|{{a|{{a|...`. Tests compare the two on ordinary pages.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from stages.wikipedia import lines
from stages.wikipedia.markup import EQUALS, VOID, Stash, clean, strip_tags
from stages.wikipedia.namespaces import (
    CATEGORY_PREFIXES,
    FILE_PREFIXES,
    LANGUAGE_CODES,
    TEMPLATE_PREFIXES,
)
from stages.wikipedia.settings import WikipediaSettings
from stages.wikipedia.template_table import DISAMBIGUATION
from stages.wikipedia.templates import TemplateRegistry

# MediaWiki itself stops at this depth of templates ($wgMaxTemplateDepth).
_MAX_DEPTH = 100
_TOO_DEEP = "(nested too deep)"
_NAME_CHARS = 200
_EDGE = " \t\n" + VOID

_TEMPLATE, _LINK, _TABLE, _URL = range(4)
_UNMARKED = r"[^\[\]{}|]*(?:\|[^\[\]{}|]*){0,50}"
# Links and templates with no mark in them, which most are, are one token: groups 1 and 2 tell them.
# The pattern begins with the signs, as `re` is fast to find these. Whether `{|` and `|}` are marks
# is left to `_table_start`.
_TOKEN = re.compile(
    rf"[\[\]{{}}|](?:(?<=\{{)(?:\||\{{(?:{_UNMARKED}\}}\}}(?!\}})())?)|(?<=\}})\}}|(?<=\])\]?"
    rf"|(?<=\|)(?:\}}(?!\}}(?!\}})))?|(?<=\[)(?:\[(?:{_UNMARKED}\]\]())?"
    r"|(?:(?:https?|ftps?|sftp|ircs?|gopher|telnet|nntp|git|svn|ssh|worldwind):)?//"
    r"[^\s\[\]{}|<>\"]*|(?:mailto|news|tel|sip|geo|urn|magnet|xmpp):[^\s\[\]{}|<>\"]*))"
)
_WHOLE_TEMPLATE = 1
_BEFORE_TABLE = {"{|": ":;*# \t", "|}": " \t"}
_MAX_BEFORE_TABLE = 20
_PARAMETER = re.compile(r"\{\{\{[^{}|]*(?:\|([^{}]*))?\}\}\}")
_VARIANT = re.compile(r"-\{([^{}]*)\}-")
_BEHAVIOUR = re.compile(r"__[^\W\d_]{2,30}(?:_[^\W\d_]{2,30}){0,4}__")
_SUBST = re.compile(r"(?:safesubst|subst|msgnw|msg|raw)\s{0,5}:\s{0,5}", re.IGNORECASE)


@dataclass(slots=True, frozen=True)
class PlainText:
    """Text of one page, the names of templates that left nothing because the table does not know
    them (with counts), and whether the page is a disambiguation page."""

    text: str
    dropped: Counter[str]
    disambiguation: bool


class _Frame:
    """An open link, template, table or URL: its arguments so far, each a list of pieces, and how
    many templates had been dropped when it was opened."""

    __slots__ = ("args", "kind", "seen")

    def __init__(self, kind: int, seen: int) -> None:
        self.kind = kind
        self.seen = seen
        self.args: list[list[str]] = [[]]

    def joined(self) -> list[str]:
        return ["".join(pieces) for pieces in self.args]


class WikitextConverter:
    """Converts pages of one wiki. `file_names` and `category_names` add the names of the dump's
    own namespaces (lower case) to those of the 20 languages."""

    def __init__(
        self,
        settings: WikipediaSettings,
        language: str,
        file_names: frozenset[str] = frozenset(),
        category_names: frozenset[str] = frozenset(),
    ) -> None:
        self._settings = settings
        self._variants = language in ("sr", "sh", "zh")
        self._templates = TemplateRegistry(language, settings.ipa == "keep")
        self._hidden = FILE_PREFIXES | CATEGORY_PREFIXES | file_names | category_names

    def __call__(self, wikitext: str, title: str) -> PlainText:
        """Plain text of a page; never raises on any input."""
        settings = self._settings
        stash = Stash()
        text = strip_tags(clean(wikitext), stash, settings.math == "latex", settings.code == "keep")
        if "{{{" in text:
            text = _PARAMETER.sub(lambda match: match.group(1) or "", text)
        if self._variants and "-{" in text:
            text = _VARIANT.sub(_variant, text)
        run = _Run(self._templates, self._hidden, title)
        text = run.structure(text).replace(EQUALS, "=")
        if self._variants and "-{" in text:
            text = _VARIANT.sub(_variant, text)
        if "__" in text:
            text = _BEHAVIOUR.sub(
                lambda match: "" if match.group().isupper() else match.group(), text
            )
        text = lines.finish(
            text,
            headings=settings.headings,
            list_marker=settings.list_marker,
            keep_urls=settings.bare_urls == "keep",
        )
        text = lines.tidy(stash.restore(text))
        disambiguation = run.disambiguation or "__DISAMBIG__" in wikitext
        return PlainText(text, Counter(run.dropped), disambiguation)


def _variant(match: re.Match[str]) -> str:
    """`-{...}-` of wikis in two scripts: the text, or the first variant's, or nothing for rules."""
    flags, bar, body = match.group(1).partition("|")
    if not bar:
        flags, body = "", match.group(1)
    if any(flag.strip() in ("H", "T", "-", "D", "N") for flag in flags.split(";")):
        return ""
    head, colon, rest = body.partition(":")
    if colon and re.fullmatch(r"\s{0,9}(?:sr|sh|zh)(?:-[a-z]{2,4})?\s{0,9}", head):
        return rest.split(";")[0].strip()
    return body


class _Run:
    """The structural pass over one page."""

    def __init__(self, templates: TemplateRegistry, hidden: frozenset[str], title: str) -> None:
        self._templates = templates
        self._hidden = hidden
        self._title = title
        self.dropped: list[str] = []
        self.disambiguation = False

    def structure(self, text: str) -> str:
        """Text with links, templates and tables resolved."""
        out: list[str] = []
        stack: list[_Frame] = []
        open_kinds = [0, 0, 0, 0]
        position = searched = 0
        search = _TOKEN.search
        while (token := search(text, searched)) is not None:
            start, end = token.span()
            mark = token.group()
            if mark == "{|" or mark == "|}":
                line = _table_start(text, start, _BEFORE_TABLE[mark])
                if line >= 0:
                    start, mark = line, text[line:end]
                elif mark == "|}":
                    mark, end = "|", start + 1
                else:
                    searched = start + 1
                    continue
            if mark == "|" and (not stack or stack[-1].kind == _TABLE):
                searched = end  # It is text.
                continue
            if start > position:
                self._append(text[position:start], stack, out, open_kinds)
            if mark == "]]" and stack and stack[-1].kind == _URL:
                mark, end = "]", start + 1
            position = searched = end
            if mark == "|":
                if stack and stack[-1].kind in (_TEMPLATE, _LINK):
                    stack[-1].args.append([])
                else:
                    self._append(mark, stack, out, open_kinds)
                continue
            if token.lastindex:
                value = self._whole(mark, token.lastindex == _WHOLE_TEMPLATE, len(stack) + 1)
            else:
                kind, opens = _kind(mark)
                if opens:
                    stack.append(_Frame(kind, len(self.dropped)))
                    open_kinds[kind] += 1
                    continue
                if not open_kinds[kind] or (mark == "]" and stack[-1].kind != _URL):
                    self._append(mark, stack, out, open_kinds)
                    continue
                depth = len(stack)
                value = self._closed(_popped(kind, stack, open_kinds), depth)
            if stack and stack[-1].kind == _TEMPLATE and "=" in value:
                value = value.replace("=", EQUALS)
            self._append(value or VOID, stack, out, open_kinds)
        self._append(text[position:], stack, out, open_kinds)
        for frame in stack:
            out.extend(_flat(frame))
        return "".join(out)

    def _whole(self, mark: str, template: bool, depth: int) -> str:
        """Text of a link or template that is one token."""
        if not template and depth <= _MAX_DEPTH:
            target, _, shown = mark[2:-2].partition("|")
            return self._link(target, shown)
        frame = _Frame(_TEMPLATE if template else _LINK, len(self.dropped))
        frame.args = [[part] for part in mark[2:-2].split("|")]
        return self._closed(frame, depth)

    def _closed(self, frame: _Frame, depth: int) -> str:
        """Text of a link, template, table or URL that was closed; counts what left nothing."""
        value = self._value(frame) if depth <= _MAX_DEPTH else None
        if not value:
            # Templates inside something that leaves nothing are no loss of their own.
            del self.dropped[frame.seen :]
            if value is None:
                self.dropped.append(self._name(frame) if depth <= _MAX_DEPTH else _TOO_DEEP)
        return value or ""

    @staticmethod
    def _append(text: str, stack: list[_Frame], out: list[str], open_kinds: list[int]) -> None:
        if open_kinds[_URL] and "\n" in text:
            while stack and stack[-1].kind == _URL:
                # An external link ends with its line: this one was not closed.
                frame = stack.pop()
                open_kinds[_URL] -= 1
                target = stack[-1].args[-1] if stack else out
                target.extend(_flat(frame))
        (stack[-1].args[-1] if stack else out).append(text)

    def _value(self, frame: _Frame) -> str | None:
        """What a reader sees; None for an unknown template."""
        if frame.kind == _TABLE:
            return ""
        if frame.kind == _URL:
            return "".join(frame.args[0]).strip(_EDGE)
        if frame.kind == _LINK:
            target, *shown = frame.joined()
            return self._link(target, "|".join(shown))
        return self._template(frame)

    def _link(self, target: str, shown: str) -> str:
        target = target.strip(_EDGE)
        shown = shown.strip(" \t")
        if ":" in target:
            prefix = target.partition(":")[0]
            if not prefix:
                return shown or target[1:].lstrip()
            name = " ".join(prefix.replace("_", " ").split()).casefold()
            if name in self._hidden or name in LANGUAGE_CODES:
                return ""
        return shown or target

    @staticmethod
    def _name(frame: _Frame) -> str:
        name = "".join(frame.args[0]).replace(EQUALS, "=").replace(VOID, "")
        name = _SUBST.sub("", " ".join(name.replace("_", " ").split()), count=1)
        return name[:_NAME_CHARS]

    def _template(self, frame: _Frame) -> str | None:
        name = self._name(frame)
        args = _arguments(frame.args[1:])
        function, colon, value = name.partition(":")
        if colon:
            function = function.strip()
            if function.casefold() not in TEMPLATE_PREFIXES:
                return self._templates.function(function, value.strip(), args)
            name = value.strip()
        if name.startswith("#"):
            return self._templates.function(name.split(" ")[0], "", args)
        if name.casefold() in DISAMBIGUATION:
            self.disambiguation = True
            return ""
        return self._templates.render(name, args, self._title)


def _table_start(text: str, place: int, before: str) -> int:
    """Where the line begins on which a mark of tables stands at `place`; -1 where more stands
    before it than some of the characters `before`: it is no mark then."""
    line = text.rfind("\n", max(0, place - _MAX_BEFORE_TABLE - 1), place) + 1
    if line == 0 and place > _MAX_BEFORE_TABLE:
        return -1
    return -1 if text[line:place].strip(before) else line


def _popped(kind: int, stack: list[_Frame], open_kinds: list[int]) -> _Frame:
    """Takes the innermost frame of a kind off the stack; what was opened in it is text of it."""
    unmatched: list[_Frame] = []
    while stack[-1].kind != kind:
        unmatched.append(stack.pop())
        open_kinds[unmatched[-1].kind] -= 1
    frame = stack.pop()
    open_kinds[kind] -= 1
    for inner in reversed(unmatched):
        frame.args[-1].extend(_flat(inner))
    return frame


def _kind(mark: str) -> tuple[int, bool]:
    if mark == "{{":
        return _TEMPLATE, True
    if mark == "}}":
        return _TEMPLATE, False
    if mark == "[[":
        return _LINK, True
    if mark == "]]":
        return _LINK, False
    if mark == "]":
        return _URL, False
    if mark.endswith("{|"):
        return _TABLE, True
    if mark.endswith("|}"):
        return _TABLE, False
    return _URL, True


def _arguments(args: list[list[str]]) -> dict[str, str]:
    """Parameters by name; those without a name are numbered from "1". The last of a name wins."""
    values: dict[str, str] = {}
    position = 0
    for pieces in args:
        text = "".join(pieces)
        name, equals, value = text.partition("=")
        if equals:
            values[name.strip(_EDGE).casefold()] = value.strip(_EDGE).replace(EQUALS, "=")
        else:
            position += 1
            values[str(position)] = text.strip(_EDGE).replace(EQUALS, "=")
    return values


def _flat(frame: _Frame) -> list[str]:
    """What remains of a link, template, table or URL that is never closed: its text."""
    if frame.kind in (_TABLE, _URL):
        return [piece for pieces in frame.args for piece in pieces]
    name = "".join(frame.args[0])
    if frame.kind == _LINK:
        prefix = name.partition(":")[0].strip().casefold()
        keep = [] if prefix in FILE_PREFIXES and len(frame.args) > 1 else frame.args[:1]
    else:
        # A short first argument is the template's name; a long one is text that follows "{{".
        keep = [] if len(frame.args) > 1 and len(name) < 80 else frame.args[:1]
    out = [piece for pieces in keep for piece in pieces]
    for pieces in frame.args[1:]:
        out.append("|")
        out.extend(pieces)
    return out
