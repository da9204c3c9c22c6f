"""YAML with the line of every value, so that an error in a recipe names its line."""

from __future__ import annotations

from typing import Any

import yaml

Path = tuple[str | int, ...]


class YamlError(ValueError):
    """Not readable as YAML; the message has the line."""


def load(text: str, name: str) -> tuple[Any, dict[Path, int]]:
    """The value, and the line (from 1) of every key and item by its path.

    Only plain data is read: no tags, and no anchors and aliases, which can expand without end.
    Raises YamlError on anything else and on a key given twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if any(isinstance(t, yaml.AliasToken) for t in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise YamlError(f"{name}: aliases (*name) are not used in recipes")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YamlError(f"{name}{where}: {problem}") from error
    lines: dict[Path, int] = {}
    value = _value(node, (), lines, name) if node is not None else None
    return value, lines


def _value(node: yaml.Node, path: Path, lines: dict[Path, int], name: str) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
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
    except yaml.YAMLError as error:
        raise YamlError(f"{name}:{node.start_mark.line + 1}: {error}") from error


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of the nearest known ancestor of a path."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
