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
_NOTICE = re.compile(
    r"""(?xi)
    \bcopyright\s*(?:notice\s*)?[:,-]?\s*(?:\(\s*c\s*\)|©|&copy;|\\\(co|\d{4}\b|by\s+\S|-?present\b)
    | \bcopyright\b.{0,60}\b(?:19|20)\d{2}\b | \(\s*copyright\s*\)
    | (?:\(\s*c\s*\)|©)\s*(?:copyright|copr\b|by\s|\d{4}\b|.{0,60}\b(?:19|20)\d{2}\b)
    | ^(?:parts|portions|some)\b.{0,60}\bcopyright\b
    | \bcopyrighted\s+by\b | \bcopyright\s+(?:is\s+)?(?:held|owned)\s+by\b
    | ^[:@]copyright\b | ^copyrights?\s*: | \bcopr\.\s | spdx-filecopyright
    | \ball\s+rights\s+reserved\b\W*(?:$|[.;(]|licensed|released|this|see|use)
    """
)
# A name after `Copyright`, told by its capital: `Copyright The Authors`, not `copyright checks`.
_NOTICE_NAME = re.compile(r"^(?:Copyright|COPYRIGHT)\s+(?:the\s+)?[A-Z][\w.&]*(?!\w*:)")
# In lower case amid a line `copyright 2020` is a noun of a sentence, unless the sign follows.
_NOUN = re.compile(r"copyright(?!\s*(?:\(\s*c|\\\(co|©|&copy))")
_GOES_ON = re.compile(r"(?i)(?:,|&|\band|\bby|\d{4}\s*-|\(c\))$")
_ENDS_IN_YEAR = re.compile(r"\b(?:19|20)\d\d$")
# A holder on a line of its own, after the year: all words with capitals, and more than one of them.
_HOLDER = re.compile(
    r"(?:[Tt]he\s+|[Bb]y\s+)?(?:[A-Z][\w.'&-]*,?\s+)(?:(?:[A-Z][\w.'&-]*|of|and|the|&|de|van|von),?\s*)"
    r"{1,6}(?:[<(].{1,80})?"
)
_NOTICE_START = re.compile(
    r"(?i)(?:parts|portions|some)?\s*[:@(]?\s*(?:copyright|c\s*\)|©|spdx-file)"
)
_RIGHTS = re.compile(r"(?i)all\s+rights\b|(?:19|20)\d\d\b")
_WEAK = re.compile(
    r"""(?xi)
    (?:[:@\\]|%%)? (?:(?:original\s+|main\s+|lead\s+|co-?)?authors?|maintainers?|contributors?
      |created(?:\s+(?:by|on|at|date|time))?|written\s+by|developed\s+by|developers?|by|owner
      |dates?|version|revision|rev|since|(?:last\s+)?(?:modified|updated?|changed?|edited)
      |(?:last\s+)?modification(?:\s+date)?|e-?mails?|contacts?|url|web(?:\s*site)?|www|web\s*page
      |home\s*page|file(?:\s*name)?|project|program|package|module|release\s+date|organi[sz]ation
      |company|history|description\s+of\s+licen[sc]e|bugs?|thanks|credits?|source|repo(?:sitory)?
      |doc(?:s|umentation)?|name|github|twitter|id)
      \s*[:=] .{0,120}
    | @(?:authors?|version|date|since|copyright|preserve|file|package|link|category|subpackage
      |see|access|filename|overview|name|module|package)\b .{0,120}
    | (?:originally\s+)?(?:written|created|developed|coded|implemented|contributed|designed|ported
      |maintained|modified|adapted|made|brought\s+to\s+you)\s+(?:\w+\s+)?(?:by|on|at|in)\b .{0,100}
    | (?:author|authors|by|version|revision|v)\b[ ]+\S.{0,60}
    | [$]\w+(?::[^$\n]{0,120})?[$]
    | [<(]?(?:https?://|www\.|ftp://|mailto:)\S{1,200}[>)]?[.,]?
    | [<(]?[\w.+-]{1,60}(?:@|\s+(?:at|\[at\]|\(at\))\s+)[\w.-]{1,80}[>)]?[.,]?
    | [\w][\w.'\s-]{1,60}[<(]\s*[^<>@\s]{1,60}@[^<>\s]{1,80}[>)]?[.,]?
    | [\w./+-]{1,80}\.\w{1,5}
    | (?:19|20)\d\d[-/.]\d\d?[-/.]\d\d? .{0,20} | \d\d?[./-]\d\d?[./-](?:19|20)?\d\d
    | this\s+(?:file|code|module|program|software|script|package)\s+is\s+(?:a\s+)?part\s+of\b
      .{0,120}
    | part\s+of\s+(?:the\s+)?.{0,80}
    | (?:begin|end|start)(?:\s+of)?\s+(?:the\s+)?(?:\w+\s+)?(?:licen[sc]e|copyright|header)
      (?:\s+\w+){0,2}
    | =(?:head\d|over|item|back|pod|for|begin|end)\b.{0,12}
    | =head\d\s+(?:copyright|licen[sc]e|author|disclaimer|warranty)[\w\s&,]{0,40}
    | (?:the\s+)?(?:full\s+|software\s+|legal\s+|copyright\s+|\w+\s+)?
      (?:licen[sc](?:e|es|ing)|copyright|legal|disclaimer|authors?|credits|warranty|\w+\slicen[sc]e)
      (?:\s+(?:and\s+)?(?:licen[sc]e|licensing|notice|info|information|header|statement|block
      |agreement|text|terms))* \s*[:.]?
    """
)
_LEGAL = re.compile(
    r"(?i)\b(licen[sc]|copyright|warrant|liab|damages|distribut|permi[st]|notice|conditions|terms"
    r"|patent|disclaim|modif|contribut|obligat|rights|legal|endors|derivative|binary|source code)"
)
_LEGAL_WORDS = 3
# Each grant has at least one of these words; a cheap test that most comments fail.
_GRANT_WORDS = (
    *("licen", "permi", "warrant", "distribut", "copyright", "copying", "domain", "spdx", "gpl"),
    *("as is", "as-is", "merchant", "fitness", "disclaim", "liab", "free software", "notice"),
    *("source code form", "endorse", "patent", "secret", "confidential", "proprietary", "rights"),
    *("unpublished", "required by", "govern", "unencumb", "in no ", "what the f", "conclusions"),
)
_SENTENCE = re.compile(r"(?<=[.;:!?])\s+")
_FOLD = re.compile(r"\s+")
_JUDGED_CHARS = 8_000


def is_notice(line: str) -> bool:
    """Does this line claim a copyright?"""
    line = line[:_JUDGED_CHARS]
    found = _NOTICE.search(line)
    if found and found.start() > 0 and _NOUN.match(line, found.start()):
        return False
    return bool(found or _NOTICE_NAME.match(line))


def begins_notice(line: str) -> bool:
    """Does this line claim a copyright from its first word on?"""
    return _NOTICE_START.match(line) is not None and is_notice(line)


def goes_on(line: str, following: str) -> bool:
    """Does a notice that ends with `line` continue in the line after it?"""
    if _GOES_ON.search(line[-40:]):
        return True
    if not _ENDS_IN_YEAR.search(line[-40:]):
        return False
    return bool(_RIGHTS.match(following)) or (
        len(following) <= 120 and _HOLDER.fullmatch(following) is not None
    )


def is_weak(line: str) -> bool:
    return len(line) <= 300 and _WEAK.fullmatch(line) is not None


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
        if is_notice(line) or is_weak(line) or _speaks([line]):
            return i
        # A phrase may begin at the end of a line.
        pair = lines[i : i + 2]
        if len(pair) == 2 and _speaks(pair) and not _speaks(pair[1:]):
            return i
    return 0


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
    if any(is_notice(line) for line in lines):
        return Kind.GRANT if hints(lines) else Kind.NOTICE
    if all(is_weak(line) for line in lines):
        return Kind.WEAK
    return Kind.HINT if hints(lines) else Kind.TEXT
