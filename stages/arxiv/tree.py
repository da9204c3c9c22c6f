"""The files of one submission as TeX finds them: by any case, with or without ending."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict

from stages.arxiv.encoding import declared, decode
from stages.arxiv.submission import clean_name

_OFF_PAGE = re.compile(r"\.(eps|pdf|png|jpe?g|tikz|pgf|pdf_tex|eps_tex|pstex_t)$", re.I)


class Tree:
    """Text files by normalised name, decoded when first asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = dict(files)
        self._texts: dict[str, tuple[str, str]] = {}
        self._default: str | None = None
        self._folded: dict[str, str] = {}
        self._base: dict[str, list[str]] = defaultdict(list)
        for name in sorted(files):
            self._folded.setdefault(name.lower(), name)
            self._base[posixpath.basename(name).lower()].append(name)

    def names(self) -> list[str]:
        return sorted(self._files)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def size(self, name: str) -> int:
        return len(self._files[name])

    def encoded_as(self, main: str) -> None:
        """Files that declare no encoding have that of the main file."""
        self._default = declared(self._files[main])

    def text(self, name: str) -> str:
        return self._decoded(name)[0]

    def encodings(self) -> list[str]:
        """The codecs of all files that were read, each once."""
        return sorted({codec for _, codec in self._texts.values()})

    def _decoded(self, name: str) -> tuple[str, str]:
        if name not in self._texts:
            self._texts[name] = decode(self._files[name], self._default)
        return self._texts[name]

    def add(self, name: str, text: str) -> None:
        """A file that a paper writes itself; it does not replace one of the submission."""
        clean = clean_name(name.strip())
        if clean and clean.lower() not in self._folded:
            self._files[clean] = b""
            self._texts[clean] = (text, "ascii")
            self._folded[clean.lower()] = clean
            self._base[posixpath.basename(clean).lower()].append(clean)

    def find(self, wanted: str, folders: list[str], endings: tuple[str, ...]) -> str | None:
        """The file that `wanted` names, looked for below each of `folders`, then anywhere.

        An ending is added first, as TeX does. The last resort is the only file of this name in
        any folder: submissions were often moved after they were written.
        """
        wanted = wanted.strip().strip('"').strip()
        if not wanted or len(wanted) > 300 or _OFF_PAGE.search(wanted):
            return None
        spellings = [wanted + ending for ending in endings] + [wanted]
        for folder in folders:
            for spelling in spellings:
                # A name that leads out of the submission finds nothing: no file has such a name.
                name = clean_name(posixpath.join(folder, spelling))
                if name is None:
                    continue
                if name in self._files:
                    return name
                if name.lower() in self._folded:
                    return self._folded[name.lower()]
        for spelling in spellings:
            found = self._base.get(posixpath.basename(spelling).lower(), [])
            if len(found) == 1:
                return found[0]
        return None
