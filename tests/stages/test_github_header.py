"""Licence headers: gone in every syntax, and nothing else with them."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.github.comments import MAX_TOP_CHARS, top
from stages.github.header import remove_header
from stages.github.languages import language_of
from stages.github.syntax import Syntax, syntax_of


def syntax(name: str) -> Syntax:
    found = syntax_of(language_of(name))
    assert found is not None, name
    return found


def clean(text: str, name: str) -> str:
    new, removed = remove_header(text, syntax(name))
    assert removed == len(text) - len(new)
    assert remove_header(new, syntax(name)) == (new, 0)
    return new


LICENCE = (
    "Copyright (c) 2019 Jane Doe. All rights reserved.",
    "",
    'Licensed under the Example License (the "License"); you may not use this',
    "file except in compliance with the License.",
)


def commented(mark: str, lines: tuple[str, ...] = LICENCE, end: str = "\n") -> str:
    return "".join(f"{mark} {line}".rstrip() + end for line in lines)


def blocked(opening: str, closing: str, lines: tuple[str, ...] = LICENCE) -> str:
    return "\n".join([opening, *lines, closing]) + "\n"


# -- the defects of the cleaner that peers share --------------------------------------------------


def peer(text: str) -> str:
    """What that cleaner does: if there is any `/* */`, only the first counts, and it goes if it
    says `copyright`; else all lines at the top that begin with a mark, or are blank, go."""
    block = re.search(r"/\*.*?\*/", text, re.S)
    if block:
        return text.replace(block[0], "", 1) if "copyright" in block[0].lower() else text
    lines = text.split("\n")
    while lines and (not lines[0] or lines[0].startswith(("#", "//", "--"))):
        lines.pop(0)
    return "\n".join(lines)


def peer_by_lines(text: str) -> str:
    """dolma's form of it: the block's end is counted in characters of lines without their ends."""
    block = re.search(r"/\*.*?\*/", text, re.S)
    assert block is not None
    return text[block.start() + sum(map(len, block[0].split("\n"))) :]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.c", "#include <stdio.h>\n#define N 3\n\nint main(void) { return N; }\n"),
        ("a.sh", "#!/bin/sh\n# Counts the files of a folder.\nls | wc -l\n"),
        ("a.py", "#!/usr/bin/env python\n# -*- coding: latin-1 -*-\nprint(1)\n"),
        ("a.md", "# Title\n\n## Section\n\nText.\n"),
        ("a.sql", "-- Orders of the last week\n\nSELECT 1;\n"),
        ("a.py", "# %% first cell\nx = 1\n# %% second cell\n"),
        ("a.go", "//go:build linux\n// +build linux\n\npackage a\n"),
        ("a.js", "// Adds two numbers.\nexport const add = (a, b) => a + b;\n"),
        ("a.rb", "# frozen_string_literal: true\n\nputs 1\n"),
        ("a.py", "\n\nimport os\n"),
    ],
)
def test_peer_defect_leading_lines_without_block_comment_are_not_all_deleted(
    name: str, text: str
) -> None:
    assert clean(text, name) == text != peer(text)


def test_peer_defect_line_header_goes_although_a_block_comment_follows_later() -> None:
    code = "int x; /* the answer */\n/* another */\n"
    text = commented("//") + "\n" + code
    assert clean(text, "a.c") == code != peer(text)


def test_peer_defect_second_licence_block_goes_too() -> None:
    second = "/* Portions Copyright (C) 2001 John Roe\n * Released under the MIT license. */\n"
    third = "// SPDX-License-Identifier: MIT\n"
    code = "int x;\n"
    text = blocked("/*", " */") + "\n" + second + "\n" + third + code
    assert clean(text, "a.c") == code
    assert second in peer(text) and third in peer(text)


@pytest.mark.parametrize(
    ("name", "header", "code"),
    [
        ("a.py", blocked('"""', '"""'), "import os\n"),
        ("a.py", blocked("r'''", "'''"), "import os\n"),
        ("a.html", blocked("<!--", "-->"), "<html></html>\n"),
        ("a.xml", blocked("<!--", "-->"), "<a/>\n"),
        ("a.md", blocked("<!--", "-->"), "# Title\n"),
        ("a.tex", commented("%"), "\\documentclass{article}\n"),
        ("a.erl", commented("%%"), "-module(a).\n"),
        ("a.lisp", commented(";;;;"), "(defun f () 1)\n"),
        ("a.clj", commented(";;"), "(ns a)\n"),
        ("a.vb", commented("'"), "Module A\n"),
        ("a.bas", commented("'"), "PRINT 1\n"),
    ],
)
def test_peer_defect_docstring_html_percent_semicolon_apostrophe_headers_go(
    name: str, header: str, code: str
) -> None:
    assert clean(header + code, name) == code
    assert clean(header + "\n\n" + code, name) == code
    assert header in peer(header + code)


def test_peer_defect_end_of_the_block_is_not_miscounted() -> None:
    # dolma counts the block's length without its line ends, and so cuts at the wrong place.
    code = "".join(f"int value_{i} = {i};\n" for i in range(50))
    text = blocked("/*", " */", LICENCE * 5) + code
    assert clean(text, "a.c") == code
    assert peer_by_lines(text).strip() != code.strip()


# -- every comment syntax -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "header", "code"),
    [
        ("a.py", commented("#"), "import os\n"),
        ("a.yaml", commented("#"), "a: 1\n"),
        ("Makefile", commented("#"), "all:\n\techo\n"),
        ("Dockerfile", commented("#"), "FROM scratch\n"),
        ("a.r", commented("#'"), "f <- 1\n"),
        ("a.rs", commented("//!"), "fn main() {}\n"),
        ("a.rs", blocked("/*", " a /* nested */ comment */"), "fn main() {}\n"),
        ("a.js", blocked("/*!", " */"), "f();\n"),
        ("a.css", blocked("/*", "*/"), "a { b: c }\n"),
        ("a.scss", commented("//"), "$a: 1;\n"),
        ("a.php", commented("//"), "namespace A;\n"),
        ("a.sql", commented("--"), "SELECT 1;\n"),
        ("a.hs", commented("--"), "module A where\n"),
        ("a.hs", blocked("{-", "-}"), "module A where\n"),
        ("a.elm", blocked("{-|", "-}"), "module A exposing (..)\n"),
        ("a.lua", commented("--"), "local a = 1\n"),
        ("a.lua", blocked("--[[", "]]"), "local a = 1\n"),
        ("a.lua", blocked("--[=[", "]=]"), "local a = 1\n"),
        ("a.lua", blocked("--[==[", "]==]"), "local a = 1\n"),
        ("a.lua", blocked(f"--[{'=' * 70}[", f"]{'=' * 70}]"), "local a = 1\n"),
        ("a.cmake", blocked("#[=[", "]=]"), "project(a)\n"),
        ("a.adb", commented("--"), "with Ada;\n"),
        ("a.ml", blocked("(*", "*)"), "let a = 1\n"),
        ("a.ml", blocked("(*", " (* in *) *)"), "let a = 1\n"),
        ("a.fs", commented("//"), "module A\n"),
        ("a.pas", blocked("{", "}"), "program A;\n"),
        ("a.scm", blocked("#|", "|#"), "(define a 1)\n"),
        ("a.el", commented(";;"), "(defvar a)\n"),
        ("a.asm", commented(";"), "mov ax, 1\n"),
        ("a.ini", commented(";"), "[a]\n"),
        ("a.bat", commented("REM"), "dir\n"),
        ("a.bat", commented("rem"), "dir\n"),
        ("a.bat", commented("::"), "dir\n"),
        ("a.vim", commented('"'), "set nocp\n"),
        ("a.f90", commented("!"), "program a\n"),
        ("a.f", commented("C"), "      PROGRAM A\n"),
        ("a.f", commented("*"), "      PROGRAM A\n"),
        ("a.m4", commented("dnl"), "AC_INIT\n"),
        ("a.texi", commented("@c"), "@node Top\n"),
        ("a.rst", "..\n" + commented("  "), "Title\n=====\n"),
        ("a.rst", ".. Copyright 2010 by Jane Doe.\n   Released under the MIT license.\n", "T\n=\n"),
        ("a.pl", "=pod\n\n" + "\n".join(LICENCE) + "\n\n=cut\n", "use strict;\n"),
        ("a.rb", "=begin\n" + "\n".join(LICENCE) + "\n=end\n", "puts 1\n"),
        ("a.ps1", blocked("<#", "#>"), "Get-Item\n"),
        ("a.coffee", blocked("###", "###"), "a = 1\n"),
        ("a.jl", blocked("#=", "=#"), "a = 1\n"),
        ("a.cmake", blocked("#[[", "]]"), "project(a)\n"),
        ("a.d", blocked("/+", "+/"), "module a;\n"),
        ("a.twig", blocked("{#", "#}"), "{{ a }}\n"),
        ("a.hbs", blocked("{{!--", "--}}"), "{{a}}\n"),
        ("a.jsp", blocked("<%--", "--%>"), "<p>\n"),
        ("a.vue", blocked("<!--", "-->"), "<template></template>\n"),
        ("a.ijs", commented("NB."), "a =: 1\n"),
        ("a.man", commented('.\\"'), ".TH A 1\n"),
        ("a.st", blocked('"', '"', LICENCE[:1]), "Object subclass: #A.\n"),
    ],
)
def test_header_goes(name: str, header: str, code: str) -> None:
    assert clean(header + code, name) == code
    assert clean(header + "\n" + code, name) == code
    assert clean("\n" + header + "\n\n" + code, name) == code


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("a.erl", "%%%"),
        ("a.tex", "%%%%"),
        ("a.vim", '""'),
        ("a.hs", "---"),
        ("a.lua", "---"),
        ("a.rs", "///"),
        ("a.py", "##"),
        ("a.f90", "!!"),
        ("a.bat", "::::"),
    ],
)
def test_header_goes_whose_mark_is_repeated(name: str, mark: str) -> None:
    assert clean(commented(mark) + "x\n", name) == "x\n"


@pytest.mark.parametrize("closing", ["]=]", "]]", "", "]==="])
def test_a_long_bracket_is_closed_by_its_own_level_only(closing: str) -> None:
    text = blocked("--[==[", closing) + "local a = 1\n"
    assert clean(text, "a.lua") == text


@pytest.mark.parametrize("mark", ["#", "//", "--", ";", "%"])
def test_header_goes_with_crlf_and_without_last_line_end(mark: str) -> None:
    name = {"#": "a.py", "//": "a.c", "--": "a.sql", ";": "a.lisp", "%": "a.tex"}[mark]
    assert clean(commented(mark, end="\r\n") + "x\r\n", name) == "x\r\n"
    assert clean(commented(mark).rstrip("\n"), name) == ""


@pytest.mark.parametrize(
    "licence",
    [
        ("Copyright 2001 Jane Doe",),
        ("(C) Copyright IBM Corp. 2010, 2011",),
        ("Copyright The Example Authors.", "SPDX-License-Identifier: Apache-2.0"),
        ("© 2012-2014 Jane Doe",),
        (
            "This Source Code Form is subject to the terms of the Mozilla Public",
            "License, v. 2.0. If a copy of the MPL was not distributed with this",
            "file, You can obtain one at http://mozilla.org/MPL/2.0/.",
        ),
        (
            "This program is free software: you can redistribute it and/or modify",
            "it under the terms of the GNU General Public License.",
            "",
            "You should have received a copy of the license along with this program.",
        ),
        (
            "Use of this source code is governed by a BSD-style",
            "license found in the LICENSE file.",
        ),
        ("Permission to use, copy, modify, and distribute this software is granted.",),
        ('THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.',),
        ("This file is in the public domain.",),
        ("See LICENSE.txt for details.",),
        ("MIT Licensed",),
        ("License: BSD-3-Clause",),
        ("@license MIT",),
        (":copyright: (c) 2010 by Jane Doe.", ":license: BSD, see LICENSE for more details."),
    ],
)
def test_ways_of_saying_it(licence: tuple[str, ...]) -> None:
    assert clean(commented("#", licence) + "import os\n", "a.py") == "import os\n"
    assert clean(blocked("/**", " */", licence) + "f();\n", "a.js") == "f();\n"


# -- what stays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.py", "#!/usr/bin/env python3\n"),
        ("a.py", "# -*- coding: utf-8 -*-\n"),
        ("a.py", "# vim: set ts=4 sw=4:\n"),
        ("a.py", "# %% cell\n"),
        ("a.py", "# pylint: disable=all\n"),
        ("a.rb", "# frozen_string_literal: true\n"),
        ("a.go", "//go:build !windows\n"),
        ("a.go", "// +build !windows\n"),
        ("a.js", '"use strict";\n'),
        ("a.js", "'use strict'\n"),
        ("a.js", "/* eslint-disable no-console */\n"),
        ("a.js", "// @flow\n"),
        ("a.ts", '/// <reference types="node" />\n'),
        ("a.php", "<?php\n"),
        ("a.xml", '<?xml version="1.0" encoding="utf-8"?>\n'),
        ("a.html", "<!DOCTYPE html>\n"),
        ("a.sql", "-- !preview conn=con\n"),
        ("a.h", "#pragma once\n"),
        ("a.hs", "{-# LANGUAGE GADTs #-}\n"),
        ("a.css", '@charset "utf-8";\n'),
        ("a.yaml", "---\n"),
        ("a.bat", "@echo off\n"),
        ("a.rkt", "#lang racket\n"),
        ("a.sh", "# shellcheck disable=SC2034\n"),
        ("a.texi", "\\input texinfo   @c -*-texinfo-*-\n"),
    ],
)
def test_pinned_lines_stay_and_headers_on_both_sides_go(name: str, kept: str) -> None:
    marks = {"js": "//", "ts": "//", "go": "//", "php": "//", "h": "//", "sql": "--", "hs": "--"}
    marks |= {"bat": "REM", "rkt": ";", "texi": "@c"}
    ending = name.rpartition(".")[2]
    block = {"xml": ("<!--", "-->"), "html": ("<!--", "-->"), "css": ("/*", "*/")}.get(ending)
    header = blocked(*block) if block else commented(marks.get(ending, "#"))
    code = "code goes here\n"
    assert clean(kept + header + code, name) == kept + code
    if not kept.startswith("#!"):
        assert clean(header + kept + header + code, name) == kept + code


def test_pragmas_inside_a_licence_comment_stay() -> None:
    text = (
        "/**\n * Copyright (c) 2015 Jane\n * Released under the MIT license.\n * @flow\n */\nf();\n"
    )
    assert clean(text, "a.js") == "/**\n * @flow\n */\nf();\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.c", "int x;\n/* Copyright 2001 Jane Doe */\n"),
        ("a.c", "#ifndef A_H\n#define A_H\n/* Copyright 2001 Jane Doe */\n"),
        ("a.S", '#include "a.h"\n# Copyright 2001 Jane Doe\n'),
        ("a.py", "x = 1\n# Copyright 2001 Jane Doe\n"),
        ("a.py", '"""Copyright 2001 Jane Doe""" % x\n'),
        ("a.py", '"""unclosed Copyright 2001 Jane Doe\n'),
        ("a.c", "/* unclosed Copyright 2001 Jane Doe\nint x;\n"),
        ("a.sql", "/*!40101 SET NAMES utf8; Copyright 2001 Jane Doe */;\nSELECT 1;\n"),
        ("a.pas", "{$mode objfpc Copyright 2001 Jane Doe}\nprogram a;\n"),
        ("a.html", "<!--[if IE]> Copyright 2001 Jane Doe <![endif]-->\n<p>\n"),
        ("a.php", "<?php\n#[Attribute]\n// Copyright 2001 Jane Doe\n"),
        ("a.rst", ".. _copyright: 2001 Jane Doe\n.. image:: copyright-2001.png\n"),
        ("a.rst", "Copyright 2001 Jane Doe\n=======================\n"),
        ("a.md", "# Copyright 2001 Jane Doe\n\nLicensed under the MIT license.\n"),
        ("a.hs", "--> copyright 2001\n"),
        ("a.f", "      copyright = 2001\n"),
        ("a.f", "call copyright(2001)\n"),
    ],
)
def test_nothing_from_the_first_line_of_code_on_is_touched(name: str, text: str) -> None:
    assert clean(text, name) == text


@pytest.mark.parametrize(
    "words",
    [
        "Prints the copyright notice in the footer of each page.",
        "Finds out which licence a package has: MIT, BSD or something else.",
        "Checks that all files have a license header.",
        "Options: (a) none, (b) some, (c) All of them.",
        "This module is provided for compatibility with the old name.",
        "Distributed under load, the workers talk over sockets.",
        "TODO: see the notes about the license option below, then rewrite it.",
        "Author: Jane Doe",
        "The data is published by the city on a web page.",
        "Copies the right column.",
        "Explains the permission to use the camera.",
        "Permission is granted by the admin.",
        "Redistribute them evenly over the shards.",
        "Unit tests of the SPDX-License-Identifier parser.",
        "Get the copyright 2020 holders of a repo.",
        "This function is liable for any leak.",
        "Sends a frame; in no event is called twice.",
        "Works under terms of the license agreement. @param x",
        "See the license page for the layout of this component.",
        "Data is in the public domain datasets folder",
        "Compute damages under no warranty of merchantability tests",
        "The file is published under a temporary name (see license.py).",
    ],
)
def test_comments_that_speak_about_licences_stay(words: str) -> None:
    for name, text in (
        ("a.py", f"# {words}\nimport os\n"),
        ("a.js", f"/* {words} */\nf();\n"),
        ("a.js", f"/** {words} */\nf();\n"),
        ("a.py", f'"""{words}"""\nimport os\n'),
        ("a.py", f'"""Summary.\n\n{words}\n"""\nimport os\n'),
    ):
        assert clean(text, name) == text


def test_a_hint_goes_with_a_second_sign() -> None:
    hint = "See the license for details."
    assert clean(f"# {hint}\nx = 1\n", "a.py") == f"# {hint}\nx = 1\n"
    assert clean(f"# Copyright 2001 Jane Doe\n# {hint}\nx = 1\n", "a.py") == "x = 1\n"
    assert clean(f"# {hint}\n# It comes without warranty.\nx = 1\n", "a.py") == "x = 1\n"


def test_a_grant_alone_in_a_docstring_is_documentation() -> None:
    one = '"""Released under the MIT license."""\nx = 1\n'
    assert clean(one, "a.py") == one
    assert clean(one.replace('"""', "/* ", 1).replace('"""', " */"), "a.js") == "x = 1\n"
    assert clean('"""Copyright (c) 2001 Jane Doe"""\nx = 1\n', "a.py") == "x = 1\n"
    text = '"""Keeps (c) 2001 out of footers."""\nx = 1\n'
    assert clean(text, "a.py") == text


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("a.py", "# Copyright 2020\n# Parses it.\nx\n", "# Parses it.\nx\n"),
        ("a.c", "/* (C) 2001-2020\n * Reads bars.\n */\nx\n", "/*\n * Reads bars.\n */\nx\n"),
        ("a.sql", "-- Copyright Foo, 2020\n-- Users table\nx\n", "-- Users table\nx\n"),
        ("a.py", '"""(c) Foo 2020\nParses it.\n"""\nx\n', '"""\nParses it.\n"""\nx\n'),
        ("a.py", "# Copyright 2020\n# Jane Doe <j@example.org>\nx\n", "x\n"),
        ("a.py", "# Copyright 2020\n# All rights are with Jane.\nx\n", "x\n"),
        ("a.py", "# Copyright 2001,\n# 2005 the makers of it\nx\n", "x\n"),
        ("a.py", "# Copyright 2001-\n# 2005 the makers of it\nx\n", "x\n"),
    ],
)
def test_a_year_at_the_end_of_a_notice_takes_no_documentation_along(
    name: str, text: str, kept: str
) -> None:
    assert clean(text, name) == kept


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (("Trees that balance", "Copyright 2001 Jane Doe", "MIT Licensed"), 1),
        (("Trees: a reader", "Released under the MIT license."), 1),
        (("Trees: a reader", "This code is", "distributed under the MIT license."), 1),
        (("The trees of this file are", "released under the MIT license."), 0),
    ],
)
def test_titles_before_a_grant_in_its_paragraph_stay(lines: tuple[str, ...], kept: int) -> None:
    assert clean(commented("#", lines) + "x\n", "a.py") == commented("#", lines[:kept]) + "x\n"


def test_documentation_beside_a_licence_stays() -> None:
    text = (
        '"""\n    queue\n    ~~~~~\n\n    Queues that wake their readers.\n\n'
        "    :copyright: 2010 by Jane Doe.\n    :license: BSD.\n"
        '"""\nimport os\n'
    )
    assert clean(text, "a.py") == (
        '"""\n    queue\n    ~~~~~\n\n    Queues that wake their readers.\n"""\nimport os\n'
    )
    text = "/* tree.c: balanced trees\n *\n * Copyright (c) 2001 Jane Doe\n */\n\nint x;\n"
    assert clean(text, "a.c") == "/* tree.c: balanced trees\n */\n\nint x;\n"
    text = "/* Copyright (c) 2001 Jane Doe\n *\n * Balanced trees.\n */\nint x;\n"
    assert clean(text, "a.c") == "/*\n * Balanced trees.\n */\nint x;\n"
    text = "# Copyright (c) 2001 Jane Doe\n# Balanced trees, with\n# one node a page.\nx = 1\n"
    assert clean(text, "a.py") == "# Balanced trees, with\n# one node a page.\nx = 1\n"


def test_boxes_go_with_their_licence_and_stay_with_their_text() -> None:
    rule = "#" * 40 + "\n"
    licence = commented("#", LICENCE[:1])
    assert clean(rule + licence + rule + "x = 1\n", "a.py") == "x = 1\n"
    text = rule + licence + rule + "# What it does.\n" + rule + "x = 1\n"
    assert clean(text, "a.py") == rule + "# What it does.\n" + rule + "x = 1\n"


def test_a_comment_before_code_on_its_line_leaves_the_code() -> None:
    assert clean("/* (c) 2010 Jane Doe | MIT licensed */ f();\n", "a.js") == "f();\n"
    assert clean("<?php // Copyright 2010 Jane Doe\necho 1;\n", "a.php") == "<?php \necho 1;\n"


def test_a_whole_licence_with_its_numbered_sections_goes() -> None:
    sections = [
        "Apache License\n Version 2.0, January 2004\n http://www.apache.org/licenses/",
        "1. Definitions.",
        '"Source" form shall mean the preferred form for making modifications.',
        "2. Grant of Copyright License. Subject to the terms and conditions of this License,",
        "3. Grant of Patent License. Subject to the terms and conditions of this License,",
        "(a) You must give any other recipients a copy of this License; and",
        "(b) something without any word of law in it",
        "5. Submission of Contributions.",
        "7. Disclaimer of Warranty. Unless required by applicable law or agreed to in writing,",
        "8. Limitation of Liability. In no event shall any Contributor be liable for damages,",
        "END OF TERMS AND CONDITIONS",
        "You may obtain a copy of the License at LICENSE.",
    ]
    text = "/*\n" + "\n\n".join(sections) + "\n*/\nf();\n"
    assert clean(text, "a.js") == "f();\n"


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        # A sentence of its own after, or between, those about the licence.
        ((*LICENCE[2:], "Trees that balance."), (2,)),
        (("MIT License", "This module reads trees.", "See LICENSE for details."), (1,)),
        ((*LICENCE[2:], "PYTHON_ARGCOMPLETE_OK"), (2,)),
        ((*LICENCE[2:], "TODO: Count the leaves, too."), (2,)),
        (("MIT License", "Copyright 2001 Jane Doe", "Trees that balance."), (2,)),
        # Where code comes from.
        (
            ("Copyright 2001 Jane Doe", "", "This is a modified version of the code at",
             "https://example.org/trees which is under", "Apache 2.0 license."),
            (2, 3, 4),
        ),
        (
            ("Copyright 2001 Jane Doe", "", "Uses material from the article on trees,",
             "which is released under the Creative Commons Attribution License."),
            (2, 3),
        ),
        # What goes on with a sentence that stays.
        (("Reads trees as described at", "https://example.org/trees", "Copyright 2001 J"), (0, 1)),
        (("Uses code written by Jane and", "maintained by John", "Copyright 2001 J"), (0, 1)),
        (("This code follows:", "", "https://example.org", "", "Copyright 2001 J"), (0, 2)),
        (("Copyright 2001 J", "", "Authors", "", "- Jane: the first version"), (2, 4)),
        # The third item of a list, and years that are none of a notice.
        (("Copyright 2001 J", "", "(a) by name", "(b) by age", "(c) By year, from 1990 on"),
         (2, 3, 4)),
        (("(c) sorted by year, from 1990 on",), (0,)),
        (("Copyright: string, shown in the footer",), (0,)),
        (("Copyright Notice Checker",), (0,)),
    ],
)  # fmt: skip
def test_documentation_around_a_licence_stays(
    lines: tuple[str, ...], kept: tuple[int, ...]
) -> None:
    text = clean(commented("#", lines) + "x\n", "a.py")
    assert [line.lstrip("# ") for line in text.splitlines() if line.strip("# ")] == [
        *(lines[i] for i in kept),
        "x",
    ]


def test_a_section_of_pod_stays_and_one_about_the_licence_goes() -> None:
    text = "=head1 NAME\n\nTrees - reads trees\n\n=head1 COPYRIGHT AND LICENSE\n\n"
    licence = "Copyright (c) 2001 Jane Doe\n\nReleased under the same terms as Perl itself.\n\n"
    found = clean(f"{text}{licence}=cut\n\nuse strict;\n", "a.pl")
    assert found == "=head1 NAME\n\nTrees - reads trees\n=cut\n\nuse strict;\n"
    assert clean(f"=head1 LICENSE\n\n=over 4\n\n{licence}=back\n\n=cut\nx\n", "a.pl") == "x\n"


# -- mutations: what stands among headers, in every place that it can have -------------------------

_HASH, _SLASH, _STAR, _DASH = ("#",), ("//",), ("/*", " *", "*/"), ("--",)
_XML, _BRACES = ("<!--", "", "-->"), ("{-", "", "-}")
_AMONG: list[tuple[str, tuple[str, ...], str]] = [
    ("a.c", _SLASH, "#include <stdio.h>"),
    ("a.c", _STAR, "#include <stdio.h>"),
    ("a.h", _STAR, "#ifndef A_H"),
    ("a.S", _HASH, '#include "a.h"'),
    ("a.h", _SLASH, "#pragma once"),
    ("a.sh", _HASH, "#!/bin/sh"),
    ("a.js", _SLASH, "#!/usr/bin/env node"),
    ("a.py", _HASH, "# -*- coding: latin-1 -*-"),
    ("a.py", _HASH, "# vim: set fileencoding=utf-8 :"),
    ("a.rb", _HASH, "# encoding: utf-8"),
    ("a.rb", _HASH, "# frozen_string_literal: true"),
    ("a.py", _HASH, '"""Reads trees."""'),
    ("a.py", _HASH, "# %% the first cell"),
    ("a.py", _HASH, "#%%"),
    ("a.py", _HASH, "# mypy: strict"),
    ("a.py", _HASH, "# PYTHON_ARGCOMPLETE_OK"),
    ("a.js", _SLASH, "// @ts-check"),
    ("a.js", _STAR, "/* eslint no-console: 0 */"),
    ("a.js", _STAR, "/* global $ */"),
    ("a.js", _SLASH, '"use strict";'),
    ("a.php", _STAR, "<?php"),
    ("a.html", _XML, "<!DOCTYPE html>"),
    ("a.xml", _XML, '<?xml version="1.0"?>'),
    ("a.md", _XML, "# Title"),
    ("a.yaml", _HASH, "%YAML 1.2"),
    ("a.yaml", _HASH, "# Values of the chart, by name."),
    ("Dockerfile", _HASH, "# syntax=docker/dockerfile:1"),
    ("a.go", _SLASH, "//go:build linux"),
    ("a.go", _SLASH, "// +k8s:deepcopy-gen=package"),
    ("a.go", _SLASH, "// Package trees reads trees."),
    ("a.hs", _BRACES, "{-# LANGUAGE GADTs #-}"),
    ("a.hs", _DASH, "-- | Trees that balance themselves."),
    ("a.tex", ("%",), "% !TeX root = main.tex"),
    ("a.tex", ("%",), "% This chapter tells of trees."),
    ("a.ini", (";",), "; Where trees are kept, on which disk."),
    ("a.sql", _DASH, "-- Orders of the last week"),
    ("a.sql", _STAR, "/*!40101 SET NAMES utf8 */;"),
    ("a.el", (";;",), ";;; trees.el --- Trees  -*- lexical-binding: t; -*-"),
    ("a.lua", ("--[==[", "", "]==]"), "---@diagnostic disable"),
    ("a.rs", _SLASH, "#![no_std]"),
    ("a.rs", _SLASH, "//! Trees that balance themselves."),
    ("a.css", _STAR, '@charset "utf-8";'),
    ("a.bat", ("REM",), "@echo off"),
]
_CODE_ITSELF = ("#include", "#ifndef", "# Title", "#![", "/*!4")


@pytest.mark.parametrize(("name", "marks", "kept"), _AMONG)
def test_mutations_what_is_no_header_stays_among_headers(
    name: str, marks: tuple[str, ...], kept: str
) -> None:
    lines = [x for x in LICENCE if x]
    more = [*lines, "Author: Jane Doe", "Permission is hereby granted, free of charge."]
    for header_lines, before, after, gap, bom, end in itertools.product(
        (lines, more), (0, 1, 2), (0, 2), ("", "\n"), ("", "\ufeff"), ("\n", "\r\n")
    ):
        if before and kept.startswith("#!/"):
            continue  # in the first line, or it is none
        if len(marks) > 1:
            inner = [f"{marks[1]} {line}".lstrip() for line in header_lines]
            header = "\n".join([marks[0], *inner, marks[2]]) + "\n"
        else:
            header = "".join(f"{marks[0]} {line}\n" for line in header_lines)
        text = f"{(header + gap) * before}{kept}\n{gap}{(header + gap) * after}tree = read()\n"
        found = remove_header((bom + text).replace("\n", end), syntax(name))[0]
        top, middle, rest = found.partition(kept)
        assert middle == kept and "Jane Doe" not in top
        assert rest.endswith(f"tree = read(){end}")
        assert ("Jane Doe" in rest) == (after > 0 and kept.startswith(_CODE_ITSELF))


# -- properties -----------------------------------------------------------------------------------

_NAMES = [
    "a.c",
    "a.py",
    "a.hs",
    "a.html",
    "a.rst",
    "a.pl",
    "a.php",
    "a.sql",
    "a.f",
    "a.bat",
    "a.lua",
]
_PIECES = st.sampled_from(
    [
        *("Copyright 2001 Jane Doe", "Licensed under the MIT license", "All rights reserved."),
        *("See the license for details.", "Copyright 2020\n# Jane Doe", "Redistribute them"),
        *("Author: Jane", "text", "@flow", "https://example.org", "MIT License", "x = 1;"),
        *("\n", "\n\n", " ", "\r\n", "# ", "// ", "/* ", " */", "/**", "* ", "-- ", "--[[", "]]"),
        *(
            "<!-- ",
            " -->",
            "{- ",
            " -}",
            '"""',
            "'''",
            ".. ",
            "   ",
            "=pod\n",
            "=cut\n",
            "C ",
            "REM ",
        ),
        *(
            "#!",
            "<?php ",
            "%",
            ";",
            "dnl ",
            "#",
            "#####\n",
            "\ufeff",
            "\u00e9",
            "\0",
            "\\",
            "(c) 2010",
        ),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=25), st.sampled_from(_NAMES))
def test_property_fixed_point_and_only_the_top_changes(pieces: list[str], name: str) -> None:
    text = "".join(pieces)
    new, removed = remove_header(text, syntax(name))
    assert removed == len(text) - len(new) >= 0
    assert remove_header(new, syntax(name)) == (new, 0)
    elements = list(top(text, syntax(name)))
    length = sum(len(e.raw) for e in elements)
    assert text.startswith("".join(e.raw for e in elements))
    assert new.endswith(text[length:])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.sampled_from(_NAMES))
def test_property_never_crashes_on_any_text(text: str, name: str) -> None:
    new, _ = remove_header(text, syntax(name))
    assert remove_header(new, syntax(name)) == (new, 0)


@pytest.mark.parametrize(
    "text",
    [
        "# " + "vim: " * 200_000 + "\nx\n",
        "# Copyright " * 100_000 + "\nx\n",
        "# Copyright 2001 a\n" * 20_000 + "x\n",
        "#\n" * 400_000,
        "\n" * 1_000_000,
        "/*" * 400_000,
        "/* Copyright 2001 */" * 20_000,
        "/* Copyright 2001 a */\n" * 6_000,
        "{-" * 400_000 + "-}" * 400_000,
        "# see the " + "licensed released distributed available under by " * 20_000 + "\nx\n",
        "# " + "a " * 30_000 + "\n# " + "permitted to b to " * 3_000 + "\nx\n",
        '"""' + "Copyright\n\n" * 100_000 + '"""\n',
        "<!DOCTYPE" + " a" * 400_000,
        "# " + "-*-" * 300_000 + "\n",
        "# A <" + "a" * 500_000 + "@\n# Copyright 2001\n",
        ("# Copyright 2001\n# A " + "A" * 110 + "!\n") * 9_000,  # a name that is none
        "# Copyright\n" + ("# Written by " + "A " * 140 + "!\n") * 4_000,
        "--[" + "=" * 300_000 + "[",
    ],
    ids=lambda text: text[:20].replace("\n", "|"),
)
def test_hostile_tops_take_bounded_work(text: str) -> None:
    # Quadratic work on these would take hours.
    for name in ("a.py", "a.c", "a.hs", "a.html", "a.lua"):
        new, _ = remove_header(text, syntax(name))
        assert len(new) <= len(text)


def test_a_header_longer_than_the_top_is_still_a_fixed_point() -> None:
    text = commented("#") * (3 * MAX_TOP_CHARS // len(commented("#"))) + "x = 1\n"
    assert clean(text, "a.py") == "x = 1\n"
