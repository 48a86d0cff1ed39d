"""Text splices: what is inserted or replaced where, applied to the original text in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class OverlapError(ValueError):
    """Two edits want to change the same characters."""


class Place(IntEnum):
    """Which of several insertions at one offset comes first."""

    AFTER_STATEMENT = 0
    END_OF_BLOCK = 1
    HEADER = 2
    FUNCTION = 3
    BEFORE_STATEMENT = 4
    INDENT = 5
    INLINE = 6


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters from offset ``start`` up to ``end`` by ``text``.

    ``start == end`` inserts; ``place`` orders the insertions at one offset.
    """

    start: int
    end: int
    text: str
    place: Place = Place.INLINE


def in_order(edits: Iterable[Edit]) -> list[Edit]:
    """Sort ``edits`` as they are applied. Raises ``OverlapError`` if two of them collide."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end > edit.start, edit.place))
    for one, other in pairwise(ordered):
        if other.start < one.end:
            raise OverlapError(f"edits overlap at character {other.start}")
    return ordered


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Return ``text`` with ``edits`` (from ``in_order``) made."""
    pieces = []
    done = 0
    for edit in edits:
        pieces += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join([*pieces, text[done:]])


def moved(offset: int, edits: Sequence[Edit]) -> int:
    """Return where the character at ``offset``, which no edit replaces, stands after ``edits``."""
    return offset + sum(
        len(edit.text) - (edit.end - edit.start)
        for edit in edits
        if edit.end <= offset and (edit.start < offset or edit.end == edit.start)
    )
