"""YAML with the line of every value, so that an error in a recipe names its line."""

from __future__ import annotations

from typing import Any

import yaml

from stages.engine import yaml_core

Path = tuple[str | int, ...]


class YamlError(ValueError):
    """Not readable as YAML; the message has the line."""


def load(text: str, name: str) -> tuple[Any, dict[Path, int]]:
    """The value, and the line (from 1) of every key and item by its path.

    Only plain data is read: no tags, and no anchors and aliases, which can expand without end.
    Raises YamlError on anything else and on a key given twice.
    """
    lines: dict[Path, int] = {}
    try:
        for token in yaml.scan(text, Loader=yaml_core.Loader):
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
                line = token.start_mark.line + 1
                raise YamlError(f"{name}:{line}: anchors and aliases (&x, *x) are not read")
        node = yaml.compose(text, Loader=yaml_core.Loader)
        return (_value(node, (), lines, name) if node is not None else None), lines
    except yaml.YAMLError as error:
        raise YamlError(f"{name}:{_line(error, text)}: {_problem(error)}") from error
    except RecursionError as error:
        raise YamlError(f"{name}:1: nested too deeply") from error


def _line(error: yaml.YAMLError, text: str) -> int:
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _problem(error: Exception) -> str:
    return getattr(error, "problem", None) or str(error).splitlines()[0]


def _value(node: yaml.Node, path: Path, lines: dict[Path, int], name: str) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if node.tag not in yaml_core.TAGS:
        raise YamlError(f"{name}:{line}: tags ({node.tag}) are not read")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError(f"{name}:{key_node.start_mark.line + 1}: a key must be a word")
            key = str(key_node.value)
            if key in mapping:
                raise YamlError(f"{name}:{key_node.start_mark.line + 1}: {key} is given twice")
            lines[(*path, key)] = key_node.start_mark.line + 1
            mapping[key] = _value(value_node, (*path, key), lines, name)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, i), lines, name) for i, item in enumerate(node.value)]
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise YamlError(f"{name}:{line}: {_problem(error)}") from error


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of the nearest known ancestor of a path."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
