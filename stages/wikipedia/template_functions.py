"""Templates whose visible value needs more than a pattern: units, numbers, dates, lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from stages.wikipedia.locales import NUMBERS, long_date

_PLAIN_NUMBER = re.compile(r"([-+−–±]?)(\d{1,40})(?:([.,])(\d{1,40}))?")
_GROUPED = re.compile(r"[-+−]?\d{1,3}(?:[,\s]\d{3})+(?:\.\d+)?")
_LEADING_NUMBER = re.compile(r"([-+−]?[\d]{1,40}(?:[.,]\d{1,40})?)(?=\D|$)")


@dataclass(slots=True, frozen=True)
class Call:
    """One use of a template: its parameters by name, positional ones as "1", "2", ..."""

    name: str
    args: dict[str, str]
    language: str
    title: str
    keep_ipa: bool

    def positional(self) -> list[str]:
        values: list[str] = []
        while (value := self.args.get(str(len(values) + 1))) is not None:
            values.append(value)
        return values

    def get(self, *names: str) -> str:
        """The first non-empty parameter of these names."""
        return next((value for name in names if (value := self.args.get(name, ""))), "")


def format_number(text: str, language: str) -> str:
    """A plain number as `{{formatnum:}}` shows it in that wiki; anything else unchanged."""
    text = text.strip()
    if _GROUPED.fullmatch(text):
        text = re.sub(r"[,\s]", "", text)
    found = _PLAIN_NUMBER.fullmatch(text)
    if found is None:
        return text
    sign, whole, _, fraction = found.groups()
    style = NUMBERS.get(language, NUMBERS["en"])
    if len(whole) >= 3 + style.least:
        head = len(whole) % 3
        parts = [whole[:head]] if head else []
        parts += [whole[i : i + 3] for i in range(head, len(whole), 3)]
        whole = style.group.join(parts)
    return sign + whole + (style.decimal + fraction if fraction is not None else "")


def _number(call: Call) -> str:
    return format_number(call.get("1"), call.language)


_RANGES = {
    "-": "–", "–": "–", "to": " to ", "to(-)": "–", "and": " and ", "and(-)": " and ",
    "or": " or ", "x": " × ", "×": " × ", "by": " by ", "xx": " × ", "*": " × ", "+": " + ",
    "+/-": " ± ", "±": " ± ", "a": " a ", "e": " e ", "et": " et ", "y": " y ", "i": " i ",
    "și": " și ", "la": " la ", "à": " à ", "bis": " bis ", "und": " und ", "до": " до ",
}  # fmt: skip
_UNITS = {
    "sqmi": "sq mi", "mi2": "sq mi", "km2": "km²", "sqkm": "km²", "m2": "m²", "sqm": "m²",
    "cm2": "cm²", "mm2": "mm²", "km3": "km³", "m3": "m³", "cm3": "cm³", "ft2": "sq ft",
    "sqft": "sq ft", "sqyd": "sq yd", "sqin": "sq in", "cuft": "cu ft", "ft3": "cu ft",
    "cuyd": "cu yd", "cuin": "cu in", "cumi": "cu mi", "c": "°C", "f": "°F", "°c": "°C",
    "°f": "°F", "c-change": "°C", "f-change": "°F", "kph": "km/h", "kmh": "km/h",
    "usgal": "US gal", "u.s.gal": "US gal", "impgal": "imp gal", "pd/sqmi": "/sq mi",
    "pd/km2": "/km²", "/sqmi": "/sq mi", "/km2": "/km²", "inch": "inches", "foot": "feet",
    "mile": "miles", "metre": "metres", "meter": "meters", "acre": "acres", "lt": "long tons",
    "st": "st", "g/cm3": "g/cm³", "kg/m3": "kg/m³", "m/s2": "m/s²", "m3/s": "m³/s",
    "cuft/s": "cu ft/s", "deg": "°",
}  # fmt: skip
_SUBUNITS = frozenset(
    ["in", "ft", "oz", "lb", "yd", "furlong", "fathom", "inch", "foot", "pound", "ounce"]
)


def _unit_name(unit: str) -> str:
    return _UNITS.get(unit.lower(), unit)


def _join_unit(value: str, unit: str) -> str:
    if not unit:
        return value
    return value + unit if unit.startswith("/") else f"{value} {unit}"


def _is_number(text: str) -> bool:
    return bool(text) and text[0] in "0123456789-+−.½¼¾" and len(text) < 60


def _convert(call: Call) -> str:
    """`5|km|mi` gives "5 km": the first, given measure; the converted one is not computed."""
    args = call.positional()
    if not args:
        return ""
    text, position = format_number(args[0].replace("+", " "), call.language), 1
    while position + 1 < len(args) and args[position] in _RANGES:
        text += _RANGES[args[position]]
        text += format_number(args[position + 1].replace("+", " "), call.language)
        position += 2
    unit = args[position] if position < len(args) else ""
    text = _join_unit(text, _unit_name(unit))
    rest = args[position + 1 : position + 3]
    if len(rest) == 2 and _is_number(rest[0]) and rest[1].lower() in _SUBUNITS:
        text += " " + _join_unit(format_number(rest[0], call.language), _unit_name(rest[1]))
    return text


def _power(exponent: str) -> str:
    return f"\x03{exponent}\x04" if exponent and exponent != "1" else ""


def _unit(call: Call) -> str:
    """French `unité`, Spanish `unidad`, Italian `M` and the like: number, units, powers."""
    args = call.positional()
    if not args:
        return ""
    first = args[0]
    leading = _LEADING_NUMBER.match(first)
    if leading is not None:
        first = format_number(leading.group(1), call.language) + first[leading.end() :]
    exponent = call.get("e", "exp")
    text = first + (f" × 10{_power(exponent)}" if exponent else "")
    named = call.get("u", "ul", "unité", "unidad")
    units = [named] if named else args[1:]
    if len(units) > 1 and units[0] in _RANGES and len(units) > 2:
        text += _RANGES[units[0]] + format_number(units[1], call.language)
        units = units[2:]
    position = 0
    while position < len(units):
        unit = units[position]
        power = units[position + 1] if position + 1 < len(units) else ""
        if unit:
            text += " " + _unit_name(unit) + _power(power)
        position += 2
    return text


def _val(call: Call) -> str:
    args = call.positional()
    text = format_number(args[0], call.language) if args else ""
    if len(args) > 1 and args[1]:
        text += " ± " + args[1]
    if exponent := call.get("e"):
        text += f" × 10{_power(exponent)}"
    return _join_unit(text, call.get("u", "ul"))


def _fraction(call: Call) -> str:
    args = [value for value in call.positional() if value][:3]
    if len(args) == 3:
        return f"{args[0]} {args[1]}/{args[2]}"
    return "/".join(["1", *args] if len(args) == 1 else args)


_DIGITS_AFTER_LETTER = re.compile(r"(?<=[A-Za-z)\]])(\d{1,3})")


def _chemistry(call: Call) -> str:
    return _DIGITS_AFTER_LETTER.sub("\x05\\1\x06", "".join(call.positional()))


def _percent(call: Call) -> str:
    args = call.positional()
    if len(args) >= 2:
        try:
            return f"{100 * float(args[0]) / float(args[1]):.0f}%"
        except (ValueError, ZeroDivisionError, OverflowError):
            return ""
    return f"{args[0]}%" if args else ""


def _calendar(parts: list[str], language: str) -> str:
    """Date of the leading parts: year, month, day or day, month, year; as written otherwise."""
    parts = [part for part in parts if part]
    numeric = [part for part in parts if part.isascii() and part.isdigit()]
    if len(numeric) < len(parts[:3]) or not parts:
        return " ".join(parts[:3])
    if len(parts[0]) >= 3:
        year, *rest = parts[:3]
        month, day = [*rest, "", ""][:2]
    elif len(parts) >= 3 and len(parts[2]) >= 3:
        day, month, year = parts[:3]
    else:
        return " ".join(parts[:3])
    number = int(month) if month and len(month) <= 2 else 0
    return long_date(language, year, number, day.lstrip("0"))


def _date(call: Call) -> str:
    args = call.positional()
    found = re.fullmatch(r"(\d{3,4})-(\d\d?)-(\d\d?)", args[0]) if args else None
    text = _calendar(list(found.groups()) if found else args[:3], call.language)
    if call.language == "en" and call.get("df") not in ("y", "yes"):
        text = re.sub(r"^(\d{1,2}) ([A-Z][a-z]+) (\d+)$", r"\2 \1, \3", text)
    return text


def _as_of(call: Call) -> str:
    alternative = call.get("alt")
    if alternative:
        return alternative
    word = "since" if call.get("since") else "as of"
    if not call.get("lc"):
        word = word.capitalize()
    return f"{word} {_calendar(call.positional()[:3], call.language)}".strip()


def _french_century(call: Call) -> str:
    century = call.get("1")
    suffix = call.get("2") or ("er" if century in ("I", "1") else "e")
    return f"{century}{suffix} siècle" if century else ""


def _french_time(call: Call) -> str:
    pairs = zip(call.positional()[:3], ("h", "min", "s"), strict=False)
    return " ".join(f"{value} {unit}" for value, unit in pairs if value)


def _quote(call: Call) -> str:
    text = call.get("text", "quote", "1", "texte", "texto", "testo", "zitat", "citat", "цитата")
    author = call.get(
        "author", "sign", "by", "2", "auteur", "autor", "autore", "автор", "source", "3"
    )
    if not text:
        return ""
    return f"\n{text}\n" + (f"— {author}\n" if author and len(author) < 300 else "")


def _items(call: Call) -> list[str]:
    return [value for value in call.positional() if value]


def _concat(call: Call) -> str:
    return "".join(_items(call))


def _italian_measure(call: Call) -> str:
    """`{{M|value|prefix|unit}}`, where "-" is an empty place: `{{M|5|k|m}}` gives "5 km"."""
    value, prefix, unit = [part.strip("-") for part in (*call.positional(), "", "", "")[:3]]
    if exponent := call.get("e"):
        value += f" × 10{_power(exponent)}"
    named = call.get("u", "ul")
    return _join_unit(format_number(value, call.language), named or prefix + unit)


def _spaced(call: Call) -> str:
    return " ".join(_items(call))


def _place_and_day(call: Call, place: str, day: str, year: str) -> str:
    when = " ".join(value for value in (call.get(day), call.get(year)) if value)
    return ", ".join(value for value in (call.get(place), when) if value)


def _italian_bio(call: Call) -> str:
    """The first sentence of an Italian biography, which `{{Bio}}` writes from its fields."""
    name = " ".join(value for value in (call.get("nome"), call.get("cognome")) if value)
    if after_name := call.get("postcognome"):
        name += f", {after_name}"
    born = _place_and_day(call, "luogonascita", "giornomesenascita", "annonascita")
    died = _place_and_day(call, "luogomorte", "giornomesemorte", "annomorte")
    life = " – ".join(value for value in (born, died) if value)
    life = "; ".join(value for value in (call.get("predata"), life) if value)
    life = f" ({life})" if life else ""
    woman = call.get("sesso").upper() == "F"
    verb = ("è stata una" if woman else "è stato un") if died else ("è una" if woman else "è un")
    works = [value for n in ("", "2", "3") if (value := call.get(f"attività{n}"))]
    job = ", ".join(works[:-1]) + (" e " if len(works) > 1 else "") + "".join(works[-1:])
    nation = call.get("nazionalità")
    tail = " ".join(value for value in (verb, job, nation) if value) if job else ""
    if after := call.get("postnazionalità"):
        tail += after if after.startswith((",", ";", ".")) else f" {after}"
    tail = call.get("fineincipit") or tail
    if not name or not tail:
        return name + life
    return f"{name}{life} {tail}" + ("" if tail.endswith(".") else ".") + "\n"


def _inline_list(call: Call) -> str:
    items = _items(call)
    if len(items) == 1:
        lines = [line.strip("*# \t") for line in items[0].splitlines()]
        items = [line for line in lines if line]
    return ", ".join(items)


def _block_list(call: Call) -> str:
    items = _items(call)
    if len(items) == 1 and items[0].lstrip().startswith(("*", "#")):
        return f"\n{items[0].strip()}\n"
    return "".join(f"\n* {item}" for item in items) + "\n" if items else ""


def _ship(call: Call) -> str:
    return " ".join([call.name.upper() if len(call.name) <= 3 else "", *_items(call)[:2]]).strip()


def _author_year(call: Call) -> str:
    args = _items(call)
    if len(args) < 2:
        return " ".join(args)
    names = args[:-1]
    joined = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " & " + names[-1]
    return f"{joined} ({args[-1]})"


def _ipa(call: Call) -> str:
    return " ".join(_items(call)) if call.keep_ipa else ""


def _ordinal_century(call: Call) -> str:
    return f"{call.get('1')} century" if call.get("1") else ""


FUNCTIONS: dict[str, Callable[[Call], str]] = {
    "as_of": _as_of,
    "author_year": _author_year,
    "block_list": _block_list,
    "chemistry": _chemistry,
    "concat": _concat,
    "convert": _convert,
    "date": _date,
    "fraction": _fraction,
    "french_century": _french_century,
    "french_time": _french_time,
    "inline_list": _inline_list,
    "ipa": _ipa,
    "number": _number,
    "ordinal_century": _ordinal_century,
    "italian_measure": _italian_measure,
    "italian_bio": _italian_bio,
    "percent": _percent,
    "quote": _quote,
    "ship": _ship,
    "spaced": _spaced,
    "unit": _unit,
    "val": _val,
}
