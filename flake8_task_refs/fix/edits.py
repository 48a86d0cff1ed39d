"""Text splices: what is inserted or replaced where, applied to the original text in one pass."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LINE_END = re.compile(r"\r\n|\r|\n")


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


def in_line_ends_of(text: str, edits: Sequence[Edit]) -> list[Edit]:
    r"""Return ``edits``, made for ``text`` with ``\n`` for every line end, as edits of ``text``.

    What they insert gets the line ends that the text has before each of them.
    """
    if "\r" not in text:
        return list(edits)
    ends = list(_LINE_END.finditer(text))
    # How far along an end of two characters lies in the text where it is one.
    pairs = [end.start() for end in ends if len(end.group()) == 2]
    shorter = [at - number for number, at in enumerate(pairs)]
    found = []
    for edit in edits:
        start, end = (at + bisect_left(shorter, at) for at in (edit.start, edit.end))
        before = bisect_left(ends, start, key=lambda item: item.end() - 1)
        newline = ends[max(0, before - 1)].group()
        text_here = edit.text.replace("\n", newline)
        found.append(replace(edit, start=start, end=end, text=text_here))
    return found


def moved(offset: int, edits: Sequence[Edit]) -> int:
    """Return where the character at ``offset``, which no edit replaces, stands after ``edits``."""
    return offset + sum(
        len(edit.text) - (edit.end - edit.start)
        for edit in edits
        if edit.end <= offset and (edit.start < offset or edit.end == edit.start)
    )
