"""Decompressed data as one stretch that can be looked ahead in, gone back in, and searched."""

from __future__ import annotations

import re
from typing import Protocol

from stages.commoncrawl.members import CHUNK, DamageError, Member, RawFile, member_at
from stages.commoncrawl.starts import MAX_LINE, MAX_START, Starts, begins_record

MAX_HEADER = 1 << 16
_BLANKS = re.compile(rb"[\r\n]*")
_BLANK_LINE = re.compile(rb"\n\r?\n")


class Source(Protocol):
    """Decompressed bytes by place; the places of an uncompressed file are its offsets.

    `checked` says that a sound end is known to be the end of what was written.
    """

    checked: bool

    def pull(self) -> bytes:
        """The next bytes, at most a few `CHUNK`; empty at the sound end. Raises: DamageError."""

    def seek(self, place: int) -> int:
        """Goes on from `place`; returns the place reached, less where the end comes before it.

        Raises: DamageError.
        """

    def progress(self) -> None:
        """A record ended: bounds on the search for the end of a record start anew."""


class Plain:
    """An uncompressed file from `place` on."""

    checked = False

    def __init__(self, raw: RawFile, place: int) -> None:
        self._raw = raw
        self._place = place

    def pull(self) -> bytes:
        out = bytes(self._raw.view(self._place, CHUNK))
        self._place += len(out)
        return out

    def seek(self, place: int) -> int:
        self._place = min(place, self._raw.size)
        return self._place

    def progress(self) -> None:
        pass


class Run:
    """Decompressed data from a member that begins a record up to the next member that does.

    Usually one member and one record. It is more where records and members do not coincide: one
    member with many records, or records that go on in the next member.

    After the sound end, `after` is the offset of the byte after it and `next` the member that
    begins there, if one does. `member` is the one read last.
    """

    checked = True
    # Each way back decompresses the run again.
    MAX_RESTARTS = 8

    def __init__(self, raw: RawFile, member: Member, max_skip_bytes: int) -> None:
        self.raw = raw
        self.at = member.at
        self.member = member
        self.after = -1
        self.next: Member | None = None
        self._limit = max_skip_bytes
        self._since = 0
        self._place = 0
        self._left = b""
        self._restarts = 0

    def pull(self) -> bytes:
        out, self._left = self._left or self._read(), b""
        self._place += len(out)
        return out

    def _read(self) -> bytes:
        while self.after < 0:
            if chunk := self.member.read():
                self._since += len(chunk)
                if self._since > self._limit:
                    raise DamageError(f"bomb: no record ends within {self._limit} bytes")
                return chunk
            after = self.member.end
            following = member_at(self.raw, after, type(self.member))
            if following is None or following.unreadable or begins_record(following.head()):
                self.after, self.next = after, following
            else:
                self.member = following
        return b""

    def seek(self, place: int) -> int:
        if place < self._place:
            self._restarts += 1
            if self._restarts > self.MAX_RESTARTS:
                raise DamageError("bomb: too many records longer than their data")
            self.member = type(self.member)(self.raw, self.at)
            self.after, self.next, self._left = -1, None, b""
            self._place = self._since = 0
        while self._place < place and (chunk := self.pull()):
            over = self._place - place
            if over > 0:
                self._left = chunk[-over:]
                self._place = place
        return self._place

    def progress(self) -> None:
        self._since = 0


class Window:
    """A stretch of decompressed data that can be looked ahead in, and gone back in."""

    def __init__(self, source: Source, place: int) -> None:
        self.source = source
        self._base = place
        self._data = b""
        self._pos = 0
        self._mark = 0

    def tell(self) -> int:
        return self._base + self._pos

    def seek(self, place: int) -> int:
        """Goes to `place`; returns the place reached, less where the data end before it."""
        if 0 <= place - self._base <= len(self._data):
            self._pos = place - self._base
        else:
            self._data, self._pos, self._mark = b"", 0, 0
            self._base = self.source.seek(place)
        return self.tell()

    def mark(self) -> None:
        """What lies behind this place need not be kept."""
        self._mark = self._pos

    def _fill(self, n: int) -> int:
        """Has at least `n` bytes at hand if there are so many; returns how many there are.

        Raises: DamageError.
        """
        have = len(self._data) - self._pos
        if have < n:
            parts = [self._data[self._mark :]]
            self._base += self._mark
            self._pos -= self._mark
            self._mark = 0
            while have < n and (part := self.source.pull()):
                parts.append(part)
                have += len(part)
            self._data = b"".join(parts)
        return have

    def ended(self) -> bool:
        return self._pos >= len(self._data) and not self._fill(1)

    def skip_blank(self) -> bytes:
        """Skips line ends; returns the first few of them."""
        first = b""
        while not self.ended():
            match = _BLANKS.match(self._data, self._pos)
            assert match is not None
            first = first or match[0][:4]
            self._pos = match.end()
            if self._pos < len(self._data):
                break
        return first

    def startswith(self, prefix: bytes) -> bool:
        return self._data.startswith(prefix, self._pos)

    def begins(self, starts: Starts) -> bool:
        """Whether a record begins here."""
        if starts.here.match(self._data, self._pos):
            return True
        if len(self._data) - self._pos >= MAX_START:
            return False
        self._fill(MAX_START)
        return starts.here.match(self._data, self._pos) is not None

    def find(self, starts: Starts, limit: int | None = None) -> int | None:
        """The first place from here on, before `limit`, where a record begins; moves on to search.

        Raises: DamageError.
        """
        scan = self._pos
        while True:
            match = starts.next.search(self._data, scan)
            if match is not None:
                place = self._base + match.start()
                return place if limit is None or place < limit else None
            if limit is not None and self._base + scan >= limit:
                return None
            # A start that ran out of data is within the last bytes; the one before says whether
            # it begins a line.
            scan = max(scan, len(self._data) - MAX_START)
            self._pos = self._mark = max(0, scan - 1)
            scan -= self._mark
            have = len(self._data) - self._pos
            if self._fill(have + 1) == have:
                return None

    def take(self, n: int) -> bytes:
        """The next `n` bytes, fewer where the data end. Raises: DamageError."""
        self._fill(n)
        out = self._data[self._pos : self._pos + n]
        self._pos += len(out)
        return out

    def header_block(self) -> bytes | None:
        """The bytes to the end of the next blank line; None if there is none in bounds."""
        while True:
            match = _BLANK_LINE.search(self._data, self._pos, self._pos + MAX_HEADER)
            if match is not None:
                return self.take(match.end() - self._pos)
            have = len(self._data) - self._pos
            if have >= MAX_HEADER or self._fill(max(2 * have, MAX_LINE)) == have:
                return None

    def skip_line(self) -> bytes:
        """The bytes to the end of the line, at most `MAX_HEADER`. Raises: DamageError."""
        end = self._data.find(b"\n", self._pos)
        if end < 0:
            self._fill(MAX_START)
            end = self._data.find(b"\n", self._pos)
        n = end + 1 - self._pos if end >= 0 else len(self._data) - self._pos
        return self.take(min(n, MAX_HEADER))
