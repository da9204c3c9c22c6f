"""What a file's repository and path tell: whether they can be true, and what kind of file it is."""

from __future__ import annotations

import re
from urllib.parse import quote

# GitHub's own rule for owners and repositories; `.` and `..` are no names.
_REPOSITORY = re.compile(r"(?!\.{1,2}/)[\w.-]{1,100}/(?!\.{1,2}$)[\w.-]{1,100}", re.ASCII)
_MAX_PATH = 4096

# Folders that hold other projects' files or build output, as package managers and habit name them.
_VENDORED_FOLDERS = frozenset(
    (
        *("node_modules", "bower_components", "jspm_packages", ".yarn", "vendor", "vendors"),
        *("_vendor", "vendored", "third_party", "third-party", "thirdparty", "3rd_party"),
        *("3rd-party", "3rdparty", "extern", "external", "externals", "godeps", "pods"),
        *("carthage", "site-packages", "dist-packages", "eggs", "wheelhouse", "virtualenv", "dist"),
    )
)
_MINIFIED = re.compile(r"(?i)[.-](?:min|pack(?:ed)?|compressed)\.(?:m?js|cjs|css)$|\.map$")
_GENERATED = re.compile(
    r"""(?xi)
    (?:^|/)(?:
        package-lock\.json | npm-shrinkwrap\.json | yarn\.lock | pnpm-lock\.yaml | bun\.lockb?
      | cargo\.lock | poetry\.lock | pipfile\.lock | pdm\.lock | uv\.lock | composer\.lock
      | gemfile\.lock | podfile\.lock | mix\.lock | pubspec\.lock | packages\.lock\.json
      | package\.resolved | flake\.lock | deno\.lock | conda-lock\.yml | go\.sum | gopkg\.lock
      | glide\.lock | gradle\.lockfile | buildscript-gradle\.lockfile | elm-stuff/.*
      | __generated__/.* | __snapshots__/.* | configure | aclocal\.m4 | ltmain\.sh | libtool\.m4
      | config\.(?:guess|sub) | install-sh | depcomp | gradlew(?:\.bat)? | mvnw(?:\.cmd)?
      | versioneer\.py | zz_generated\.[^/]*
    )$
    | _pb2(?:_grpc)?\.pyi?$ | \.pb(?:\.gw|\.micro|\.validate)?\.(?:go|cc|h|c|swift|rs|dart)$
    | _(?:grpc_)?pb\.(?:js|ts|d\.ts|rb)$ | _grpc\.pb\.go$ | \.pb(?:enum|json|grpc|server)\.dart$
    | \.(?:g|freezed|gr|mocks|config)\.dart$ | \.g\.(?:cs|i\.cs|h|cpp)$ | \.designer\.(?:cs|vb)$
    | [._-](?:auto)?generated\.[^/.]+$ | \.(?:auto)?gen\.[^/.]+$ | _gen(?:erated)?\.go$
    | _string\.go$ | \.(?:bundle|chunk)\.(?:m?js|css)$ | [.-]bundle\.js$ | (?:^|/)bundle\.js$
    | (?:^|/)moc_[^/]*\.cpp$ | (?:^|/)(?:ui|qrc)_[^/]*\.(?:h|py)$ | \.xcodeproj/ | \.snap$
    | \.nib$ | \.storyboard$ | \.lock$ | \.tab\.[ch](?:pp)?$ | \.yy\.c(?:pp|c)?$
    """
)
_LICENCE = re.compile(
    r"(?i)(?:^|/)(?:un)?(?:licen[sc]es?|copying|copyright|notice|patents?)"
    r"(?:[._-][\w.+-]{1,40})?$"
)
# `license.py` is a program about licences.
_LICENCE_ENDINGS = frozenset({"", "txt", "md", "rst", "html", "markdown", "adoc", "tex", "lesser"})


def problem(repository: str, path: str) -> str:
    """Why no file of a repository (`owner/name` or `name`) can be called so; empty if it can."""
    if not _REPOSITORY.fullmatch(repository if "/" in repository else f"-/{repository}"):
        return "repository: not owner/name"
    if not path or len(path) > _MAX_PATH:
        return f"path: {len(path)} characters"
    if path.startswith("/") or "\0" in path:
        return "path: not relative, or with NUL"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "path: leads out of its repository, or has an empty part"
    return ""


def is_vendored(path: str) -> bool:
    folders = path.lower().split("/")[:-1]
    return not _VENDORED_FOLDERS.isdisjoint(folders)


def is_generated(path: str) -> bool:
    return _GENERATED.search(path) is not None


def is_minified(path: str) -> bool:
    return _MINIFIED.search(path) is not None


def is_licence(path: str) -> bool:
    """Is it the text of a licence: `LICENSE`, `COPYING.txt`, `LICENSE-MIT`?"""
    if not _LICENCE.search(path):
        return False
    ending = path.rpartition("/")[2].rpartition(".")
    return not ending[1] or ending[2].lower() in _LICENCE_ENDINGS or ending[2][:1].isdigit()


def url(repository: str, path: str) -> str | None:
    """Where GitHub shows the file; None for a repository without an owner."""
    if "/" not in repository:
        return None
    return f"https://github.com/{quote(repository)}/blob/HEAD/{quote(path)}"
