"""Text splices: what is inserted or replaced where, applied to the original text in one pass."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TOKEN = re.compile(r"\w+|[^\w\s]")
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


class Moves:
    """Tells where what stood in ``text`` stands after ``edits`` (from ``in_order``)."""

    def __init__(self, text: str, edits: Sequence[Edit]) -> None:
        """Keep both; what an edit replaces is looked at when it is asked for."""
        self._text = text
        self._edits = edits
        self._starts = [edit.start for edit in edits]
        growth = (len(edit.text) - (edit.end - edit.start) for edit in edits)
        self._shifts = list(accumulate(growth, initial=0))  # of what stands after so many edits
        self._aligned: dict[Edit, dict[int, int]] = {}

    def __call__(self, offset: int) -> int:
        """Return where the word or sign that begins at ``offset`` begins now."""
        before = bisect_right(self._starts, offset)
        edit = self._edits[before - 1] if before else None
        if edit is None or edit.end <= offset:
            return offset + self._shifts[before]
        aligned = self._aligned.get(edit)
        if aligned is None:
            old = self._text[edit.start : edit.end]
            aligned = self._aligned[edit] = _aligned(old, edit.text)
        start = edit.start + self._shifts[before - 1]
        return start + aligned.get(offset - edit.start, 0)


def _aligned(old: str, new: str) -> dict[int, int]:
    """Return where the words and signs of ``old`` begin in ``new``, which has most of them.

    They are matched from the end: what is put around a call begins with what may look like it.
    """
    found: dict[int, int] = {}
    rest = list(_TOKEN.finditer(new))
    at = len(rest)
    for token in reversed(list(_TOKEN.finditer(old))):
        nearest = next((k for k in range(at - 1, -1, -1) if rest[k][0] == token[0]), None)
        if nearest is not None:
            at = nearest
            found[token.start()] = rest[at].start()
    return found
