"""English text that is on every machine: the documentation of Python and of installed packages.

Two kinds. `module_pages` are the HTML pages that `pydoc` renders for modules of the standard
library, each imported in a child process from a fixed list. `docstring_articles` reads docstrings
out of source files with `ast`, without importing, from the standard library and from those
installed distributions whose metadata states a permissive licence. Nothing of it is kept in this
project: the text stays under the work folder of the run, under the licence of its package.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NAMES = """
    abc argparse base64 bdb binascii bisect bz2 calendar cgi cmath cmd code codecs codeop
    colorsys compileall concurrent.futures contextlib contextvars copy copyreg csv dataclasses
    datetime difflib dis doctest email email.message enum filecmp fileinput fnmatch fractions
    ftplib functools gettext glob graphlib gzip hashlib heapq hmac html html.parser http.cookies
    imaplib ipaddress itertools json keyword linecache locale logging lzma mimetypes modulefinder
    multiprocessing netrc numbers opcode operator optparse pathlib pdb pickle pickletools pkgutil
    plistlib poplib pprint profile pstats pyclbr queue quopri random re reprlib sched secrets
    selectors shelve shlex shutil statistics string struct subprocess symtable tarfile tempfile
    textwrap threading timeit token tokenize trace traceback tracemalloc types unicodedata
    urllib.parse uuid warnings wave weakref xml.etree.ElementTree xml.sax xmlrpc.client zipfile
    zlib zoneinfo
"""
MODULES = tuple(_NAMES.split())
"""Modules whose import neither prints nor opens a window; one that a Python lacks is left out.
`os`, `sys` and `site` are not among them: their pages show the environment and paths."""

PACKAGES = ("networkx", "scipy", "pydantic", "click", "rich")
"""Distributions with long docstrings, in the order of use; those not installed are left out."""

_PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation)\b", re.IGNORECASE)
_SHORTEST, _LONGEST = 500, 12_000  # characters of a docstring that is worth a section
_PROMISING = re.compile(rb'"""[^"]{1500,}')  # parsing is the cost: skip files of short docstrings
_PAGE = 4_000  # characters after which a page is full
_TIMEOUT = 120.0  # seconds for all modules together; they take about three

_RENDER = """
import importlib, json, pydoc, re, sys
class Pages(pydoc.HTMLDoc):
    def docother(self, *args, **kwargs): return ''
    def filelink(self, url, path): return ''
pages, missing = {}, {}
for name in json.loads(sys.argv[1]):
    try:
        pages[name] = Pages().page(name, Pages().docmodule(importlib.import_module(name)))
    except Exception as error:
        missing[name] = type(error).__name__
with open(sys.argv[2], 'w', encoding='utf-8') as out:
    json.dump([pages, missing], out)
"""
_FILE_LINK = re.compile(r'<a href="file:[^"]*">[^<]*</a>')
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class DocumentationError(RuntimeError):
    """The child process that renders module pages failed."""


@dataclass(frozen=True, slots=True)
class DocArticle:
    """Docstrings of one package, enough for a page; `name` is unique."""

    package: str
    name: str
    paragraphs: tuple[str, ...]


def module_pages(modules: tuple[str, ...], scratch: Path) -> tuple[dict[str, str], dict[str, str]]:
    """HTML by module name, and the error's name for each module that could not be imported.

    The child has an empty environment and a fixed hash seed, so that pages show neither this
    machine's variables nor the order of a set. Raises `DocumentationError`.
    """
    result = scratch / "pydoc.json"
    try:
        done = subprocess.run(
            [*_interpreter(), "-c", _RENDER, json.dumps(modules), str(result)],
            env={"PYTHONHASHSEED": "0", "COLUMNS": "80", **_needed_environment()},
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DocumentationError(f"pydoc took more than {_TIMEOUT:.0f} s") from error
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DocumentationError(f"pydoc ended with {done.returncode}: {''.join(tail)}")
    pages, missing = json.loads(result.read_text(encoding="utf-8"))
    result.unlink()
    return {name: _impersonal(html) for name, html in sorted(pages.items())}, missing


def _impersonal(html: str) -> str:
    """Without source paths and memory addresses, which vary, and with common blanks.

    pydoc sets docstrings with `&nbsp;` alone, by which no language identifier sees a word.
    """
    return _ADDRESS.sub("", _FILE_LINK.sub("", html).replace("&nbsp;", " "))


def licence(distribution: str) -> str | None:
    """The permissive licence that an installed distribution states, or None."""
    try:
        metadata = importlib.metadata.metadata(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    stated = [
        *(metadata.get_all("License-Expression") or []),
        *(c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")),
        *(text.splitlines()[0] for text in metadata.get_all("License") or [] if text.strip()),
    ]
    return next((text for text in stated if _PERMISSIVE.search(text)), None)


def sources() -> dict[str, Path]:
    """Folders of Python source by package name, the standard library (`python`) first."""
    found = {"python": Path(sysconfig.get_paths()["stdlib"])}
    for name in PACKAGES:
        if licence(name) is None:
            continue
        folder = importlib.metadata.distribution(name).locate_file(name.replace("-", "_"))
        if Path(str(folder)).is_dir():
            found[name] = Path(str(folder))
    return found


def docstring_articles(budget: int) -> Iterator[DocArticle]:
    """Pages of docstrings, about `budget` characters in all, dealt evenly over the packages."""
    packages = sources()
    readers = {name: _package_articles(name, folder) for name, folder in packages.items()}
    taken = 0
    while readers and taken < budget:
        for name in list(readers):
            article = next(readers[name], None)
            if article is None:
                del readers[name]
                continue
            taken += sum(map(len, article.paragraphs))
            yield article
            if taken >= budget:
                return


def _package_articles(package: str, folder: Path) -> Iterator[DocArticle]:
    pattern = "*.py" if package == "python" else "**/*.py"
    for path in sorted(folder.glob(pattern)):
        relative = path.relative_to(folder)
        if {"tests", "test", "testing"} & set(relative.parts) or path.stat().st_size > 400_000:
            continue
        code = path.read_bytes()
        if not _PROMISING.search(code):
            continue
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError):
            continue  # a template or a file for another Python: no text to take
        module = ".".join(relative.with_suffix("").parts)
        paragraphs: list[str] = []
        page = 0
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            text = ast.get_docstring(node)
            if text is None or not _SHORTEST <= len(text) <= _LONGEST:
                continue
            paragraphs.append(getattr(node, "name", module))
            paragraphs.extend(reflow(text))
            if sum(map(len, paragraphs)) >= _PAGE:
                page += 1
                yield DocArticle(package, f"{module}.{page}", tuple(paragraphs))
                paragraphs = []
        if paragraphs:
            yield DocArticle(package, f"{module}.{page + 1}", tuple(paragraphs))


def reflow(text: str) -> Iterator[str]:
    """Lines as a web page shows them: prose joined to one line, code and tables as they are."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.strip()]
        indents = {len(line) - len(line.lstrip()) for line in lines}
        prose = len(indents) == 1 and all(line.strip()[:1].isalnum() for line in lines)
        if prose:
            yield " ".join(line.strip() for line in lines)
        else:
            yield from (line.strip() for line in lines)


def _interpreter() -> list[str]:
    safe_path = ["-P"] if sys.version_info >= (3, 11) else []
    return [sys.executable, "-s", "-S", "-B", *safe_path, "-X", "utf8", "-W", "ignore"]


def _needed_environment() -> dict[str, str]:
    """A shared libpython may be found through this variable alone."""
    return {key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ}
