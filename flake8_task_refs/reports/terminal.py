"""Standard output and standard error, as people see them: colours, and how far a long run is.

Where a stream is no terminal, nothing is added to what is written to it.
"""

from __future__ import annotations

import io
import os
import sys
import time
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

from flake8_task_refs.files import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Result = TypeVar("_Result")

_STYLES: Final = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
# A line of a unified diff by its first character, as git colours it.
_DIFF_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}
# Seconds: shorter runs need no progress line, and nobody reads one that changes faster.
_PATIENCE: Final = 1.0
_REFRESH: Final = 0.1
_CLEAR_LINE: Final = "\r\x1b[K"


class Paint:
    """Colours text for a terminal, or leaves it as it is."""

    def __init__(self, *, on: bool) -> None:
        """``on`` tells whether to colour at all."""
        self.on = on

    def __call__(self, text: str, *styles: str) -> str:
        """Return ``text`` in ``styles``."""
        if not self.on:
            return text
        return f"\x1b[{';'.join(str(_STYLES[style]) for style in styles)}m{text}\x1b[0m"


class Terminal:
    """Where a run writes: findings and repairs to ``out``, what happened to ``tell``."""

    def __init__(self, color: str = "auto") -> None:
        """``color`` is ``auto``, ``always`` or ``never``, as flake8's option of this name."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A file's name need not be text that the terminal can show. Lines are written
                # whole, so that several runs can share one pipe.
                stream.reconfigure(errors="backslashreplace", line_buffering=True)
        self.paint = Paint(on=_colored(sys.stdout, color))
        self.paint_told = Paint(on=_colored(sys.stderr, color))
        self._watched = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def out(self, text: str) -> None:
        """Write ``text`` to standard output."""
        self._clear()
        sys.stdout.write(text)

    def out_diff(self, diff: bytes) -> None:
        """Write a unified diff to standard output; uncoloured, byte for byte."""
        self._clear()
        sys.stdout.flush()
        if self.paint.on:
            diff = b"".join(map(self._painted, diff.splitlines(keepends=True)))
        sys.stdout.buffer.write(diff)
        sys.stdout.buffer.flush()

    def _painted(self, line: bytes) -> bytes:
        style = "bold" if line.startswith((b"+++", b"---")) else _DIFF_STYLES.get(chr(line[0]))
        if style is None:
            return line
        before, after = self.paint("|", style).encode().split(b"|")
        body = line.rstrip(b"\r\n")
        return before + body + after + line[len(body) :]

    def tell(self, line: str, *styles: str) -> None:
        """Write a line to standard error. What would break it, in a file's name, is escaped."""
        line = shown(line)
        self._clear()
        sys.stderr.write(f"{self.paint_told(line, *styles) if styles else line}\n")

    def watch(self, results: Iterable[_Result], total: int) -> Iterator[_Result]:
        """Yield ``results`` and show on a terminal how many of ``total`` there were."""
        if not self._watched:
            yield from results
            return
        shown_at = time.monotonic() + _PATIENCE - _REFRESH
        try:
            for number, result in enumerate(results, 1):
                yield result
                if time.monotonic() - shown_at >= _REFRESH:
                    shown_at = time.monotonic()
                    sys.stderr.write(f"{_CLEAR_LINE}{number} of {total} files")
                    sys.stderr.flush()
                    self._shown = True
        finally:
            self._clear()

    def _clear(self) -> None:
        if self._shown:
            self._shown = False
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()


def _colored(stream: TextIO, color: str) -> bool:
    """Tell whether to colour what goes to ``stream`` (https://no-color.org)."""
    if color != "auto":
        return color == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
