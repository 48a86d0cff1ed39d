"""The map as plain text: for each file a table, or records where the terminal is narrow."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any, Final

from flake8_task_refs.map import wording
from flake8_task_refs.map.inventory import state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flake8_task_refs.analysis.task import Task
    from flake8_task_refs.map.inventory import MappedFile, TaskMap

_HEADINGS: Final = ("at", "task", "started in", "held by", "ended by", "errors heard by", "state")
_GAP: Final = "  "
# The columns that are never wrapped, and how narrow the others may become.
_FIXED: Final = (0, 6)
_LEAST: Final = 16


class _Wrapper(textwrap.TextWrapper):
    """Breaks lines between words, and within dotted names after a dot."""

    wordsep_simple_re = re.compile(r"(\s+|(?<=\.)(?=\w))")

    def __init__(self, width: int, **more: Any) -> None:
        super().__init__(width, break_on_hyphens=False, **more)


def render(tasks: TaskMap, width: int | None = None) -> str:
    """Return ``tasks`` as text, its lines at most ``width`` columns wide where words allow it.

    Without a ``width`` (into a pipe, say) each task is one line. Control characters come out as
    escapes.
    """
    parts = [
        "\n".join([wording.printable(file.name), *_lines(file, width)])
        for file in tasks.files
        if file.tasks or file.other_findings
    ]
    return "\n\n".join(parts) + "\n" if parts else ""


def _lines(file: MappedFile, width: int | None) -> Iterator[str]:
    rows = [_row(task) for task in file.tasks]
    if rows:
        widths = _widths([_HEADINGS, *rows], width)
        yield from _table([_HEADINGS, *rows], widths) if widths else _records(rows, width or 0)
    for finding in file.other_findings:
        yield f"{finding.line}:{finding.column}{_GAP}{finding.code} {finding.message}"


def _row(task: Task) -> tuple[str, ...]:
    named = task.name and task.name != wording.title(task).removesuffix("()")
    name = f" {task.name!r}" if named else ""
    cells = (
        f"{task.line}:{task.column}",
        f"{wording.title(task)}{name}",
        wording.where(task.function),
        "; ".join(wording.holders(task)),
        "; ".join(wording.ends(task)),
        "; ".join(wording.listeners(task)),
        " ".join(dict.fromkeys(finding.code for finding in task.findings)) or state(task),
    )
    return tuple(map(wording.printable, cells))


def _widths(rows: list[tuple[str, ...]], width: int | None) -> list[int] | None:
    """Return the columns' widths; None if they would be too narrow to read.

    What does not fit is taken from the widest columns, all of which become equally wide.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is None:
        return widths
    room = width - len(_GAP) * (len(widths) - 1)
    most = max(widths)
    while sum(widths) > room:
        most -= 1
        if most < _LEAST:
            return None
        widths = [w if at in _FIXED else min(w, most) for at, w in enumerate(widths)]
    return widths


def _table(rows: Iterable[tuple[str, ...]], widths: list[int]) -> Iterator[str]:
    for row in rows:
        cells = [
            _Wrapper(width).wrap(cell) or [""] for cell, width in zip(row, widths, strict=True)
        ]
        for at in range(max(map(len, cells))):
            parts = [
                (cell[at] if at < len(cell) else "").ljust(width)
                for cell, width in zip(cells, widths, strict=True)
            ]
            yield _GAP.join(parts).rstrip()


def _records(rows: Iterable[tuple[str, ...]], width: int) -> Iterator[str]:
    label = max(map(len, _HEADINGS[2:]))
    for at, task, *cells in rows:
        yield from _hanging(f"{at}{_GAP}", task, width)
        for heading, cell in zip(_HEADINGS[2:], cells, strict=True):
            if cell:
                yield from _hanging(f"{_GAP * 2}{heading.ljust(label)}{_GAP}", cell, width)


def _hanging(start: str, text: str, width: int) -> list[str]:
    width = max(width, len(start) + _LEAST)
    return _Wrapper(width, initial_indent=start, subsequent_indent=" " * len(start)).wrap(text)
