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
_TOKEN = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\|(?!\})|^[:;*# \t]{0,20}\{\||^[ \t]{0,20}\|\}(?!\}(?!\}))|\|"
    r"|\[(?:(?:https?|ftps?|sftp|ircs?|gopher|telnet|nntp|git|svn|ssh|worldwind):)?//"
    r"[^\s\[\]{}|<>\"]*|\[(?:mailto|news|tel|sip|geo|urn|magnet|xmpp):[^\s\[\]{}|<>\"]*|\]",
    re.MULTILINE,
)
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
        position = 0
        search = _TOKEN.search
        while (token := search(text, position)) is not None:
            start, end = token.span()
            if start > position:
                self._append(text[position:start], stack, out, open_kinds)
            mark = token.group()
            position = end
            if mark == "|":
                if stack and stack[-1].kind in (_TEMPLATE, _LINK):
                    stack[-1].args.append([])
                else:
                    self._append(mark, stack, out, open_kinds)
                continue
            if mark == "]]" and stack and stack[-1].kind == _URL:
                mark, position = "]", start + 1
            kind, opens = _kind(mark)
            if opens:
                stack.append(_Frame(kind, len(self.dropped)))
                open_kinds[kind] += 1
                continue
            if not open_kinds[kind] or (mark == "]" and stack[-1].kind != _URL):
                self._append(mark, stack, out, open_kinds)
                continue
            depth = len(stack)
            unmatched: list[_Frame] = []
            while stack[-1].kind != kind:
                unmatched.append(stack.pop())
                open_kinds[unmatched[-1].kind] -= 1
            frame = stack.pop()
            open_kinds[kind] -= 1
            for inner in reversed(unmatched):
                frame.args[-1].extend(_flat(inner))
            value = self._value(frame) if depth <= _MAX_DEPTH else None
            if not value:
                self._append(VOID, stack, out, open_kinds)
                # Templates inside something that leaves nothing are no loss of their own.
                del self.dropped[frame.seen :]
                if value is None:
                    self.dropped.append(self._name(frame) if depth <= _MAX_DEPTH else _TOO_DEEP)
            else:
                if stack and stack[-1].kind == _TEMPLATE and "=" in value:
                    value = value.replace("=", EQUALS)
                self._append(value, stack, out, open_kinds)
        self._append(text[position:], stack, out, open_kinds)
        for frame in stack:
            out.extend(_flat(frame))
        return "".join(out)

    @staticmethod
    def _append(text: str, stack: list[_Frame], out: list[str], open_kinds: list[int]) -> None:
        while stack and stack[-1].kind == _URL and "\n" in text:
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
            return self._link(frame.joined())
        return self._template(frame)

    def _link(self, args: list[str]) -> str:
        target = args[0].strip(_EDGE)
        shown = "|".join(args[1:]).strip(" \t")
        if target.startswith(":"):
            target = target[1:].lstrip()
            return shown or target
        prefix, colon, _ = target.partition(":")
        if colon:
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
