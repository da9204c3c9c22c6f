"""Does a paragraph of a comment speak of copyright and licences, or of the code?

Judged by the phrases of the licences in use and of the sentences by which files refer to them.
A word alone (`license`, `copyright`, `MIT`) is never enough: programs speak about licences too.
Phrases that no program's documentation has (`Permission is hereby granted`) prove a licence; the
others are hints, and need a second sign in the same comment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

from stages.github.attribution import is_attribution
from stages.github.notices import begins_notice, goes_on, is_notice, notices


class Kind(IntEnum):
    """What a paragraph is, from harmless to legal.

    TEXT: about the code. WEAK: author, date, version, address: goes only along with legal text.
    HINT: speaks like a licence, or of one. NOTICE: lines that claim a copyright. GRANT: a licence,
    or a reference to one.
    """

    TEXT = 0
    WEAK = 1
    HINT = 2
    NOTICE = 3
    GRANT = 4


_NAMES = (
    r"(?:mit|x11|isc|zlib|wtfpl|mpl|epl|cddl|[al]?gpl|bsd|apache|artistic|unlicense|boost|python"
    r"|cc[ -]by\S*|cc0|mozilla|eclipse|creative commons|ms-pl|postgresql|ruby|perl|public domain)"
)

_HINT = re.compile(
    r"""(?xi)
    spdx-license | @licen[sc]e\b | ^:?licen[sc]e\s*: | __license__
    | (?: ^ | [^\w\s'"]\s* | \b(?:is|are|be|been|was|and|also|both|code|software|file|or)\s+ )
      (?:(?:dual|multi|tri)[\s-]*)? licen[sc]ed \s+ (?:to|by|under|for\s+use)\b
    | \b(?:released|(?:re)?distributed|(?:made\s+)?available|provided|published|covered|governed
        |subject|permitted|contributed) \s+ (?:\w+\s+){0,2}?
      (?:under|by|to|in\s+accordance\s+with|according\s+to|on)\b .{0,90}?
      (?: \blicen[sc](?:e|es|ing)\b | \b[al]?gpl\b | \bbsd\b | \bmit\b | \bpublic\s+domain\b
        | \bwtfpl\b)
    | \bpermissions?\s+(?:is\s+hereby|is\s+granted|to\s+use|to\s+copy|is\s+given|has\s+been\s+gr)
    | \b(?:above|following|this|its|original|entire|such)\s+(?:copyright|permission|licen[sc]e)
      (?:\s+and\s+\w+)?\s+(?:notices?|statement|header|text)\b
    | \b(?:re)?distributions?\s+(?:and\s+use|(?:of|in)\s+(?:source|binary|any))\b
    | \bredistribute\s+(?:it|this|them|and)\b | \bfreely\s+(?:re)?distribut
    | \bthis\s+(?:software|file|program|library|code|work|package|script|material)\s+
      (?: is\s+(?:hereby\s+)?(?:free\s+software|placed|made\s+available|licen[sc]ed|copyright
        |free\s+and\s+unencumb|proprietary|confidential|governed|subject\s+to|protected|covered)
      | (?:is\s+provided|comes)\s+(?:["'`]*as[ -]is|by\s+the|without|under|with\s+(?:no|abs))
      | (?:may|can|must)(?:\s+only)?\s+(?:not\s+)?be\s+(?:freely\s+)?(?:used|copied|redist|distrib))
    | \bwith(?:out|\s+no)\s+(?:any\s+|even\s+the\s+implied\s+|express\s+)?warrant
    | \b(?:no|absolutely\s+no)\s+warrant | \bmerchantability\b | \bfitness\s+for\s+(?:a|any)\s+part
    | \bwarrant(?:y|ies)\s+(?:or\s+conditions\s+)?of\s+(?:any|merch)
    | \bdisclaims?\s+all\b | \bin\s+no\s+(?:event|way)\s+(?:shall|will|are|be|is)\b
    | ["'`]as[ -]is["'`] | \bliab(?:le|ility)\s+for\s+any\b
    | \bgnu\s+(?:\w+\s+){0,2}(?:public|documentation)\s+licen | \bgnu\s+[al]?gpl\b
    | \bfree\s+software\s+foundation\b | \bsource\s+code\s+form\s+is\s+subject
    | \b(?:mozilla|eclipse|common|academic|microsoft|python|apple|zope|sun|ibm|nokia|european)
      \s+(?:\w+\s+){0,3}licen[sc]e\b.{0,12}(?:version|v?\d|\(|,|\.)
    | \bcreative\s+commons\s+(?:attribution|zero|licen|cc0)
    | \bboost\s+software\s+licen | \bapache\s+licen[sc]e,?\s+(?:v|2)
    | \b(?:apache|gnu|opensource|creativecommons|mozilla|boost|unlicense|spdx)\.org/
      (?:[^\s]{0,40})?(?:licen[sc]e|publicdomain|mpl|copyleft)
    | \byou\s+(?:may|can|should|must|are)\s+(?:not\s+|also\s+)?
      (?:use|obtain|copy|redistribute|modify|select|choose|have\s+received|permitted|free\s+to)\b
      .{0,60}\b(?:licen[sc]e|copy\s+of|software|this\s+file|gpl)\b
    | \bunless\s+required\s+by\s+(?:applicable\s+)?law
    | \bsee\s+(?:the\s+|its\s+|our\s+|also\s+)?(?:\w+\s+){0,2}["'`<(]*
      (?:licen[sc]e|copying|copyright)(?:[.-]\w+)*["'`>)]*
      (?:\s+(?:file|for|in|at|that|and|distributed|included|page|section)\b|\s*[.,:;)]|\s*$)
    | \bfor\s+(?:the\s+)?(?:more\s+|full\s+|further\s+|complete\s+|additional\s+|exact\s+)*
      (?:details\s+(?:on|of|about)\s+(?:the\s+|its\s+)?)?
      (?:licen[sc](?:e|es|ing)|copyright|redistribution)\s*
      (?:and\s+\w+\s+)?(?:info|terms|details|conditions|,|please|see|statement)
    | \buse\s+of\s+this\s+(?:source|software|file|code|program|work)\b.{0,40}\b(?:govern|subject)
    | \bterms\s+(?:and\s+conditions\s+)?of\s+(?:the|this|that|its|an?|either)\b.{0,70}licen[sc]e
    | \b(?:endorse\s+or\s+promote|patent\s+rights?\s+can|no\s+rights\s+reserved|trade\s+secret)\b
    | \b(?:in|into|to)\s+the\s+public\s+domain\b | \bproprietary\s+and\s+confidential
    | \bconfidential\s+and\s+proprietary | \bunpublished\s+(?:work|proprietary|rights|material)
    | \bspecific\s+language\s+governing | \bviews\s+and\s+conclusions\s+contained
    | \bdo\s+what\s+the\s+f | \bis\s+part\s+of\b.{0,80}\blicen[sc]
    | \bsame\s+(?:terms|licen[sc]e)\s+as\b | \bcopyrights?\s+(?:and\s+licen|licen[sc])
    | \bcontributor\s+licen[sc]e\s+agreement | \bnotice\s+file\s+distributed
    | \b(?:license|copying|copyright)\.(?:txt|md|rst|html)\b
    """
)
# Sentences that are licences or refer to one, whatever stands around them.
_GRANT = re.compile(
    rf"""(?xi)
    \bpermission\s+is\s+hereby\s+granted | \bpermission\s+to\s+use,\s*copy
    | \bpermission\s+is\s+granted\s+to\s+(?:anyone|copy|make|use|distribute|any\s+person)\b
    | (?: ^ | [^\w\s'"]\s* | \b(?:is|and|also|code|software|file)\s+ )
      (?:(?:dual|multi|tri)[\s-]*)? licen[sc]ed \s+ (?:to|by|under|for\s+use)\b .{{0,90}}?
      (?: \blicen[sc]es?\b | \b{_NAMES}(?:v?\d|\b) | \bcontributor )
    | \b(?:released|(?:re)?distributed|available|provided|published|covered|is|redistribute
        |permitted|contributed|placed|used?|copied) \b .{{0,60}}?
      (?: \bunder | \bgoverned\s+by | \bsubject\s+to )\b .{{0,60}}?
      (?: \b{_NAMES}(?:v?\d|\b).{{0,30}}?\blicen[sc] | \b[al]?gpl(?:v?\d|\b)
        | \bcreative\s+commons\b | \bsame\s+(?:terms|licen[sc]e)\s+as\s+(?:perl|ruby|python|lua)
        | \bwtfpl\b)
    | \bredistributions?\s+(?:and\s+use\s+)?(?:of|in)\s+(?:source|binary)\b
    | \b(?:this|the)\s+(?:\w+\s+)?(?:software|file|program|library|code|work|package|script)\s+
      (?: is\s+free\s+(?:software\b|and\s+unencumb)
      | is\s+(?:hereby\s+)?(?:placed\s+|released\s+)?in(?:to)?\s+the\s+public\s+domain\s*(?:$|[.,;])
      | (?:is|are)\s+provided\s.{{0,60}}["'`]?as[ -]is\b
      | (?:is|are)\s+(?:licen[sc]ed|subject\s+to\s+the\s+(?:terms|licen|\w+\s+licen)))
    | \b(?:released|placed|dedicated)\s+(?:in)?to\s+the\s+public\s+domain\b
    | \bprovided\s+(?:by\s.{{0,60}})?["'`]as[ -]is["'`]
    | \bwithout\s+(?:any\s+)?(?:express\s.{{0,30}})?warrant(?:y|ies)
      (?:\s+of\s+any\s+kind|\s+or\s+cond|;)
    | \bin\s+no\s+event\s+(?:shall|will)\b.{{0,90}}\bliable\b
    | \b(?:under|of|by)\s+the\s.{{0,30}}\bgnu\s+(?:\w+\s+){{0,2}}public\s+licen
    | \bsource\s+code\s+form\s+is\s+subject\s+to | \bunless\s+required\s+by\s+applicable\s+law
    | \buse\s+of\s+this\s+(?:source|software|file|code)\b.{{0,40}}\b(?:governed|subject)\b
    | \byou\s+(?:may|can|should)\s+(?:obtain|have\s+received)\s+a\s+copy\s+of\s+(?:the|this)\b
      .{{0,40}}\blicen[sc]e
    | (?: ^ | [.;|]\s+ ) for\s+(?:the\s+)?(?:\w+\s+){{0,2}}?
      (?:licen[sc](?:e|ing)|copyright)\b.{{0,60}}\b(?:see|view)\b
    | (?: ^ | [.;,|)-]\s* ) (?:the\s+)?{_NAMES}(?:[\s-]+(?:style|v?[\d.]+|\d-clause))?[\s-]+
      licen[sc]ed?\b\s*(?:\({_NAMES}\)\s*)?(?:$|[.;:|,-])
    | \bapache\s+licen[sc]e,?\s+version\s+2 | \bboost\s+software\s+licen[sc]e\s*[,-]\s*version
    | \bdo\s+what\s+the\s+f
    """
)
# The same, by the beginning of a line.
_GRANT_LINE = re.compile(
    rf"(?i)^(?:spdx-licen[sc]e-identifier:\s*\S|@licen[sc]e\b|__license__\s*="
    rf"|[:@]?licen[sc]e\s*:\s*(?:the\s+)?(?:\w+\s+)?[\"'(]*(?:{_NAMES}(?:v?\d|\b)|public\b|see\b|https?:)"
    rf"|(?:the\s+)?{_NAMES}(?:[\s-]+(?:style|v?[\d.]+|\d-clause))?[\s-]+licen[sc]ed?\W*$)"
)
# Case tells the file names LICENSE and COPYING from the words.
_LICENCE_FILE = re.compile(r"\b[Ss]ee\b.{0,60}\b(?:LICEN[SC]ES?|COPYING|COPYRIGHT|NOTICE)\b")
_SHORT_NAME = re.compile(
    rf"(?i)\b{_NAMES}(?:[\s-]+(?:style|like|v?[\d.]+|software|new|\d-clause))*[\s-]+"
    rf"licen[sc]e[ds]?\b|\blicen[sc]e[ds]?\b\W{{0,3}}(?:\w+\s+){{0,2}}{_NAMES}\b"
)
_GRANT_FILE = re.compile(
    r"(?:^|[.;,|]\s+)(?:[Pp]lease\s+)?[Ss]ee\s+(?:\w+\s+){0,4}[\"'`<(]*"
    r"(?:\S{0,60}/)?(?:LICEN[SC]ES?|COPYING|COPYRIGHT|NOTICE)\b"
)
_SHORT_WORDS = 10
_LEGAL = re.compile(
    r"(?i)\b(licen[sc]|copyright|warrant|liab|damages|distribut|permi[st]|notice|conditions|terms"
    r"|patent|disclaim|modif|contribut|obligat|rights|legal|endors|derivative|binary|source code)"
)
_LEGAL_WORDS = 3
# Some word of these is in every sentence of a licence.
_LAW = re.compile(
    r"(?i)\b(?:licen[sc]|(?:un)?copyright|warrant|liab|damage|(?:re)?distribut|permi(?:t|ss)|notice"
    r"|conditions|terms|patent|disclaim|modif|contribut|obligat|rights|legal|law\b|endors|derivative"
    r"|binary|source code|source form|as[ -]is\b|gnu\b|[al]?gpl|spdx|free software|open source"
    r"|foundation|merchantab|implied|public domain|copying|royalt|commercial|own risk|granted"
    r"|proprietary|confidential|trade secret|agree|acknowledg|third[ -]part|perpetual|apply to"
    r"|authors? files?\b|received a copy|creative ?commons|cc0)"
    r"|(?:^|\W)(?:COPYING|AUTHORS|NOTICE|LICEN[SC]E)\b"
)
_GOES_ON = re.compile(r"[(*\"'`\s]*[a-z]")
# Whose work code is: `adapted from ..., which is under the MIT license`.
_ORIGIN = re.compile(
    r"(?i)\b(?:modified|stripped|reduced|extended|changed|slightly) (?:version|port|copy) of\b"
    r"|\b(?:adapted|derived|ported|taken|copied|borrowed|translated|forked|vendored"
    r"|material|extracted|inspired) (?:\w+ )?(?:from|by)\b|\bbased (?:up)?on\b"
)
_STRONG = re.compile(
    r"(?i)\bhereby\b|\bredistribut|\bwarrant|\bpermission\b|\bderived from this (?:software|work)"
    r"|\bthis (?:file|source|software|work|program|module|code|library) (?:is|may be|can be) "
    r"(?:\w+ )?(?:licen[sc]ed|released|distributed|subject|governed|made available|free software)"
    r"|\bspdx-|\byou may\b|\blimitation"
)
_UNFINISHED = re.compile(
    r"\b(?:a|an|and|as|at|by|for|from|in|is|of|on|or|the|to|under|which|with)$"
)
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]>]*$")
# Each grant has at least one of these words; a cheap test that most comments fail.
_GRANT_WORDS = (
    *("licen", "permi", "warrant", "distribut", "copyright", "copying", "domain", "spdx", "gpl"),
    *("as is", "as-is", "merchant", "fitness", "disclaim", "liab", "free software", "notice"),
    *("source code form", "endorse", "patent", "secret", "confidential", "proprietary", "rights"),
    *("same terms", "creative commons", "bsd", "mit", "wtfpl"),
    *("unpublished", "required by", "govern", "unencumb", "in no ", "what the f", "conclusions"),
)
_SENTENCE = re.compile(r"(?<=[.;:!?])\s+")
_FOLD = re.compile(r"\s+")
_JUDGED_CHARS = 8_000


def is_grant(lines: Sequence[str]) -> bool:
    """Does this paragraph grant a licence, or say where to find it, beyond doubt?"""
    text = _judged(lines)
    if not _may_grant(text):
        return False
    return bool(
        _GRANT.search(text)
        or _GRANT_FILE.search(text)
        or any(_GRANT_LINE.match(line) for line in lines)
    )


def hints(lines: Sequence[str]) -> int:
    """Number of sentences of a paragraph that speak like a licence, or of one."""
    text = _judged(lines)
    if not _may_grant(text):
        return 0
    if len(text.split(" ")) <= _SHORT_WORDS and _SHORT_NAME.search(text):
        return 1
    sentences = sum(_hint(sentence) is not None for sentence in _SENTENCE.split(text))
    return sentences or int(_hint(text) is not None)


def first_legal(lines: Sequence[str]) -> int:
    """Index of the line with which the legal part of a paragraph begins; 0 if that is not clear."""
    for i, line in enumerate(lines):
        if is_notice(line) or is_attribution(line) or _speaks([line]):
            return i
        # A phrase may begin at the end of a line.
        pair = lines[i : i + 2]
        if len(pair) == 2 and _speaks(pair) and not _speaks(pair[1:]):
            return i
    return 0


def legal_lines(lines: Sequence[str]) -> list[bool]:
    """Which lines of a paragraph that grants a licence go.

    From the line with which the first legal sentence begins; but of what follows, sentences that
    fill whole lines and have no word of law are about the code. Lines before the first belong to
    it where it visibly runs on from them. A sentence that says where code comes from stays whole.
    """
    first = first_legal(lines)
    while first > 0 and lines[first][:1].islower() and lines[first - 1][-1:] not in ".:!?":
        first -= 1
    drop: list[bool] = []
    for sentence in _sentences(lines):
        at = len(drop)
        words = [line for line in sentence if not is_attribution(line)]
        text = " ".join(words)
        origin = _ORIGIN.search(text) is not None and _STRONG.search(text) is None
        gone = not origin and (not words or any(map(_lawful, words)))
        drop += [
            at + i >= first and (gone or (is_attribution(line) and not origin))
            for i, line in enumerate(sentence)
        ]
    return drop


def _sentences(lines: Sequence[str]) -> list[list[str]]:
    """Runs of lines, parted where a sentence (or a notice, a tag, an attribution) ends with one and
    the next line begins another."""
    found: list[list[str]] = []
    for i, line in enumerate(lines):
        before = lines[i - 1] if i else ""
        claims = i > 0 and is_notice(before)
        runs_on = _UNFINISHED.search(before[-12:]) or (claims and goes_on(before, line))
        starts = not (_GOES_ON.match(line) or runs_on)
        ended = claims or _SENTENCE_END.search(before[-8:]) or _is_tag(before) or _is_tag(line)
        if i == 0 or (starts and (ended or is_attribution(before))):
            found.append([])
        found[-1].append(line)
    return found


def _is_tag(line: str) -> bool:
    """Is a line a notice, an attribution or a short grant by itself?"""
    return begins_notice(line) or _GRANT_LINE.match(line) is not None or is_attribution(line)


def _lawful(line: str) -> bool:
    return _LAW.search(line) is not None or (
        line.isupper() and len(line.split()) >= _LEGAL_WORDS  # disclaimers shout
    )


def _speaks(lines: Sequence[str]) -> bool:
    return hints(lines) > 0 or is_grant(lines)


def _hint(text: str) -> re.Match[str] | None:
    return _HINT.search(text) or _LICENCE_FILE.search(text)


def _judged(lines: Sequence[str]) -> str:
    return _FOLD.sub(" ", " ".join(lines)[:_JUDGED_CHARS]).strip()


def _may_grant(text: str) -> bool:
    folded = text.lower()
    return any(word in folded for word in _GRANT_WORDS)


def is_legal(text: str) -> bool:
    """Does this text, between two paragraphs of a licence, belong to it?"""
    words = {m.lower() for m in _LEGAL.findall(text[:_JUDGED_CHARS])}
    return len(words) >= _LEGAL_WORDS


def kind_of(lines: Sequence[str]) -> Kind:
    """Judges a paragraph of a comment, given as lines without comment marks."""
    if is_grant(lines):
        return Kind.GRANT
    if any(notices(lines)):
        return Kind.GRANT if hints(lines) else Kind.NOTICE
    if all(is_attribution(line) for line in lines):
        return Kind.WEAK
    return Kind.HINT if hints(lines) else Kind.TEXT
