"""YAML by its core schema (1.2), for recipes and for settings typed on a command line.

PyYAML's own rules are those of YAML 1.1: `no` is false (it is also Norwegian), `1e9` is text,
`12:30` is 750 and `2020-01-01` a date. Here only `true`, `false`, `null` and numbers are not text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN"),
)
TAGS = frozenset(_TAG + name for name in ("bool", "int", "float", "null", "str", "map", "seq"))


class Loader(yaml.SafeLoader):
    """Reads the core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}


class Dumper(yaml.SafeDumper):
    """Writes what reads the same by either schema."""

    yaml_implicit_resolvers = dict(yaml.SafeDumper.yaml_implicit_resolvers)


for _name, _expression, _first in _PLAIN:
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(
            _TAG + _name,
            re.compile(f"^(?:{_expression})$"),
            [*_first, ""] if _name == "null" else list(_first),
        )


def parse(text: str) -> Any:
    """A YAML value. Raises ValueError in one line."""
    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"cannot read {text[:80]!r} as YAML") from error


def dump(value: Any) -> str:
    """Block style, keys in their order."""
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True))
