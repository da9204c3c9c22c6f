"""Cutting matched places out of a text, as GPT-3 does (Brown et al. 2020, appendix C)."""

from __future__ import annotations

from collections.abc import Iterable

from stages.outcomes import Reject

Span = tuple[int, int]

_SNAP = 50
"""A cut inside a word is moved outwards to a blank, by so many characters at most."""


def cut(
    text: str, spans: Iterable[Span], window: int, min_piece: int, max_pieces: int
) -> list[Span] | Reject:
    """The pieces of `text` that stay when each span goes with `window` characters either side.

    Pieces of less than `min_piece` characters (without the blanks around them) go too. A text that
    the cuts part into more than `max_pieces`, or of which nothing is left, is rejected.
    """
    removed = _merged(
        (_outwards(text, start - window, -1), _outwards(text, end + window, 1))
        for start, end in spans
    )
    edges = [0, *(edge for span in removed for edge in span), len(text)]
    pieces = [
        stripped
        for start, end in zip(edges[::2], edges[1::2], strict=True)
        if (stripped := _stripped(text, start, end)) is not None
    ]
    if len(pieces) > max_pieces:
        return Reject("contaminated_pieces", f"{len(pieces)} pieces, {max_pieces} are allowed")
    kept = [piece for piece in pieces if piece[1] - piece[0] >= min_piece]
    if not kept:
        return Reject("contaminated_remnant", f"no piece of {min_piece} characters is left")
    return kept


def _outwards(text: str, place: int, step: int) -> int:
    """`place`, or the next blank from it in the direction of `step`; a place between two characters
    of which one is a blank is no place inside a word."""
    place = min(max(place, 0), len(text))
    for moved in range(_SNAP + 1):
        at = place + step * moved
        if at <= 0 or at >= len(text) or text[at - 1].isspace() or text[at].isspace():
            return min(max(at, 0), len(text))
    return place


def _merged(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _stripped(text: str, start: int, end: int) -> Span | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None
