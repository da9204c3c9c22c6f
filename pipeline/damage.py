"""Where a damaged file is damaged, from the hashes of its blocks that its manifest holds.

Which MiB differs is told by the blocks' hashes. Which byte, if only one does, by their CRC-32: it
is linear, so the difference of two CRCs is that of the byte alone, moved on by the bytes after it.
Moving it back step by step gives the place; the block's hash with the byte put right proves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import xxhash

from stages.engine import files
from stages.engine.digests import BLOCK

_HEX, _CRC_HEX = 16, 8
_POLYNOMIAL = 0xEDB88320  # of zlib's CRC-32, bits reflected


@dataclass(frozen=True)
class Damage:
    """`offset`: the first changed byte if `was` (its value before) is known, else the beginning of
    its MiB. `blocks`: how many MiB differ."""

    offset: int
    blocks: int
    found: int | None = None
    was: int | None = None

    @property
    def exact(self) -> bool:
        return self.was is not None


def locate(path: str, found: Mapping[str, Any], written: Mapping[str, Any]) -> Damage | None:
    """The damage of a file whose manifest has the entry `written` and that would now have `found`.

    None where the entries do not tell. Raises OSError.
    """
    if not found.get("blocks") and not written.get("blocks"):
        return None
    now, before = found.get("blocks", ""), written.get("blocks")
    if before is None:
        return None
    changed = [
        at // _HEX
        for at in range(0, max(len(now), len(before)), _HEX)
        if now[at : at + _HEX] != before[at : at + _HEX]
    ]
    if not changed:
        return None
    first, crcs = changed[0], written.get("crcs", "")
    damage = Damage(first * BLOCK, len(changed))
    crc = crcs[first * _CRC_HEX : (first + 1) * _CRC_HEX]
    if found["bytes"] != written["bytes"] or not crc:
        return damage
    with files.open_read(path) as stream:
        stream.seek(first * BLOCK)
        block = stream.read(min(BLOCK, written["bytes"] - first * BLOCK))
    at = changed_byte(block, int(crc, 16), before[first * _HEX : (first + 1) * _HEX])
    if at is None:
        return damage
    return Damage(first * BLOCK + at[0], len(changed), block[at[0]], at[1])


def changed_byte(block: bytes, crc: int, digest: str) -> tuple[int, int] | None:
    """Place and old value of the one byte of `block` that was changed since it had this CRC-32 and
    this xxh3_64 (hexadecimal); None if it was more than one."""
    from zlib import crc32

    for place, difference in _candidates(crc32(block) ^ crc, len(block)):
        old = block[place] ^ difference
        mended = xxhash.xxh3_64(block[:place])
        mended.update(bytes([old]))
        mended.update(block[place + 1 :])
        if mended.hexdigest() == digest:
            return place, old
    return None


def _candidates(syndrome: int, size: int) -> Iterator[tuple[int, int]]:
    """Places, and differences of the byte there, that would change the CRC so."""
    table, by_top = _tables()
    for place in range(size - 1, -1, -1):
        number = by_top[syndrome >> 24]
        if table[number] == syndrome and number:
            yield place, number
        # Undoes what one byte 0 does to the register.
        syndrome = ((syndrome ^ table[number]) << 8 | number) & 0xFFFFFFFF


@cache
def _tables() -> tuple[list[int], list[int]]:
    """The CRC's table, and which of its entries has a given highest byte (each has another)."""
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)
        table.append(number)
    by_top = [0] * 256
    for number, value in enumerate(table):
        by_top[value >> 24] = number
    return table, by_top
