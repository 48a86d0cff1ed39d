"""What the analysis says: one ``Finding`` for each fault, ``SourceError`` for unreadable source."""

from __future__ import annotations

from typing import Final, NamedTuple

TOO_COMPLEX: Final = "nested too deeply, or too long, to be read in bounded time and memory"


class SourceError(ValueError):
    """The source text is not valid Python. ``line`` and ``column`` are 1-based, 0 if unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        """Keep where the parser stopped beside what it said."""
        super().__init__(message)
        self.line = line
        self.column = column


class Finding(NamedTuple):
    """One fault, at the call that creates the task (or registers the callback).

    ``line`` is 1-based; ``column`` is 1-based and counts characters, as flake8 prints it.
    ``message`` is the text without the code. ``coroutine`` is the spawned coroutine as the
    message names it (``"receive_messages()"``), or ``""`` where the source does not tell.
    """

    line: int
    column: int
    code: str
    message: str
    coroutine: str = ""
