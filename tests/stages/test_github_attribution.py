"""Lines about who, when and where; and sentences that begin like one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.github.attribution import MAX_CHARS, is_address, is_attribution, is_heading
from stages.github.header import remove_header
from stages.github.notices import is_notice, notices
from stages.github.syntax import syntax_of


@pytest.mark.parametrize(
    "line",
    [
        "Author: Jane Doe",
        "Authors:",
        "author: jdoe",
        ":Author: Jane Doe",
        "Original author: Jane",
        "@author Jane Doe",
        "Porting: Jane Doe <jane@example.org>",
        "Contact: jane@example.org",
        "Jürgen Öl <oel@example.org>",
        "by Jane Doe",
        "Originally written by: J. Doe",
        "Written by Jane M. Doe, John Roe, and others",
        "Written in 2008 by Jane Doe <jane@example.org>",
        "Created by Jane Doe on 2001-02-03.",
        "Created on Tue Mar 4 12:00:00 2014",
        "Date:   September 22, 2007",
        "Last modified: 2001-02-03 by Jane",
        "Version: 1.2.3-beta2",
        "Version 1.0 - 6/21/22",
        "v4.7.10",
        "2001-02-03",
        "$Revision: 10127 $",
        "URL: <https://www.example.org/>",
        "https://example.org",
        "Homepage:",
        "File: tree.c",
        "@file tree.c",
        "This file is part of trees.",
        "This file is part of Trees, which may be found at",
        "Part of the Forest Toolkit",
        "Copyright and License",
        "=head1 COPYRIGHT AND LICENSE",
        "License: see below",
        "Begin license header",
    ],
)
def test_attributions(line: str) -> None:
    assert is_attribution(line)


@pytest.mark.parametrize(
    "line",
    [
        "Source: https://example.org/paper",
        "Source: the table of the second chapter",
        "@source https://example.org/paper",
        "Documentation: https://example.org/manual",
        "Docs: see below",
        "See: https://example.org",
        "@see Tree",
        "@package trees",
        "@module trees",
        "@file Reads the trees.",
        "Owner: the process that holds the lock",
        "Contact: where two bodies touch each other, as in physics",
        "e-mail: string, the address of the user",
        "url: string",
        "Updated: the 2 caches when a row changes",
        "Created: whenever a row is added",
        "Since: the last commit",
        "@since the second pass",
        "Date: when the row was written",
        "Version: the one of the protocol",
        "version numbers are compared as tuples",
        "Revision: number of the row",
        "Release: frees the lock",
        "History:",
        "1996-04-12 jd   Created",
        "Name: trees",
        "Module: trees.balanced",
        "Program: reads trees",
        "Bugs: loses the last row",
        "Credits: the algorithm is that of the textbook",
        "by default the cache is off",
        "By Knuth's algorithm the table is sorted",
        "Created by the constructor",
        "Written in Rust for speed",
        "Implemented in terms of the C API.",
        "Designed on top of an event loop",
        "Modified in place by sort()",
        "Part of the public interface, which must stay",
        "This file is part of the parser and reads tokens",
        "pygments.lexers.elm",
        "tarfile.py",
        "=head1 NAME",
        "=over 4",
        "File: the format of the file is as follows",
    ],
)
def test_sentences_that_begin_like_attributions(line: str) -> None:
    assert not is_attribution(line)
    header = f"# Copyright 2001 Jane Doe\n#\n# {line}\n"
    syntax = syntax_of("Python")
    assert syntax is not None
    assert f"# {line}\n" in remove_header(f"{header}x = 1\n", syntax)[0]


def test_addresses_and_headings() -> None:
    assert is_address("<https://example.org/a?b#c>.") and is_address("jane (at) example.org")
    assert not is_address("https://example.org has it") and not is_address("jane@home")
    assert is_heading("License") and is_heading("Authors:") and not is_heading("License of trees")


@pytest.mark.parametrize(
    ("line", "claims"),
    [
        ("Copyright 2001 Jane", True),
        ("Copyright: Jane Doe", True),
        ("Copyright The Foresters", True),
        ("(c) 2008-2013, jane doe", True),
        ("(c) Jane Doe, 2001", True),
        ("(c) sorted by year, from 1990 on", False),
        ("copyright: string", False),
        ("Copyright header check", False),
        ("Copyright Header Check", False),
        ("Prints the copyright 2020 of a file", False),
    ],
)
def test_notices(line: str, claims: bool) -> None:
    assert is_notice(line) is claims


def test_the_third_item_of_a_list_is_no_notice() -> None:
    assert notices(["(a) one", "(b) two", "(c) Three of 1990"]) == [False] * 3
    assert notices(["(a) one, (b) two, (c) Three of 1990"]) == [False]
    assert notices(["(b) two", "(c) Copyright 1990 Jane"]) == [False, True]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.text("Aa:,. <>@-/1$()", max_size=MAX_CHARS + 5))
def test_property_any_line_is_judged(line: str) -> None:
    assert is_attribution(line) in (True, False)
    if is_attribution(line):
        assert line.strip() and len(line.strip()) <= MAX_CHARS


@pytest.mark.parametrize(
    "line",
    [
        *("A" * MAX_CHARS, "Written by " + "A " * 140, "Author: " + "a," * 145, "a@" * 150),
        *("part of " + "a " * 140, "the license " * 25 + "!", "Created on " + "MAR " * 70 + "x"),
    ],
)
def test_hostile_lines_take_bounded_work(line: str) -> None:
    for _ in range(200):  # exponential work would not end
        is_attribution(line)
