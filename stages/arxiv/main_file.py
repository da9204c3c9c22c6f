"""Which file of a submission is the paper."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from stages.arxiv.tree import Tree

_TEX = re.compile(r"\.(tex|ltx|latex)$", re.I)
_OTHER = re.compile(
    r"\.(sty|cls|clo|bst|bbl|bib|def|ins|dtx|txt|log|aux|inc|cfg|fd|xxx|md|json)$", re.I
)
_README = re.compile(r"00readme(?:\.(?:xxx|json|yaml|yml|toml|txt))?", re.I)
_IGNORED = re.compile(r"^%auto-ignore", re.MULTILINE)
_CLASS = re.compile(
    r"\\document(?:class|style)\s*(?:\[[^\]]{0,2000}\]\s*)?(?:%[^\n]*\n\s*)?\{([^}]{0,100})\}"
)
_BEGIN = re.compile(r"\\begin\s*\{\s*document\s*\}")
_TEXT = re.compile(r"\\begin\s*\{(?!filecontents)|\\(?:sub)*section\b")
_READS = re.compile(r"\\(?:input|include|subfile)\s*(?:\{([^{}\n]{1,200})\}|\s([^\s{}\\]{1,200}))")
_PLAIN = re.compile(
    r"\\(?:(?:bye|magnification|beginsection|newsec|input\s*\{?(?:amstex|harvmac|phyzzx|jnl|plain)"
    r"|documentstyle|proclaim|topmatter)\b|(?<=^\\)end\s*\Z)",
    re.MULTILINE,
)
_COMMAND = re.compile(r"\\[A-Za-z]+|\$[^$]+\$")
_PARTS = ("subfiles", "standalone", "tikz")
_USUAL = ("main", "ms", "paper", "article", "manuscript", "arxiv", "root", "thesis", "mainarxiv")
_ASIDE = re.compile(
    r"supp|appendi|response|rebuttal|reply|referee|cover|letter_to|poster|slides|talk|template|"
    r"sample|example|diff|changes|old|backup|copy|figure|\bfig|errata|solution|test|\bsi\b|draft",
    re.I,
)
_HEAD = 200_000  # characters of a file that are looked at
_AUTO_IGNORE_HEAD = 2000
# Bounds on hostile submissions, in which every file names every other; books name some hundreds.
_MAX_NAMED = 20_000  # files named by all files together
_MAX_REACHED = 200_000  # files reached from all files together


@dataclass(frozen=True, slots=True)
class Choice:
    """The main file, or None with a reason and what was found; `others`: further documents."""

    name: str | None
    reason: str = ""
    detail: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    rank: tuple[object, ...]
    document: bool


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one file says of itself: its class, whether it begins a document, or is plain TeX."""

    class_: str | None
    begins: bool
    plain: bool


def has_own_document(text: str) -> bool:
    """Whether a file is a document with a preamble of its own, not one that shows a document."""
    match = next(_live(_CLASS, text[:_HEAD]), None)
    return match is not None and _TEXT.search(text, 0, match.start()) is None


def choose(tree: Tree, identifier: str = "") -> Choice:
    """The file that the paper begins with.

    In this order of weight: named as top level in 00README; a document that no other file reads;
    beside a `.bbl` of its name, which arXiv asks for; no name of things beside the paper; a usual
    name; not in a folder; more text, with all that it reads; the name.
    """
    ignored, toplevel = _readme(tree)
    withdrawn = 0
    texts: dict[str, str] = {}
    for name in tree.names():
        if _OTHER.search(name) or name in ignored or name.lower().startswith("anc/"):
            continue
        if _README.fullmatch(posixpath.basename(name)):
            continue
        text = tree.text(name)
        if _IGNORED.search(text[:_AUTO_IGNORE_HEAD]):
            withdrawn += 1
        elif text.strip() and (_TEX.search(name) or has_own_document(text)):
            texts[name] = text[:_HEAD]
    if not texts and withdrawn:
        return Choice(None, "withdrawn", "%auto-ignore")
    reads = _reads(tree, texts)
    read = {wanted for name, found in reads.items() for wanted in found if wanted != name}
    facts = {name: _facts(text) for name, text in texts.items()}
    budget = _MAX_REACHED
    candidates = []
    for name in texts:
        reach = _reach(name, reads, max(1, budget))
        budget -= len(reach)
        candidates.append(
            _candidate(tree, name, facts, reach, name in read, name in toplevel, identifier)
        )
    candidates = [c for c in candidates if c.document or _COMMAND.search(texts[c.name])]
    if not candidates:
        whole = " ".join(texts.values())[:5000]
        if re.search(r"withdrawn|withdrew", whole, re.I):
            return Choice(None, "withdrawn", " ".join(whole.split())[:200])
        return Choice(None, "no_tex", f"{len(tree.names())} text files")
    best = max(candidates, key=lambda c: c.rank)
    text = texts[best.name]
    if not best.document and len(text) < 2000 and re.search(r"withdrawn|withdrew", text, re.I):
        return Choice(None, "withdrawn", " ".join(text.split())[:200])
    others = sorted(
        c.name for c in candidates if c.document and c is not best and c.name not in read
    )
    return Choice(best.name, others=tuple(others[:20]))


def _facts(text: str) -> _Facts:
    class_ = next(_live(_CLASS, text), None)
    begins = next(_live(_BEGIN, text), None) is not None
    name = class_.group(1).strip() if class_ is not None else None
    return _Facts(name, begins, _PLAIN.search(text) is not None)


def _candidate(
    tree: Tree,
    name: str,
    facts: dict[str, _Facts],
    reach: list[str],
    read: bool,
    toplevel: bool,
    identifier: str,
) -> _Candidate:
    class_ = next((c for file in reach if (c := facts[file].class_) is not None), None)
    part = class_ in _PARTS
    begins = any(facts[file].begins for file in reach)
    document = (class_ is not None and not part) or begins
    plain = not document and any(facts[file].plain for file in reach)
    folder, base = posixpath.split(name)
    stem = posixpath.splitext(base)[0]
    lower = re.sub(r"[^a-z]", "", stem.lower())
    rank = (
        toplevel,
        document or plain,
        not read,
        class_ is not None and begins and not part,
        f"{posixpath.join(folder, stem)}.bbl" in tree,
        not _ASIDE.search(name) and not _slides(class_),
        lower in _USUAL or (bool(identifier) and stem.startswith(identifier)),
        -name.count("/"),
        sum(tree.size(file) for file in reach),
        [-ord(c) for c in name],
    )
    return _Candidate(name, rank, document or plain)


def _live(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """The matches that do not stand in a comment."""
    for match in pattern.finditer(text):
        line = text[
            max(0, text.rfind("\n", 0, match.start()) + 1, match.start() - 1000) : match.start()
        ]
        if "%" not in line.replace("\\%", ""):
            yield match


def _slides(class_: str | None) -> bool:
    return class_ in (
        *("beamer", "letter", "tikzposter", "a0poster", "powerdot", "slides", "seminar"),
    )


def _reads(tree: Tree, texts: dict[str, str]) -> dict[str, list[str]]:
    """The files that each file names to be read."""
    found: dict[str, list[str]] = {}
    budget = _MAX_NAMED
    for name, text in texts.items():
        folder = posixpath.dirname(name)
        matches = list(islice(_live(_READS, text), budget))
        budget -= len(matches)
        wanted = (
            tree.find(match[1] or match[2], [folder, ""], (".tex", ".ltx")) for match in matches
        )
        found[name] = sorted({file for file in wanted if file in texts and file is not None})
    return found


def _reach(name: str, reads: dict[str, list[str]], limit: int) -> list[str]:
    """A file and all that is read from it, in the order in which they are met; at most `limit`."""
    reach = {name: None}
    queue = [name]
    while queue and len(reach) < limit:
        for file in reads[queue.pop()]:
            if file not in reach and len(reach) < limit:
                reach[file] = None
                queue.append(file)
    return list(reach)


def _readme(tree: Tree) -> tuple[set[str], set[str]]:
    """Files that arXiv's 00README says to ignore, and those that it says are top level."""
    ignored: set[str] = set()
    toplevel: set[str] = set()
    for name in tree.names():
        if "/" in name or not _README.fullmatch(name):
            continue
        text = tree.text(name)[:100_000]
        for line in text.splitlines():
            words = line.split()
            if len(words) == 2 and words[1].lower() in ("ignore", "toplevelfile"):
                (ignored if words[1].lower() == "ignore" else toplevel).add(words[0])
        # The newer forms, JSON and YAML, list `filename` and `usage` side by side.
        for entry in re.finditer(
            r"[\"']?(filename|usage)[\"']?\s*:\s*[\"']?([^\"',\n}]{1,300})[\"']?[,\s-]{1,50}"
            r"[\"']?(filename|usage)[\"']?\s*:\s*[\"']?([^\"',\n}]{1,300})",
            text,
        ):
            pair = {entry[1]: entry[2].strip(), entry[3]: entry[4].strip()}
            usage, file = pair.get("usage"), pair.get("filename")
            if file and usage in ("ignore", "toplevel"):
                (ignored if usage == "ignore" else toplevel).add(file)
    return ignored, toplevel
