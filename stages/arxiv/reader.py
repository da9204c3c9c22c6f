"""The source reader of arXiv: each submission of a bulk tar becomes one outcome."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import BinaryIO

from stages.arxiv.identifiers import Identifier, identify
from stages.arxiv.output import BombError
from stages.arxiv.paper import read_paper
from stages.arxiv.settings import ArxivSettings
from stages.arxiv.submission import DamagedError, Submission, unpack
from stages.arxiv.tar import Damage, Member, SeekableInput, is_header, walk
from stages.outcomes import Bad, Document, Outcome, Reject, Rejected, Skipped, Tally

SOURCE = "arxiv"

REASONS: dict[str, str] = {
    "empty": "nothing is left of the paper but its front matter or bibliography",
    "no_section": "the paper has no section, and the settings reject such papers",
    "no_tex": "the submission holds no TeX: HTML, a word processor's file, data, plain text",
    "pdf_only": "the submission is a PDF",
    "postscript_only": "the submission is PostScript",
    "too_large": "the submission, or its main file, is larger than the settings allow",
    "too_short": "fewer characters than `min_chars`",
    "withdrawn": "the authors withdrew the paper: an empty submission or arXiv's %auto-ignore",
}
"""Why a submission does not become a document."""

FAULTS: dict[str, str] = {
    "bomb": "the submission unpacks to more than the settings allow",
    "gzip": "the submission does not unpack to its checksum, or ends early",
    "internal": "an error of this program; the submission is kept out and counted",
    "link": "a link in the submission leads out of it",
    "macro_bomb": "macros or files that read each other grow without end",
    "members": "more files in the submission than the settings allow",
    "nested": "an archive in the submission, and no TeX beside it",
    "special": "a device, pipe or sparse file in the submission",
    "tar": "the tar, or that of a submission, is damaged",
    "traversal": "a file's name in the submission leads out of it",
    "truncated": "the tar, or that of a submission, ends early",
}
"""The words with which the error of a bad record begins."""

_SUBMISSION = re.compile(r"\.(gz|tgz|pdf|tex|ltx|ps|html)$", re.I)
_KINDS = {
    "pdf": "pdf_only",
    "postscript": "postscript_only",
    "empty": "withdrawn",
    "html": "no_tex",
    "binary": "no_tex",
    "packed": "no_tex",
}


class ArxivReader:
    """Reads bulk tars (`arXiv_src_YYMM_NNN.tar`), and single submissions (`.gz`, `.tex`, `.pdf`).

    `stream` must be seekable. `start` and `end` are offsets of members' headers in a tar, as
    `stages.arxiv.tar.split` gives them. Files of other kinds (lists beside the tars) are skipped.
    """

    def __init__(self, settings: ArxivSettings | None = None) -> None:
        self.settings = settings or ArxivSettings()

    def __call__(
        self, stream: BinaryIO, path: str, tally: Tally, start: int = 0, end: int | None = None
    ) -> Iterator[Outcome]:
        head = stream.read(512)
        if is_header(head) or path.lower().endswith(".tar"):
            yield from self._tar(SeekableInput(stream, start), path, tally, start, end)
        elif start == 0:
            tally.record()
            if not _SUBMISSION.search(path):
                yield Skipped("other file")
                return
            size = stream.seek(0, 2)
            stream.seek(0)
            member = Member(0, posixpath.basename(path), size, "file")
            if size > self.settings.max_member_bytes:
                yield self._too_large(member, path)
            else:
                yield self._outcome(member, stream.read(), path)

    def _tar(
        self, source: SeekableInput, path: str, tally: Tally, start: int, end: int | None
    ) -> Iterator[Outcome]:
        for member, data in walk(source, start, end, go_on=True):
            if isinstance(member, Damage):
                tally.record()
                yield Bad(path, member.offset, member.error)
                continue
            if member.kind == "file" and member.size <= self.settings.max_member_bytes:
                content = data.read()
                if data.short:
                    continue  # what follows is the damage, with its own record
                tally.record()
                yield self._outcome(member, content, path)
                continue
            data.pass_over()
            if data.short:
                continue
            tally.record()
            yield (self._too_large(member, path) if member.kind == "file" else Skipped(member.kind))

    def _too_large(self, member: Member, path: str) -> Rejected:
        return _rejected(identify(member.name), member, path, "too_large", f"{member.size} bytes")

    def _outcome(self, member: Member, data: bytes, path: str) -> Outcome:
        try:
            return self._document(member, data, path)
        except (DamagedError, BombError) as error:
            return Bad(path, member.offset, str(error)[:300])
        except MemoryError:
            raise  # What fits in memory is a fact about the machine, not about the paper.
        except Exception as error:  # noqa: BLE001 - one paper must not end the file; it is counted
            return Bad(path, member.offset, f"internal: {type(error).__name__}: {error}"[:300])

    def _document(self, member: Member, data: bytes, path: str) -> Document | Rejected:
        who = identify(member.name)
        submission = unpack(data, self.settings)
        if submission.kind != "files":
            return _rejected(who, member, path, _KINDS[submission.kind], submission.kind)
        paper = read_paper(submission.files, self.settings, who.stem)
        if isinstance(paper, Reject):
            reason, detail = _why(paper, submission)
            return _rejected(who, member, path, reason, detail)
        meta = {"member": member.name.encode("utf-8", "replace").decode(), **paper.meta}
        if who.version:
            meta["version"] = who.version
        return Document(
            id=who.id,
            text=paper.text,
            source=SOURCE,
            origin=f"{path}#{member.offset}",
            url=who.url,
            title=paper.title,
            created=who.created,
            meta=meta,
        )


def _why(verdict: Reject, submission: Submission) -> tuple[str, str]:
    """The reason, told more exactly by what the submission holds in place of TeX."""
    if verdict.reason != "no_tex":
        return verdict.reason, verdict.detail
    if submission.too_large:
        return "too_large", submission.too_large[0]
    if not submission.names:
        return "withdrawn", "an empty archive"
    names = [name.lower() for name in submission.names]
    if submission.packed:
        raise DamagedError(f"nested: no TeX but {submission.names[0][:100]!r}")
    if any(name.endswith(".pdf") for name in names):
        return "pdf_only", submission.names[0]
    if any(name.endswith((".ps", ".eps")) for name in names):
        return "postscript_only", submission.names[0]
    return verdict.reason, verdict.detail


def _rejected(who: Identifier, member: Member, path: str, reason: str, detail: str) -> Rejected:
    return Rejected(who.id, f"{path}#{member.offset}", reason, detail[:200], who.url)
