"""`books`: Project Gutenberg's mirrors, and folders or tars of .txt and .epub, to documents."""

from __future__ import annotations

import posixpath
from itertools import groupby
from typing import BinaryIO, cast

from stages.books import names
from stages.books.archives import is_tar, tar_stretches
from stages.books.content import REASONS
from stages.books.reader import BooksReader
from stages.books.settings import BooksSettings
from stages.engine import files
from stages.engine.source import SourceStage
from stages.engine.units import Piece, WorkUnit, number
from stages.outcomes import SourceReader


class Books(SourceStage[BooksSettings]):
    name = "books"
    summary = "read books: Gutenberg's mirrors, folders and tars of .txt and .epub"
    Settings = BooksSettings
    reasons = REASONS

    def reader(self) -> SourceReader:
        return BooksReader(self.settings, common_folder(self.step.inputs["input"]))

    def units(self) -> list[WorkUnit]:
        """Files that may be encodings of one edition stay in one unit, best encoding first."""
        naming = BooksReader(self.settings, common_folder(self.step.inputs["input"]))
        found = [(names.family(naming.relative(p)), p) for p in files.glob(self._inputs)]
        found.sort(key=lambda item: (item[0][0], item[0][1], item[1].endswith(".zip"), item[1]))
        bundles: list[list[Piece]] = []
        for _, group in groupby(found, key=lambda item: item[0][0]):
            pieces = [Piece(path, 0, None, files.size(path)) for _, path in group]
            size = sum(p.size for p in pieces)
            if len(pieces) == 1 and size > self.layout.split_bytes:
                bundles += [[piece] for piece in self._cut(pieces[0])]
                bundles.append([])  # what follows starts a bundle of its own
            elif bundles and sum(p.size for p in bundles[-1]) + size <= self.layout.bundle_bytes:
                bundles[-1] += pieces
            else:
                bundles.append(pieces)
        return number([b for b in bundles if b])

    @property
    def _inputs(self) -> list[str]:
        return self.step.inputs["input"]

    def _cut(self, piece: Piece) -> list[Piece]:
        """An unpacked tar by its members; other files are whole."""
        with files.open_read(piece.path) as stream:
            if not is_tar(stream.read(512)):
                return [piece]
            stretches = tar_stretches(cast(BinaryIO, stream), self.layout.split_bytes)
        return [
            Piece(piece.path, start, end, (piece.size if end is None else end) - start)
            for start, end in stretches
        ]


def common_folder(patterns: list[str]) -> str:
    """The folder that holds all inputs: a given folder, the fixed part of a pattern, the folder of
    a file. What lies below it names a document, so moving it as a whole changes no id."""
    folders = []
    for pattern in patterns:
        fs, inner = files.filesystem(pattern)
        fixed = inner
        if any(c in inner for c in "*?[") and not fs.exists(inner):
            cut = min(inner.find(c) for c in "*?[" if c in inner)
            fixed = inner[:cut].rpartition("/")[0]
        elif not fs.isdir(inner):
            fixed = inner.rpartition("/")[0]
        folders.append(files.full_path(fs, fixed.rstrip("/"), pattern))
    if len(folders) == 1:
        return folders[0]
    places = [f.partition("://") if "://" in f else ("", "", f) for f in folders]
    if len({protocol for protocol, _, _ in places}) > 1:
        return ""
    shared = posixpath.commonpath([f"/{inner.lstrip('/')}" for _, _, inner in places])
    protocol, mark, inner = places[0]
    return f"{protocol}{mark}{shared if inner.startswith('/') else shared.lstrip('/')}"
