"""YAML with lines: every key and item has its line, and only plain data is read."""

from __future__ import annotations

import re

import pytest

from pipeline.yaml_lines import YamlError, line_of, load

TEXT = """\
# a comment
name: sample

sources:
  wiki:
    input:
      - a
      - b
    stages: [one, {two: {x: no,
      y: 1e3}}]
"""


def test_values_are_those_of_the_core_schema() -> None:
    value, _ = load(TEXT, "r.yaml")
    assert value == {
        "name": "sample",
        "sources": {
            "wiki": {"input": ["a", "b"], "stages": ["one", {"two": {"x": "no", "y": 1000.0}}]}
        },
    }


def test_every_key_and_item_has_its_line() -> None:
    _, lines = load(TEXT, "r.yaml")
    assert lines[("name",)] == 2
    assert lines[("sources", "wiki")] == 5
    assert lines[("sources", "wiki", "input")] == 6
    assert lines[("sources", "wiki", "input", 1)] == 8
    assert lines[("sources", "wiki", "stages", 1, "two", "x")] == 9
    assert lines[("sources", "wiki", "stages", 1, "two", "y")] == 10


def test_the_line_of_what_is_not_there_is_that_of_what_it_belongs_to() -> None:
    _, lines = load(TEXT, "r.yaml")
    assert line_of(lines, ("sources", "wiki", "input", 7)) == 6
    assert line_of(lines, ("sources", "none", "input")) == 4
    assert line_of(lines, ("none",)) == 2  # where the outermost mapping begins
    assert line_of({}, ("none",)) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_nothing_is_none(text: str) -> None:
    assert load(text, "r.yaml")[0] is None


BOMB = "a: &a [x, x]\n" + "".join(
    f"{n}: &{n} [*{b}, *{b}, *{b}, *{b}, *{b}, *{b}, *{b}, *{b}, *{b}]\n"
    for b, n in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a is given twice"),
        ("a:\n  b: 1\n  b: 1\n", 3, "b is given twice"),
        ("1: x\n'1': y\n", 2, "1 is given twice"),
        ("a: 1\nb: &x 2\n", 2, "anchors and aliases"),
        ("a: *x\n", 1, "anchors and aliases"),
        ("base: &b {x: 1}\nc:\n  <<: *b\n", 1, "anchors and aliases"),
        (BOMB, 1, "anchors and aliases"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "tags .* are not read"),
        ("a: !mine x\n", 1, "tags .* are not read"),
        ("a: 1\nb: !!set {x, y}\n", 2, "tags .* are not read"),
        ("a: 1\nb: !!int x\n", 2, "invalid literal"),
        ("a: " + "9" * 5000, 1, "limit"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "expected"),
        ("a: 1\n b: 2\n", 2, "mapping values are not allowed"),
        ("a: 1\n\tb: 2\n", 2, "cannot start any token"),
        ("a: 'x\n", 2, "found unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", 2, "but found another document"),
        ("a: 1\nb: \x00\n", 2, "special characters are not allowed"),
        ("? [a, b]\n: c\n", 1, "a key must be a word"),
        ("a: " + "[" * 1500, 1, "nested too deeply"),
        ("a: " + "{b: " * 1000 + "1" + "}" * 1000, 1, "nested too deeply"),
    ],
    ids=lambda v: v[:20] if isinstance(v, str) else str(v),
)
def test_what_is_not_plain_data_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(YamlError) as caught:
        load(text, "r.yaml")
    assert re.match(rf"r\.yaml:{line}: .*{problem}", str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
