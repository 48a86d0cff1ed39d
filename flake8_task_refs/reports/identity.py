"""What a finding is called when the lines around it move.

A finding keeps its identity while its file, the functions around it, the call itself (white space
aside) and the coroutine keep theirs. Line numbers are no part of it.
"""

from __future__ import annotations

import ast
import io
import os
import re
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from flake8_task_refs.files import FileError, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.scanning import Scanned

_SPACE = re.compile(r"\s+")
_LAST_COMMA = re.compile(r",(?=[)\]}])")
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Place: TypeAlias = tuple[str, str, int]


class Identity(NamedTuple):
    """One finding without its line number.

    ``path`` has forward slashes and is relative to a directory of the caller's choice. ``scope``
    is the dotted name of the functions and classes around the finding, ``""`` at module level.
    ``text`` is the call without white space. ``nth`` counts, from 1, findings alike in all else.
    """

    path: str
    code: str
    coroutine: str
    scope: str
    text: str
    nth: int = 1

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that stand for this identity in other tools' files."""
        import hashlib  # noqa: PLC0415 (few formats need it, and it takes a while)

        spelled = "\0".join(map(str, self))
        return hashlib.sha256(spelled.encode("utf-8", "backslashreplace")).hexdigest()[:32]


class Sources:
    """The text behind a finding, read when it is asked for: few files have findings."""

    def __init__(self, directory: str = ".", texts: dict[str, str] | None = None) -> None:
        """``directory`` is what paths are relative to; ``texts`` are files that cannot be read."""
        self._directory = directory
        self._texts = texts or {}
        self._places: dict[str, dict[Finding, _Place]] = {}

    def relative_to(self, directory: str) -> Sources:
        """Return the same sources with paths relative to ``directory``."""
        other = Sources(directory, self._texts)
        other._places = self._places
        return other

    def path(self, name: str) -> str:
        """Return ``name`` with forward slashes, relative to the directory."""
        if name in self._texts:
            return PurePath(name).as_posix()
        try:
            return PurePath(os.path.relpath(name, self._directory)).as_posix()
        except ValueError:
            # Another drive.
            return PurePath(os.path.abspath(name)).as_posix()  # noqa: PTH100

    def identities(self, scanned: Scanned) -> list[Identity]:
        """Return one identity for each finding of ``scanned``, in their order.

        The first call for a file must have all its findings: those that are alike are counted.
        """
        if not scanned.findings:
            return []
        if scanned.name not in self._places:
            self._places[scanned.name] = _places(self._text(scanned.name), scanned.findings)
        places = self._places[scanned.name]
        path = self.path(scanned.name)
        return [
            Identity(path, finding.code, finding.coroutine, *places[finding])
            for finding in scanned.findings
        ]

    def _text(self, name: str) -> str:
        if name in self._texts:
            return self._texts[name]
        try:
            return read(name).text
        except FileError:
            # It was there a moment ago.
            return ""


def _places(text: str, findings: Sequence[Finding]) -> dict[Finding, _Place]:
    """Return the scope, the text and the number among its like of each finding."""
    lines = io.StringIO(text, newline=None).read().split("\n")
    tree = _parsed(text)
    alike: Counter[tuple[str, ...]] = Counter()
    places = {}
    for finding in findings:
        line = lines[finding.line - 1] if finding.line <= len(lines) else ""
        around = list(_around(tree, finding.line)) if tree else []
        start = finding.line, len(line[: finding.column - 1].encode())
        calls = [
            node
            for node in around
            if isinstance(node, ast.expr) and (node.lineno, node.col_offset) == start
        ]
        written = _written(lines, calls[0]) if calls else line
        written = _LAST_COMMA.sub("", _SPACE.sub("", written))
        scope = ".".join(node.name for node in around if isinstance(node, _SCOPES))
        key = finding.code, finding.coroutine, scope, written
        alike[key] += 1
        places[finding] = scope, written, alike[key]
    return places


def _parsed(text: str) -> ast.Module | None:
    from flake8_task_refs.analysis.python_parser import python_tree  # noqa: PLC0415

    try:
        return python_tree(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _around(node: ast.AST, line: int) -> Iterator[ast.AST]:
    """Yield the nodes below ``node`` that stand on ``line``, the outer ones first."""
    for child in ast.iter_child_nodes(node):
        first = getattr(child, "lineno", None)
        if first is None:
            yield from _around(child, line)
        elif first <= line <= (getattr(child, "end_lineno", None) or first):
            yield child
            yield from _around(child, line)


def _written(lines: Sequence[str], node: ast.expr) -> str:
    """Return the source of ``node``, whose columns count bytes."""
    last = node.end_lineno or node.lineno
    span = [line.encode() for line in lines[node.lineno - 1 : last]]
    span[-1] = span[-1][: node.end_col_offset]
    span[0] = span[0][node.col_offset :]
    return b"\n".join(span).decode()
