"""Names of languages, as Project Gutenberg's headers and EPUBs have them, to ISO 639 codes."""

from __future__ import annotations

import re

_NAMES = (
    "af afrikaans|ar arabic|ast asturian|bg bulgarian|br breton|ca catalan|cs czech|cy welsh"
    "|da danish|de german|el greek|en english|eo esperanto|es spanish|es castilian|et estonian"
    "|eu basque|fa persian|fa farsi|fi finnish|fr french|fur friulian|fy frisian|ga irish"
    "|gd gaelic|gd scottish gaelic|gl galician|grc ancient greek|grc classical greek|he hebrew"
    "|hi hindi|hr croatian|hu hungarian|ia interlingua|ilo iloko|ilo ilocano|is icelandic"
    "|it italian|iu inuktitut|ja japanese|ko korean|la latin|lt lithuanian|lv latvian|mi maori"
    "|nah nahuatl|nap neapolitan|nl dutch|nl flemish|no norwegian|no bokmal|nn nynorsk|oc occitan"
    "|oc provencal|ang old english|ang anglo-saxon|enm middle english|pl polish|pt portuguese"
    "|ro romanian|ru russian|sa sanskrit|sco scots|sk slovak|sl slovenian|sl slovene|sr serbian"
    "|sv swedish|te telugu|tl tagalog|tr turkish|uk ukrainian|vi vietnamese|yi yiddish|zh chinese"
)
_CODES: dict[str, str] = {}
for _entry in _NAMES.split("|"):
    _code, _, _name = _entry.partition(" ")
    _CODES[_name] = _code
_THREE = {
    "eng": "en", "fre": "fr", "fra": "fr", "ger": "de", "deu": "de", "spa": "es", "ita": "it",
    "por": "pt", "dut": "nl", "nld": "nl", "fin": "fi", "swe": "sv", "dan": "da", "nor": "no",
    "lat": "la", "gre": "el", "ell": "el", "rus": "ru", "pol": "pl", "cze": "cs", "ces": "cs",
    "hun": "hu", "rum": "ro", "ron": "ro", "chi": "zh", "zho": "zh", "jpn": "ja", "ukr": "uk",
}  # fmt: skip
_TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]{1,8}){0,4}", re.I)
_PARTS = re.compile(r"\s*(?:,|;|/|&|\band\b|\bwith\b|\()\s*", re.I)


def language_code(value: str | None) -> str | None:
    """`English`, `en-GB` or `eng` as `en`; of several the first; None where it is no language."""
    if not value:
        return None
    first = _PARTS.split(value.strip()[:200], maxsplit=1)[0].strip().lower()
    if first in _CODES:
        return _CODES[first]
    match = _TAG.fullmatch(first)
    if match is None or first in ("und", "mul", "zxx", "mis"):
        return None
    code = match[1].lower()
    return _THREE.get(code, code)
