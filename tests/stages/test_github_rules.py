"""GitHub's rules one by one: paths, languages, licences, generated and minified files, lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import get_all_lexers

from stages.github import languages, paths, quality, syntax
from stages.github.content import REASONS, ContentRules
from stages.github.expressions import ExpressionError, is_kept, joined, normal
from stages.github.licences import Licences
from stages.github.settings import GithubSettings
from stages.github.spdx import licence_of_repository, licences_of
from stages.github.verdicts import REASON_OF_RANK, Verdicts
from stages.outcomes import Reject

CODE = "def add(first, second):\n    return first + second\n"


def reason(path: str, licence: str | None = "mit", mode: int | None = 33188, **more: object) -> str:
    verdicts = Verdicts(GithubSettings.model_validate(more))
    return REASON_OF_RANK[verdicts.rank(path, licence, mode, is_link=False)]


def judged(text: str, language: str = "Python", **more: object) -> tuple[str, int] | Reject:
    return ContentRules(GithubSettings.model_validate(more)).judge(text, language)


def rejected(text: str, language: str = "Python", **more: object) -> str:
    verdict = judged(text, language, **more)
    return verdict.reason if isinstance(verdict, Reject) else ""


# -- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repository", "path"),
    [
        ("../etc", "passwd"),
        ("a/..", "b"),
        ("./a", "b"),
        ("a", "../b"),
        ("a/b", "../../etc/passwd"),
        ("a/b", "/etc/passwd"),
        ("a/b", "c//d"),
        ("a/b", "c/./d"),
        ("a/b", ""),
        ("a/b", "c\0d"),
        ("a/b/c", "d"),
        ("a b/c", "d"),
        ("ä/b", "c"),
        ("a/b\n", "c"),
        ("a/b", "x" * 5000),
    ],
)
def test_places_that_cannot_be_are_bad(repository: str, path: str) -> None:
    assert paths.problem(repository, path)


def test_places_that_can_be() -> None:
    for repository, path in (("a/b", "c"), ("a-b/.c_d", "e f/ü.py"), ("a/b", "...")):
        assert paths.problem(repository, path) == ""
    assert paths.url("a/b", "c d/ü#?.py") == (
        "https://github.com/a/b/blob/HEAD/c%20d/%C3%BC%23%3F.py"
    )


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("src/a.py", ""),
        ("vendor/a/b.go", "vendored"),
        ("node_modules/a/index.js", "vendored"),
        ("lib/Third_Party/a.c", "vendored"),
        ("dist/a.js", "vendored"),
        ("src/vendor.js", ""),
        ("distance/a.py", ""),
        ("a.min.js", "minified"),
        ("a-min.css", "minified"),
        ("a.js.map", "minified"),
        ("min.js", ""),
        ("package-lock.json", "generated"),
        ("sub/yarn.lock", "generated"),
        ("a_pb2.py", "generated"),
        ("a.pb.go", "generated"),
        ("configure", "generated"),
        ("configure.py", ""),
        ("src/code-gen.js", ""),
        ("a.generated.ts", "generated"),
        ("LICENSE", "license_text"),
        ("docs/COPYING.txt", "license_text"),
        ("LICENSE-MIT", "license_text"),
        ("UNLICENSE", "license_text"),
        ("license.py", ""),
        ("src/licenses/list.py", ""),
        ("data.json", "data_language"),
        ("a.svg", "data_language"),
        ("notes.txt", "data_language"),
        ("photo.xyz", "unknown_language"),
        ("cert.crt", "unknown_language"),
    ],
)
def test_reason_by_path(path: str, why: str) -> None:
    assert reason(path) == why


def test_reason_by_licence_and_mode() -> None:
    assert reason("a.py", None) == "no_license"
    assert reason("a.py", "gpl-3.0") == "license"
    assert reason("a.py", "isc") == "license"
    assert reason("a.py", "MIT") == ""
    assert reason("a.py", "apache-2.0 AND mit") == ""
    assert reason("a.py", "gpl-3.0 AND mit") == "license"
    assert reason("a.py", mode=0o120000) == "symlink"
    assert reason("a.py", mode=0o160000) == "symlink"
    assert reason("a.py", mode=0o100755) == ""
    assert reason("a.py", "isc", licenses=["ISC"]) == ""


def test_settings_open_the_path_rules() -> None:
    assert reason("vendor/a.py", keep_vendored=True) == ""
    assert reason("a_pb2.py", keep_generated=True) == ""
    assert reason("data.json", data_languages=[]) == ""
    assert reason("data.json", languages=["JSON"]) == ""
    assert reason("a.py", languages=["JSON"]) == "other_language"


def test_each_reason_is_documented() -> None:
    assert set(REASON_OF_RANK[1:]) <= set(REASONS)


# -- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.py", "Python"),
        ("a.PY", "Python"),
        ("a/b.c", "C"),
        ("a.C", "C++"),
        ("a.h", "C"),
        ("a.m", "Objective-C"),
        ("a.R", "R"),
        ("a.r", "R"),
        ("Makefile", "Makefile"),
        ("Dockerfile", "Docker"),
        ("CMakeLists.txt", "CMake"),
        ("config.h.in", "C"),
        ("a.sty", "TeX"),
        ("a.f90", "Fortran"),
        ("a.tar.gz", None),
        ("README", None),
        (".py", None),
        ("a.", None),
        ("", None),
    ],
)
def test_language_by_name(path: str, language: str | None) -> None:
    assert languages.language_of(path) == language


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_property_any_name_is_answered(path: str) -> None:
    assert languages.language_of(path) is None or languages.language_of(path)


def test_comments_are_known_only_of_languages_that_exist() -> None:
    known = {name.lower() for name, *_ in get_all_lexers(plugins=False)}
    known |= {name.lower() for name in languages._FURTHER.values()}
    known |= {name.lower() for name in languages._PREFERRED.values()}
    assert set(syntax._by_language()) <= known
    assert set(syntax._LANGUAGES) == set(syntax._SYNTAXES)
    assert syntax.syntax_of("JSON") is None
    assert syntax.syntax_of(None) is None


# -- licences -------------------------------------------------------------------------------------

_BSD1 = (
    "Redistribution and use in source and binary forms, with or without modification, are\n"
    "permitted: 1. Redistributions of source code must retain the above notice.\n"
)
_BSD2 = f"{_BSD1}2. Redistributions in binary form must reproduce the above notice.\n"
_ISC = "Permission to use, copy, modify, and/or distribute this software for any purpose with or\n"
_GRANT = "Permission is hereby granted, free of charge, to any\nperson obtaining a copy"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SPDX-License-Identifier: MIT OR Apache-2.0", {"mit OR apache-2.0"}),
        ("SPDX-License-Identifier: MIT\nSPDX-License-Identifier: ISC", {"mit", "isc"}),
        ("SPDX-License-Identifier: MIT AND", {"other"}),
        ("SPDX-License-Identifier: BSD-2-Clause-FreeBSD", {"bsd-2-clause"}),
        (f"{_GRANT} ... this permission notice shall be included in all copies", {"mit"}),
        (f"MIT No Attribution\n{_GRANT} of this software", {"mit-0"}),
        (f"{_ISC}without fee is hereby granted, provided that the above copyright", {"isc"}),
        (f"{_ISC}without fee is hereby granted. THE SOFTWARE IS", {"0bsd"}),
        (_BSD1, {"bsd-1-clause"}),
        (_BSD2, {"bsd-2-clause"}),
        (_BSD2 + "Neither the name of the author", {"bsd-3-clause"}),
        (_BSD2 + "All advertising materials mentioning features of", {"bsd-4-clause"}),
        ("Apache License\n   Version 2.0, January 2004", {"apache-2.0"}),
        ("  Version 2.0, January 2004\n  http://www.apache.org/licenses/\n", {"apache-2.0"}),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007", {"gpl-3.0"}),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n Version 2.1, February 1999", {"lgpl-2.1"}),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\n Version 3", {"agpl-3.0"}),
        ("Mozilla Public License Version 2.0", {"mpl-2.0"}),
        ("You owe me a coffee.", {"other"}),
        ("", {"other"}),
    ],
)
def test_licence_of_a_text(text: str, names: set[str]) -> None:
    assert licences_of(text) == names


def test_licence_of_a_repository_is_all_of_them() -> None:
    mit = "SPDX-License-Identifier: MIT"
    assert licence_of_repository([]) is None
    assert licence_of_repository([mit]) == "mit"
    both = licence_of_repository([mit, "GNU GENERAL PUBLIC LICENSE Version 2"])
    assert both == "gpl-2.0 AND mit"
    assert not is_kept(both, {"mit"})


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("MIT", True),
        ("mit", True),
        ("BSD-2-Clause", True),
        ("BSD-3-Clause", True),
        ("Apache-2.0", True),
        ("Apache-2.0+", True),
        ("MIT OR GPL-3.0-only", True),
        ("GPL-3.0-only or MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (BSD-3-Clause OR GPL-2.0-only)", True),
        ("MIT AND BSD-3-Clause OR GPL-2.0-only", True),
        ("GPL-2.0-only AND (MIT OR BSD-3-Clause)", False),
        ("GPL-2.0-only OR MIT AND ISC", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("BSD-2-Clause-Views", True),
        # Relatives by name.
        ("0BSD", False),
        ("BSD-4-Clause", False),
        ("BSD-1-Clause", False),
        ("MIT-0", False),
        ("Apache-1.1", False),
        ("MITNFA", False),
        # No expressions.
        ("", False),
        ("MIT OR", False),
        ("(MIT", False),
        ("MIT)", False),
        ("MIT MIT", False),
        ("MIT, ISC", False),
        ("OR", False),
        ("(" * 150 + "MIT" + ")" * 150, False),
        (None, False),
    ],
)
def test_expressions(expression: str | None, kept: bool) -> None:
    assert is_kept(expression, GithubSettings().licenses) is kept


def test_expressions_in_their_normal_form() -> None:
    assert normal(" (mit  or Apache-2.0) and ISC ") == "(mit OR apache-2.0) AND isc"
    assert joined(["mit", "isc OR 0bsd", "mit"]) == "(isc OR 0bsd) AND mit"
    assert (joined(["mit"]), joined([])) == ("mit", None)
    assert is_kept("GPL-3.0-or-later", {"gpl-3.0"}) and not is_kept("LGPL-3.0", {"gpl-3.0"})
    with pytest.raises(ExpressionError):
        normal("MIT WITH")


_EXPRESSIONS = st.lists(
    st.sampled_from(["MIT", "ISC", "or", "AND", "with", "(", ")", "x", ",", " "]), max_size=12
).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(_EXPRESSIONS | st.text(max_size=30))
def test_property_normal_forms_are_fixed_points_and_are_kept_alike(expression: str) -> None:
    try:
        found = normal(expression)
    except ExpressionError:
        assert not is_kept(expression, {"mit"})
        return
    assert normal(found) == found
    assert is_kept(found, {"mit"}) == is_kept(expression, {"mit"})


def test_licences_of_the_export() -> None:
    known = Licences([("a/b", "mit"), ("c/d", "GPL-3.0"), ("c/d", "mit"), ("e/f", " Isc ")])
    assert len(known) == 4
    assert known.find("a/b") == "mit"
    assert known.find("c/d") == "gpl-3.0 AND mit"
    assert known.find("e/f") == "isc"
    assert known.find("A/B") is None
    assert Licences([]).find("a/b") is None


# -- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("# Generated by the protocol buffer compiler.  DO NOT EDIT!", "Python"),
        ("// Code generated by mockgen. DO NOT EDIT.", "Go"),
        ("/* This file was automatically generated by SWIG */", "C"),
        ("// <auto-generated>", "C#"),
        ("/** @generated SignedSource<<abc>> */", "JavaScript"),
        ("# Autogenerated by Thrift", "Python"),
        ("-- This file has been auto-generated", "SQL"),
        ("; generated automatically by aclocal", "Common Lisp"),
        ("// Generated by CoffeeScript 1.12.7", "JavaScript"),
        ("<!-- This file is generated from a template -->", "HTML"),
        ('<html><head><meta name="generator" content="Doxygen 1.9"/>', "HTML"),
    ],
)
def test_files_that_say_they_are_generated(line: str, language: str) -> None:
    assert rejected(f"{line}\n{CODE}", language) == "generated"
    assert rejected(f"{line}\n{CODE}", language, keep_generated=True) != "generated"


@pytest.mark.parametrize(
    "line",
    [
        "# Parses the report generated by the test runner.",
        "# Do not modify the list while it is read.",
        "# The random numbers are generated from a seed.",
        "print('DO NOT EDIT')",
        "# Writes '@generatedness' somewhere",
        "/* Generates a table. */",
        "# editing is not done here: do not change it unless tests pass",
    ],
)
def test_files_that_speak_of_generating(line: str) -> None:
    assert rejected(f"{line}\n{CODE}") == ""


def test_the_mark_of_another_language_is_a_string_or_code() -> None:
    line = "<!-- Generated with a tool -->"
    assert rejected(f'TEMPLATE = """\n{line}\n"""\n{CODE}') == ""
    assert rejected(f"{line}\n{CODE}", "HTML") == "generated"
    assert rejected(f"<!--\n -- This file is auto-generated\n-->\n{CODE}", "HTML") == "generated"


def test_a_mark_far_below_the_top_does_not_count() -> None:
    assert rejected(CODE * 60 + "# Code generated by x. DO NOT EDIT.\n") == ""


def test_minified_scripts() -> None:
    script = "var a=1,b=2;function f(c){return c?a:b};" * 20
    assert rejected(f"{script}\n" * 2, "JavaScript") == "minified"
    spaced = "const value = compute(first, second);\n" * 40
    assert rejected(spaced, "JavaScript") == ""
    assert rejected(f"{script}\n" * 2, "Python") == "long_mean_line"


def test_line_lengths_at_their_limits() -> None:
    """RedPajama's and BigCode's constants: longest line 1000, mean 100."""
    short = "a b\n" * 30
    assert rejected(short + "word " * 200 + "\n") == ""
    assert rejected(short + "word " * 200 + "x\n") == "long_line"
    assert rejected(("word " * 20 + "\n") * 30) == ""
    assert rejected(("word " * 20 + "x\n") * 30) == "long_mean_line"
    assert rejected(short + "word " * 200 + "x\n", max_line_chars=1001) == ""


def test_line_ends_do_not_count_as_characters() -> None:
    assert quality.line_lengths("ab\ncd\n", 2, 2.0) is None
    assert quality.line_lengths("ab\ncd", 2, 2.0) is None
    assert quality.line_lengths("abc\n", 2, 9.0) == Reject("long_line", "3 characters")


def test_alphanumeric_share() -> None:
    assert quality.alphanumeric_share("") == 0.0
    assert quality.alphanumeric_share("ab--") == 0.5
    assert quality.alphanumeric_share("žá—–") == 0.5
    assert rejected("abcd" + "-" * 12) == ""
    assert rejected("abcd" + "-" * 13) == "few_alphanumeric"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_property_alphanumeric_share_counts_characters(text: str) -> None:
    expected = sum(map(str.isalnum, text)) / len(text) if text else 0.0
    assert quality.alphanumeric_share(text) == expected


def test_data_in_disguise() -> None:
    base64 = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==\n"
    assert rejected(CODE + f"DATA = '''\n{base64 * 20}'''\n") == "encoded_data"
    assert rejected(CODE + f"DATA = '''\n{base64 * 20}'''\n", max_encoded=1) == ""
    assert rejected(CODE * 20 + base64) == ""
    assert rejected("x = 1\0\n") == "binary"
    assert rejected("a\ufffdb\ufffd" * 10) == "encoding"
    assert rejected(CODE * 5 + "# \ufffd\n") == ""


def test_empty_files_and_files_of_nothing_but_a_header() -> None:
    assert rejected("") == "empty"
    assert rejected(" \n\t\n\ufeff") in ("empty", "few_alphanumeric")
    assert rejected("# Copyright 2001 Jane Doe\n# MIT License\n") == "only_header"
    assert rejected("x" * 2000, max_file_bytes=1000) == "too_large"


def test_newlines_and_byte_order_marks() -> None:
    assert judged("\ufeffx = 1\r\ny = 2\rz = 3\n") == ("x = 1\ny = 2\nz = 3\n", 0)
    raw = "\ufeffx = 1\r\n"
    assert judged(raw, normalise_newlines=False) == (raw, 0)


def test_headers_stay_if_asked() -> None:
    text = f"# Copyright 2001 Jane Doe\n{CODE}"
    assert judged(text) == (CODE, len(text) - len(CODE))
    assert judged(text, remove_headers=False) == (text, 0)


def test_filters_see_the_file_before_its_header_is_gone() -> None:
    """The paper's order: line and character heuristics, then headers, then deduplication."""
    art = "-" * 60 + "\n"
    text = "# Copyright 2001 Jane Doe. All rights reserved, as everywhere\n" * 2 + art
    assert rejected(text) == ""
    assert rejected(art) == "few_alphanumeric"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400), st.sampled_from(["Python", "C", "HTML", "JavaScript", "Unknown"]))
def test_property_rules_never_crash_and_are_stable(text: str, language: str) -> None:
    verdict = judged(text, language)
    if isinstance(verdict, Reject):
        assert verdict.reason in REASONS
    else:
        assert verdict[0].strip()
        assert len(verdict[0]) + verdict[1] <= len(text)


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "# " + "auto-generated " * 60_000, "a " * 500_000, "A" * 500_000 + "\n"],
)
def test_megabyte_lines_leave(text: str) -> None:
    assert rejected(text) in ("long_line", "generated")
