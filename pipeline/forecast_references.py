"""What a shuffle of the whole corpus sends, and what that costs, as `stages.engine.relay` does it.

Each unit has a *pair* for each key (partition, shard) that it has something for. Few pairs go
straight: each is a *reference* through GroupByKey. Many go by a relay: they stand in *sheets*, and
what goes through GroupByKey are references to sheets. Whether, and in how many groups, is asked of
`relay.planned` itself.

Every figure was measured on a local disk, on two cores that others used as well, with `line_dedup`
as `python -m benchmarks.references` makes its documents: 250 to 4,000 units, 8 to 400 partitions,
in part of the same documents (other `partition_memory_mb`), in part with and without a relay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stages.engine import relay

STRAIGHT_CPU_S = 90e-6
"""CPU of a pair that goes straight, there and back, in all processes: 89 and 93 microseconds, 1,000
units, from 20 to 200 partitions of the same documents."""

RELAYED_CPU_S = 60e-6
"""CPU of a pair that goes by a relay, there and back, with `PIECE_CPU_S` apart: 22 microseconds
with 1,000 units and 100 partitions, 48 and 57 with 200, 32 with 2,000 units and 400, and some 8 on
each way for packing sheets."""

PIECE_CPU_S = 5e-3
"""CPU, with a relay, of each unit, partition and gather: a sheet more to write, and a record. What
1,000 units and 40 partitions took more by a relay than 20 partitions straight, pairs apart."""

COPIED_CPU_S = 1e-9
"""CPU of a byte that is copied once: 0.4 nanoseconds in stretches of 500 kB, 1.1 in those of
100 kB (`relay.gather` alone)."""

RUNNER_CPU_S = 6e-6
"""CPU of a reference in the process that runs the step (Beam's local runner) and the one that
launched it: 5.4 microseconds. It cannot be divided among workers."""

GROUPED_BYTES = 112
"""JSON of a reference: `grouped_bytes` by `references`, straight; 110 by relays."""

SHEET_BYTES = 15
"""A pair in one sheet, packed; it stands in two on each way. 14 and 15 bytes with 300 units and 200
partitions."""

RUNNER_BYTES, LAUNCHER_BYTES = 900, 750
"""Memory of a reference in the process that runs the step, and in the one that launched it."""

RUNNER_UNIT_BYTES, LAUNCHER_UNIT_BYTES, LAUNCHER_PIECE_BYTES = 5_000, 7_000, 1_500
"""Memory of a unit in both, 100 against 4,000 units; and of a partition or gather in the latter,
which holds its record (1,350 bytes as Python counts them)."""

RECORDS_AT_ONCE = 1024
"""Records whose references the launching process holds at the same time."""


@dataclass(frozen=True)
class Meeting:
    """Units that have something for the same keys, and so many meetings of this kind (`alike`).

    `kinds`: per kind of hash, the keys and how many entries a unit has for all of them together
    (infinite: it has some for each).
    """

    units: float
    kinds: tuple[tuple[float, float], ...]
    alike: float = 1.0


@dataclass(frozen=True)
class Traffic:
    """Of all meetings of a step, on all ways together but for `pairs`, which are those of one way.

    `references`: what goes through GroupByKey; `keys`: partitions; `gathers`, with a relay;
    `held`: references that the launching process holds at a time. `ways`: 2, there and back, or 1.
    """

    units: float = 1.0
    pairs: float = 0.0
    references: float = 0.0
    keys: float = 0.0
    gathers: float = 0.0
    held: float = 0.0
    relayed: bool = False
    ways: int = 2

    def cpu_s(self, copied: float) -> float:
        """In all processes. `copied`: bytes that a relay copies, on both ways together."""
        if not self.relayed:
            return self.pairs * self.ways / 2 * STRAIGHT_CPU_S
        each = self.pairs * self.ways / 2 * RELAYED_CPU_S
        pieces = self.units + self.keys + self.gathers
        return each + pieces * PIECE_CPU_S + copied * COPIED_CPU_S

    @property
    def serial_s(self) -> float:
        return self.references * RUNNER_CPU_S

    @property
    def sheet_bytes(self) -> float:
        return self.pairs * self.ways * 2 * SHEET_BYTES if self.relayed else 0.0

    @property
    def grouped_bytes(self) -> float:
        return self.references * GROUPED_BYTES

    @property
    def runner_bytes(self) -> float:
        return self.references * RUNNER_BYTES + self.units * RUNNER_UNIT_BYTES

    @property
    def launcher_bytes(self) -> float:
        others = (self.keys + self.gathers) * LAUNCHER_PIECE_BYTES
        return self.held * LAUNCHER_BYTES + self.units * LAUNCHER_UNIT_BYTES + others


def traffic(meetings: Sequence[Meeting], ways: int = 2) -> Traffic:
    """What meetings of the units of one step send."""
    units = sum(m.units * m.alike for m in meetings)
    keys_each = max(sum(keys for keys, _ in m.kinds) for m in meetings)
    keys = sum(m.alike * sum(keys for keys, _ in m.kinds) for m in meetings)
    way = relay.planned(round(units), round(keys_each))
    pairs = sum(m.alike * m.units * sum(met(e, k) for k, e in m.kinds) for m in meetings)
    if way is None:
        return Traffic(units, pairs, ways * pairs, keys, 0.0, ways * pairs, False, ways)
    references = ways * sum(m.alike * _to_sheets(m, way, units) for m in meetings)
    gathers = ways * way.unit_groups * way.key_groups
    most = max(way.unit_groups, way.key_groups, units / way.unit_groups)
    held = min(references, RECORDS_AT_ONCE * most)
    return Traffic(units, pairs, references, keys, gathers, held, True, ways)


def _to_sheets(meeting: Meeting, way: relay.Relay, units: float) -> float:
    """References of one way: of each unit to the ranges of keys for which it has something, and to
    each key from the groups of units that have something for it."""
    ranges = min(float(way.key_groups), sum(keys for keys, _ in meeting.kinds))
    sheets = meeting.units * met(sum(entries for _, entries in meeting.kinds), ranges)
    # Units that meet are neighbours, and may begin and end inside a group.
    groups = min(float(way.unit_groups), (meeting.units - 1) * way.unit_groups / units + 1)
    each = meeting.units / groups
    return sheets + groups * sum(met(entries * each, keys) for keys, entries in meeting.kinds)


def met(entries: float, keys: float) -> float:
    """Keys that get any of so many entries, expected: hashes spread evenly."""
    return -keys * math.expm1(-entries / keys)
