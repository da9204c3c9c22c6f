"""The GitHub export of the sample: sources of installed packages and written ones, with traps.

Written as BigQuery exports `github_repos`: JSON lines packed with gzip, integers as text, columns
that are null left out. Ordinary files are sources of those installed packages whose metadata states
a permissive licence; nothing of them is kept in the project. Traps are files written for it.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from pipeline.sample import benchmark, documentation
from pipeline.sample.archives import gzip_member
from pipeline.sample.traps import Must, Trap

FOLDER = "github"
TEXT_BYTES = 600_000
"""Bytes of package sources at scale 1."""
ITEM_PLACE = benchmark.Place(
    f"{FOLDER}/contents-000000000000.json.gz",
    "https://github.com/sample/island/blob/HEAD/quiz/coast.py",
)

_STEP, _DEDUP = "github", "github.document_dedup"
_ENDINGS = {".py", ".pyi", ".pyx", ".pxd", ".h", ".c", ".hpp", ".js", ".css", ".md", ".rst"}
_LARGEST = 40_000
_LICENCES = (("Apache", "apache-2.0"), ("BSD", "bsd-3-clause"), ("MIT", "mit"))

_NOTICE = "Copyright (c) 2014 Rosa Sample and others. All rights reserved."
_GRANT = (
    'Licensed under the Sample Licence 2.0 (the "License"); you may not use this file except',
    "in compliance with the License. This software is provided without warranty of any kind.",
)
_SECOND = "Portions Copyright (C) 1999 Otto Beispiel. Released under the MIT license."


@dataclass(frozen=True, slots=True)
class _Written:
    """A source: file name, what must come first, comment marks, and the code below the header."""

    name: str
    first: str
    marks: tuple[str, str, str]  # opening line, mark of each line, closing line
    code: str


_SOURCES = (
    _Written(
        "ring.c", "", ("/*", " *", " */"), "#include <stdio.h>\n\nint ring(int n) { return n; }\n"
    ),
    _Written(
        "ring.h", "#pragma once\n", ("", "//", ""), "#define RING_SIZE 16\n\nint ring(int n);\n"
    ),
    _Written(
        "tide.py",
        "#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n",
        ("", "#", ""),
        "# %% one cell\ntide = [3, 1, 2]\nprint(sorted(tide))\n",
    ),
    _Written("moon.py", "", ('"""', "", '"""'), "def phase(day):\n    return day % 29\n"),
    _Written(
        "port.go", "//go:build linux\n\n", ("", "//", ""), "package port\n\nvar Open = true\n"
    ),
    _Written("gull.js", '"use strict";\n', ("/**", " *", " */"), "export const gull = () => 3;\n"),
    _Written("kelp.php", "<?php\n", ("", "//", ""), "namespace Kelp;\n\nfunction grow() {}\n"),
    _Written("reef.html", "<!DOCTYPE html>\n", ("<!--", " ", "-->"), "<html><p>Reef</p></html>\n"),
    _Written("crab.xml.vue", "", ("<!--", "", "-->"), "<template><p>crab</p></template>\n"),
    _Written("boat.sql", "", ("", "--", ""), "-- Boats in the harbour\n\nSELECT name FROM boat;\n"),
    _Written("wave.hs", "", ("{-", "", "-}"), "module Wave where\n\nheight = 3\n"),
    _Written("sail.lisp", "", ("", ";;;", ""), "(defun sail (wind)\n  (* wind 2))\n"),
    _Written("deck.tex", "", ("", "%", ""), "\\documentclass{article}\n\\title{Deck}\n"),
    _Written("mast.vb", "", ("", "'", ""), "Module Mast\nEnd Module\n"),
    _Written("rope.ml", "", ("(*", "", "*)"), "let rope length = length * 2\n"),
    _Written("knot.bat", "@echo off\n", ("", "REM", ""), "dir /b\n"),
    _Written("buoy.rst", "", ("..", "  ", ""), "Buoys\n=====\n\nThey float.\n"),
    _Written("foam.md", "", ("<!--", "", "-->"), "# Foam\n\nA page about foam.\n"),
    _Written("eel.lua", "", ("--[[", "", "]]"), "local eel = 1\nreturn eel\n"),
    _Written("pike.rb", "# frozen_string_literal: true\n", ("", "#", ""), "puts 'pike'\n"),
    _Written("cod.m4", "", ("", "dnl", ""), "AC_INIT([cod], [1])\n"),
    _Written("ray.f90", "", ("", "!", ""), "program ray\nend program ray\n"),
)
_UNTOUCHED = (
    (
        "plain.c",
        "#include <math.h>\n#define PI 3\n\ndouble area(double r) { return PI * r * r; }\n",
    ),
    ("plain.md", "# A title\n\n## And a section\n\nWith a sentence.\n"),
    ("plain.sql", "-- All ships of a port\n\nSELECT * FROM ship;\n"),
    ("plain.sh", "#!/bin/sh\n# Counts the files here.\nls | wc -l\n"),
    ("cells.py", "# %% first\nanchor = 1\n# %% second\nprint(anchor)\n"),
)


@dataclass(slots=True)
class _Dump:
    """Rows of the three tables, and the traps."""

    rng: Random
    licenses: dict[str, str] = field(default_factory=dict)
    files: list[dict[str, str]] = field(default_factory=list)
    contents: dict[str, dict[str, Any]] = field(default_factory=dict)
    traps: list[Trap] = field(default_factory=list)

    def add(self, repository: str, path: str, text: str | None, **more: str) -> str:
        """Puts a file into a repository; returns its URL."""
        data = (text if text is not None else path).encode()
        key = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        row = {"repo_name": repository, "ref": "refs/heads/master", "path": path, "mode": "33188"}
        self.files.append({**row, "id": key, **more})
        content = {"content": text} if text is not None else {}
        binary = text is None
        self.contents[key] = {
            "id": key,
            "size": str(len(data)),
            **content,
            "binary": binary,
            "copies": "1",
        }
        return f"https://github.com/{quote(repository)}/blob/HEAD/{quote(path)}"

    def trap(self, kind: str, must: Must, url: str | None, *any_of: str, **more: Any) -> None:
        given = {"file": f"{FOLDER}/contents-000000000000.json.gz", "steps": (_STEP,), **more}
        self.traps.append(Trap(kind=kind, must=must, url=url, any_of=any_of, **given))


def write(out: Path, seed: int, scale: float) -> list[Trap]:
    """Writes the export below `out/github`; the same arguments and machine give the same bytes."""
    dump = _Dump(Random(f"{seed}/github"))
    dump.licenses |= {
        "sample/harbour": "mit",
        "sample/island": "apache-2.0",
        "sample/forest": "gpl-3.0",
        "sample/desert": "isc",
        "another/forest": "gpl-2.0",
    }
    _packages(dump, round(TEXT_BYTES * scale))
    _headers(dump)
    _unwanted(dump)
    _copies(dump)
    _plant_item(dump, seed)
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    _damaged(dump, folder)
    _write(folder, dump)
    return dump.traps


def _packages(dump: _Dump, budget: int) -> None:
    """Sources of installed packages, dealt evenly, each package a repository of its own."""
    queues: dict[str, list[tuple[str, Path]]] = {}
    for package, root in documentation.sources().items():
        stated = documentation.licence(package) or ""
        licence = next((name for word, name in _LICENCES if word in stated), None)
        if licence is None:
            continue
        dump.licenses[f"packages/{package}"] = licence
        found = [
            (path.relative_to(root).as_posix(), path)
            for path in sorted(root.rglob("*"))
            if path.suffix in _ENDINGS and 200 < path.stat().st_size < _LARGEST
        ]
        dump.rng.shuffle(found)
        queues[package] = found
    taken = 0
    while taken < budget and any(queues.values()):
        for package, queue in queues.items():
            if queue and taken < budget:
                name, path = queue.pop()
                text = path.read_text(encoding="utf-8", errors="replace")
                dump.add(f"packages/{package}", f"{package}/{name}", text)
                taken += len(text.encode())


def _header(source: _Written, lines: tuple[str, ...]) -> str:
    opening, mark, closing = source.marks
    body = "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)
    return f"{opening}\n{body}{closing}\n" if opening else body + closing


def _headers(dump: _Dump) -> None:
    """Files with licence headers in many syntaxes, and files that only begin like one."""
    code_lines = {}
    for n, source in enumerate(_SOURCES):
        header = _header(source, (_NOTICE, "", *_GRANT))
        if n % 2:
            header += "\n" + _header(source, (_SECOND,))
        end = "\r\n" if n % 5 == 4 else "\n"
        text = (source.first + header + "\n" + source.code).replace("\n", end)
        url = dump.add("sample/harbour", f"src/{source.name}", text)
        dump.trap("licence header", Must.TEXT_GONE, url, _NOTICE, note=source.name)
        dump.trap("licence header", Must.TEXT_GONE, url, _GRANT[1][:40], note=source.name)
        if n % 2:
            dump.trap("second licence header", Must.TEXT_GONE, url, _SECOND, note=source.name)
        code_lines[url] = (source.first + source.code).strip()
        dump.trap("lines around a header", Must.KEPT, url, code_lines[url], note=source.name)
    for name, text in _UNTOUCHED:
        url = dump.add("sample/island", f"src/{name}", text)
        dump.trap("first lines that are no header", Must.KEPT, url, text.strip())


def _unwanted(dump: _Dump) -> None:
    code = "def answer():\n    return {}\n"
    base64 = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==\n"
    many = "".join(f"var v{i}=f({i});" for i in range(400))
    wanted = {
        "licence not kept": [
            ("sample/forest", "a.py", code.format(1)),
            ("sample/desert", "b.py", code.format(2)),
        ],
        "no licence known": [("sample/nowhere", "a.py", code.format(3))],
        "text of a licence": [("sample/harbour", "LICENSE.txt", f"{_NOTICE}\n{_GRANT[0]}\n")],
        "vendored file": [
            ("sample/harbour", "node_modules/left/index.js", "module.exports = 1;\n"),
            ("sample/harbour", "third_party/zip/zip.c", "int zip(void) { return 1; }\n"),
        ],
        "generated file": [
            ("sample/harbour", "ship_pb2.py", "# a message\nDESCRIPTOR = None\n"),
            ("sample/harbour", "yarn.lock", "left@1:\n  version 1\n"),
            ("sample/harbour", "gen.go", "// Code generated by shipgen. DO NOT EDIT.\npackage g\n"),
        ],
        "minified file": [
            ("sample/harbour", "ship.min.js", "var a=1;\n"),
            ("sample/harbour", "shipped.js", f"{many[:900]}\n{many[900:1800]}\n"),
        ],
        "line of a megabyte": [("sample/harbour", "long.py", f"x = [{'1, ' * 330_000}]\n")],
        "lines too long on average": [("sample/harbour", "mean.py", f"# {'word ' * 40}\n" * 9)],
        "few letters": [("sample/harbour", "art.py", "# ~-~-~-~-~-~\n" * 40 + "x = 1\n")],
        "base64 data": [("sample/harbour", "blob.py", f"DATA = '''\n{base64 * 60}'''\n")],
        "NUL bytes": [("sample/harbour", "nul.py", "x = 1\0\0\n")],
        "nothing but a header": [("sample/harbour", "empty.py", f"# {_NOTICE}\n# {_GRANT[0]}\n")],
        "bytes that were no text": [("sample/harbour", "lost.py", "x = '\ufffd\ufffd\ufffd'\n")],
    }
    for kind, files in wanted.items():
        for repository, path, text in files:
            dump.trap(kind, Must.REJECTED, dump.add(repository, path, text))
    url = dump.add("sample/harbour", "logo.png", None)
    dump.trap("binary file", Must.REJECTED, url)
    link = dump.add("sample/harbour", "link.py", "src/tide.py", mode="40960")
    dump.files[-1]["symlink_target"] = "src/tide.py"
    dump.trap("symbolic link", Must.REJECTED, link)


def _copies(dump: _Dump) -> None:
    """One content in several repositories, and copies that differ in their headers alone."""
    shared = "def shared(wind):\n    return wind + 1\n"
    dump.add("another/forest", "shared.py", shared)
    dump.add("sample/island", "vendor/shared.py", shared)
    dump.add("sample/island", "zz/shared.py", shared)
    url = dump.add("sample/island", "lib/shared.py", shared)
    dump.trap("file of several repositories", Must.KEPT, url, "def shared(wind)")
    body = "def copied(tide):\n    return tide * 2\n"
    urls = tuple(
        dump.add("sample/island", f"copies/{year}.py", f"# Copyright {year} Rosa Sample\n\n{body}")
        for year in (1999, 2004, 2011)
    )
    dump.trap(
        "copies but for their headers",
        Must.ONE_OF_GROUP,
        None,
        group=urls,
        steps=(_DEDUP,),
        count=len(urls) - 1,
    )


def _plant_item(dump: _Dump, seed: int) -> None:
    """An item of a benchmark in the comment of a program, wrapped."""
    lines = "\n".join(benchmark.planted("github", seed).lines())
    wrapped = [line for text in lines.split("\n") for line in textwrap.wrap(text, 50)]
    comment = "".join(f"    # {line}\n" for line in wrapped)
    code = f"def quiz(answers):\n    right = 0\n{comment}    return right + len(answers)\n"
    dump.add("sample/island", "quiz/coast.py", code)


def _damaged(dump: _Dump, folder: Path) -> None:
    """Rows that are none, in plain files so that each has its bytes; and a file cut short."""
    deep = '{"id":' * 3000 + "1" + "}" * 3000
    bad_contents = {
        "row that is no JSON": ["what is this", '{"id": "12', "[1, 2, 3]"],
        "JSON nested too deep": [deep],
        "lone surrogate": ['{"id": "' + "a" * 40 + '", "content": "\\ud800"}'],
        "id that is none": ['{"id": "../../etc/passwd", "content": "x"}', "{}"],
    }
    _lines_with(dump, folder / "contents-000000000008.json", bad_contents, _survivor)
    row = {"ref": "refs/heads/master", "mode": "33188", "id": "b" * 40}
    bad_files = {
        "repository or path that leads out": [
            json.dumps({**row, "repo_name": "../../etc", "path": "passwd"}),
            json.dumps({**row, "repo_name": "sample/harbour", "path": "../../../etc/passwd"}),
            json.dumps({**row, "repo_name": "sample/harbour", "path": "/etc/passwd"}),
        ],
        "row that is no JSON": ["\\x00"],
    }
    _lines_with(dump, folder / "files-000000000008.json", bad_files, None)
    long = '{"id": "' + "0" * (17 << 20) + '"}\n'
    packed = gzip_member((long + _survivor(dump, 17)).encode())
    _whole_file(dump, folder, 9, "row of seventeen megabytes", packed)
    rows = []
    for n in range(3):
        dump.add("sample/harbour", f"cut/{n}.py", f"cut = '{dump.rng.randbytes(2000).hex()}'\n")
        rows.append(_json(dump.contents.pop(dump.files[-1]["id"])))
    packed = gzip_member((_survivor(dump, 18) + "".join(rows)).encode())
    _whole_file(dump, folder, 10, "truncated file of contents", packed[: len(packed) // 2])


def _whole_file(dump: _Dump, folder: Path, number: int, kind: str, packed: bytes) -> None:
    name = f"contents-{number:012}.json.gz"
    (folder / name).write_bytes(packed)
    dump.trap(kind, Must.UNREADABLE, None, file=f"{FOLDER}/{name}")


def _survivor(dump: _Dump, n: int) -> str:
    """A sound row after a damaged one: that it is kept shows that the reader went on."""
    text = f"def survivor():\n    return {n}\n"
    url = dump.add("sample/island", f"survivors/{n}.py", text)
    dump.trap("row after a damaged one", Must.KEPT, url, f"return {n}")
    return _json(dump.contents.pop(dump.files[-1]["id"]))


def _lines_with(dump: _Dump, path: Path, kinds: dict[str, list[str]], survivor: Any) -> None:
    offset = 0
    with path.open("wb") as out:
        for kind, lines in kinds.items():
            for line in lines:
                data = f"{line}\n".encode()
                where = {"file": f"{FOLDER}/{path.name}", "offset": offset, "length": len(data)}
                dump.trap(kind, Must.UNREADABLE, None, **where)
                if survivor:
                    data += survivor(dump, len(dump.traps)).encode()
                out.write(data)
                offset += len(data)


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _write(folder: Path, dump: _Dump) -> None:
    contents = sorted(dump.contents.values(), key=lambda row: str(row["id"]))
    dump.rng.shuffle(dump.files)
    licenses = [{"repo_name": r, "license": name} for r, name in sorted(dump.licenses.items())]
    tables: dict[str, list[Any]] = {"licenses-000000000000": licenses}
    for part in range(2):
        tables[f"files-{part:012}"] = dump.files[part::2]
        tables[f"contents-{part:012}"] = contents[part::2]
    for name, rows in tables.items():
        packed = gzip_member("".join(map(_json, rows)).encode())
        (folder / f"{name}.json.gz").write_bytes(packed)
