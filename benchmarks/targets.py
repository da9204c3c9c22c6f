"""What was aimed at beside what was measured, on one sheet."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.ccnet_path import CcnetPath
from benchmarks.growth import ROLES, Growth
from benchmarks.hotspots import Hotspot
from benchmarks.kernels import Kernel
from benchmarks.sheet import Sheet
from benchmarks.sheets import ratios
from benchmarks.stages import Measured, PathRun

CPU_RATIO = 1.25
_FLAT = 1.25
_WORKERS = 1.8
_START_S = 1.5


@dataclass(frozen=True)
class Target:
    what: str
    aim: str
    found: str
    met: bool

    def row(self) -> tuple[str, ...]:
        return (self.what, self.aim, self.found, "yes" if self.met else "no")


def sheet(targets: Sequence[Target]) -> Sheet:
    return Sheet(
        "Targets",
        ("what", "aim", "measured", "met"),
        tuple(t.row() for t in targets),
        (
            "Each from the tables below, which say how it was measured. Medians; where the aim is"
            " for every step, the worst is named.",
        ),
    )


def at_least(what: str, found: float, aim: float, more: str = "", also: bool = True) -> Target:
    """A ratio that should be `aim` or more; `also`: whatever else must hold."""
    return Target(what, f"≥ {aim:g}x", f"{found:.2f}x{more}", found >= aim and also)


def ccnet(found: CcnetPath) -> list[Target]:
    ratio = statistics.median(found.ratios)
    others = sum(found.differ.values())
    return [
        at_least(
            "CCNet's path against the plain loop",
            ratio,
            2.5,
            f", {others:,} of {found.decided:,} documents decided otherwise",
            others <= found.decided / 1000,
        )
    ]


def floors(measured: Sequence[Measured]) -> list[Target]:
    found = ratios(measured)
    over = sorted(((r, name) for name, r in found.items() if r > CPU_RATIO), reverse=True)
    told = ", ".join(f"{name} {ratio:.2f}" for ratio, name in over)
    return [
        Target(
            "whole stage against its floor, fixed parts aside",
            f"≤ {CPU_RATIO:g}x CPU",
            f"{len(found) - len(over)} of {len(found)}" + (f"; over it: {told}" if over else ""),
            not over,
        )
    ]


def kernels(found: Sequence[Kernel]) -> list[Target]:
    targets = []
    for kernel, aim, what in (
        ("line hashes", 5.0, "line normalisation and hashing"),
        ("languages", 2.0, "language identification"),
    ):
        for one in found:
            if one.name == kernel:
                way = list(one.seconds)[-1]
                differ = one.differ[way]
                told = f", {differ:,} of {one.answers:,} answers differ"
                same = differ <= (0 if kernel == "line hashes" else one.answers / 1000)
                targets.append(at_least(what, one.ratio(way), aim, told, same))
    return targets


def hotspots(found: Sequence[Hotspot]) -> list[Target]:
    """Of each kernel the hotspot that gained most, whose answers must be the same."""
    best: dict[str, Hotspot] = {}
    for spot in found:
        whole = spot.function.startswith("all")
        if not whole and (spot.kernel not in best or spot.ratio > best[spot.kernel].ratio):
            best[spot.kernel] = spot
    return [
        at_least(
            f"{kernel}: top hotspot",
            spot.ratio,
            2.0,
            f" ({spot.function}), {spot.differ:,} of {spot.answers:,} answers differ",
            not spot.differ,
        )
        for kernel, spot in best.items()
    ]


def tokens(measured: Sequence[Measured]) -> list[Target]:
    """The stage, shards and all, against SentencePiece's encoder and `tofile`."""
    for m in measured:
        for name, runs in m.floors.items():
            if name == "tokens (SentencePiece)":
                pairs = zip(m.stage, runs, strict=True)
                ratio = statistics.median(f.cost.cpu_s / s.cost.cpu_s for s, f in pairs)
                return [at_least("tokenise and write shards against SentencePiece", ratio, 4.0)]
    return []


def gain(runs: Mapping[int, Sequence[PathRun]]) -> float:
    """Times faster with the most workers than with the fewest."""
    pairs = zip(runs[min(runs)], runs[max(runs)], strict=True)
    return statistics.median(a.documents_wall_s / b.documents_wall_s for a, b in pairs)


def workers(
    runs: Mapping[int, Mapping[int, Sequence[PathRun]]],
    start: Mapping[int, Mapping[str, float]],
    bounds: Mapping[int, Sequence[float]],
) -> list[Target]:
    """`runs`: by how many times the data, then by workers. Steps of few seconds are mostly their
    beginnings and ends, so what counts is the most data."""
    largest = max(runs)
    one, many = min(runs[largest]), max(runs[largest])
    fewer = "".join(f", {gain(runs[n]):.2f}x on {n} times" for n in sorted(runs) if n != largest)
    slowest = max(s["first_s"] for s in start.values())
    return [
        at_least(
            f"{many} workers against {one}",
            gain(runs[largest]),
            _WORKERS,
            f" on {largest} times the data{fewer}; {many} processes of a plain loop:"
            f" {statistics.median(bounds[largest]):.2f}x",
        ),
        Target("start-up", f"< {_START_S:g} s", f"{slowest:.1f} s", slowest < _START_S),
    ]


def memory(found: Growth) -> list[Target]:
    """Of each kind of process the step in which it grows most."""
    worst = {}
    for role in ROLES:
        grown = []
        for step in found.steps():
            if peaks := list(found.peaks(step, role).values()):
                grown.append((peaks[-1] / peaks[0], step))
        worst[role] = max(grown, default=(0.0, "not known"))
    times = max(found.runs) // min(found.runs)
    told = ", ".join(f"{role} {ratio:.2f}x ({step})" for role, (ratio, step) in worst.items())
    return [
        Target(
            f"peak memory with {times} times the data",
            "flat",
            f"at most: {told}",
            max(worst.values())[0] <= _FLAT,
        )
    ]
