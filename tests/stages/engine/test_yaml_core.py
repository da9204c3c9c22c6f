"""YAML's core schema: what is not text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.engine import yaml_core


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("[en, no]", ["en", "no"]),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("none", "none"),
        ("12", 12),
        ("-3", -3),
        ("1_000", 1000),
        ("007", "007"),
        ("1e9", 1e9),
        ("1.4e12", 1.4e12),
        (".5", 0.5),
        ("2.", 2.0),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("'12'", "12"),
        ("{a: [1, no]}", {"a": [1, "no"]}),
        ("<<", "<<"),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = yaml_core.parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["[", "{a: b", "'x", "[" * 1500, "!!python/name:os.system x"])
def test_what_is_no_yaml_is_a_value_error_of_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read") as caught:
        yaml_core.parse(text)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
    | st.sampled_from(["no", "1e9", "12:30", "2020-01-01", "null", "~", "0x1f", "=", "<<", "1_0"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(plain)
@settings(max_examples=150, deadline=None)
def test_what_is_dumped_reads_as_it_was(value: Any) -> None:
    assert yaml_core.parse(yaml_core.dump(value)) == value
